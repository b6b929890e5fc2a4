"""The package as a whole: what importing it costs, where it comes from, what its pages promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import seattn
from tests.pages import run_page

ROOT = Path(__file__).parents[1]
HEAVY = (
    "pydicom", "tqdm", "matplotlib", "PIL", "scipy", "sklearn", "pandas", "torchvision", "timm",
    "captum", "monai", "huggingface_hub", "safetensors", "triton", "torch._inductor",
)  # fmt: skip


def test_import_loads_torch_and_nothing_else_heavy():
    program = (
        "import torch, sys; before = set(sys.modules); import seattn;"
        f"print(*[m for m in {HEAVY} if m in sys.modules and m not in before])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == []


def test_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert version("seattn") == seattn.__version__


def test_citation_and_changelog_know_the_version():
    assert f"\nversion: {seattn.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M).group(1)
    assert newest in ("Unreleased", seattn.__version__)


def commands() -> list[str]:
    """The README's shell lines that install and do something."""
    return [
        line for line in (ROOT / "README.md").read_text().splitlines() if "python3 -m venv" in line
    ]


def test_readme_and_ci_run_the_same_commands():
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert len(commands()) == 2
    for command in commands():
        assert command in ci


def test_readme_shows_its_commands_on_the_first_screen():
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    for command in commands():
        assert command in first_screen


def test_readme_python_runs_and_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page("../README.md")


@pytest.mark.parametrize("line", (ROOT / "constraints.txt").read_text().splitlines())
def test_constraints_pin_exact_versions(line):
    assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line)
