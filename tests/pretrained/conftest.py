"""The hub that the tests fetch from, and an empty cache."""

import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from seattn.pretrained import table
from tests.pretrained.hub import Hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # huggingface_hub has read the environment when it was imported
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Hub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.endpoint)
    template = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(time, "sleep", _do_not_wait)  # five retries, the last after 8 s
    monkeypatch.setattr(table, "_SHA256", {})  # which its files, made for the tests, have not
    yield server
    server.close()


def _do_not_wait(seconds: float) -> None:
    pass
