"""Runs of the study on little data, which its tests share."""

import dataclasses

import pytest

from examples.ankle_fracture import study
from examples.ankle_fracture.config import PRESETS

TINY = dataclasses.replace(
    PRESETS["quick"], patients=24, epochs=2, models=("se_resnet_small",), size=32
)
PHANTOM = "phantom-roi-24-seed0"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run; tests must not change it."""
    folder = tmp_path_factory.mktemp("study")
    study.run(TINY, folder)
    return folder


@pytest.fixture(scope="session")
def findings(tmp_path_factory):
    """What two networks came to with enough patients for every part of the report."""
    config = dataclasses.replace(
        PRESETS["quick"], patients=60, prevalence=0.5, epochs=3, seeds=2, size=32
    )
    return study.investigate(config, tmp_path_factory.mktemp("findings"))
