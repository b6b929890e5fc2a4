"""What every test shares: quiet threads, one hypothesis profile, the folder of real images."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("seattn", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("seattn")
# Beside other workers each has one thread, and so have the processes that its tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(min(int(os.environ.get("OMP_NUM_THREADS", "2")), os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _configuration_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests away from the user's own pseudonym key."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("configuration"))
        patch.setenv("XDG_CONFIG_HOME", folder)
        patch.setenv("APPDATA", folder)
        yield


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images beside a developer's checkout; it is no part of this repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images (../shared/data) are not here")
    return folder
