"""The examples in the docstrings of the installed package run as they are written."""

import doctest
import importlib
import pkgutil

import pytest

import seattn

MODULES = sorted(m.name for m in pkgutil.walk_packages(seattn.__path__, "seattn."))


@pytest.mark.parametrize("name", ["seattn", *MODULES])
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name.startswith("seattn.ops.") and name.endswith("kernels"):
        pytest.importorskip("triton")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
