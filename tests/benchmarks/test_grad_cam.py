"""The cost of Grad-CAM: the comparison of maps, and the smallest case."""

import argparse

import pytest
import torch

from benchmarks.grad_cam import compare, show_memory
from benchmarks.grad_cam_memory import peak
from benchmarks.grad_cam_peers import PLAIN, check

pytest.importorskip("captum")
pytest.importorskip("monai")


def test_a_contestant_with_other_maps_is_refused():
    images, ours = torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8)
    low, high = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
    maps = {
        PLAIN: None,
        "seattn": ours,
        "captum": ours.clone(),
        "MONAI": 1 - ((ours - low) / (high - low))[:, None],
        "seattn, three classes": torch.stack([ours + 1, ours, ours - 1], dim=1),
    }
    assert max(check(maps, images).values()) < 1e-6
    for name in ("captum", "MONAI", "seattn, three classes"):
        with pytest.raises(RuntimeError, match="no time is taken"):
            check(maps | {name: maps[name].flip(-1)}, images)


def test_the_smallest_case_runs(capsys):
    choices = argparse.Namespace(device="cpu", size=64, rounds=2, threads=1)
    row = compare(choices, "resnet50", "last", 2)
    present = [name for name in row["cpu_seconds"] if name not in row["absent"]]
    assert {PLAIN, "seattn", "captum", "MONAI"} <= set(present)
    assert max(row["relative_difference_of_maps"].values()) < 2e-2
    row["peak_mib"] = {
        name: peak(choices, "resnet50", "layer4", 2, name) for name in (PLAIN, "seattn")
    }
    assert all(mib is None or mib > 0 for mib in row["peak_mib"].values())
    show_memory(row)
    assert "MiB at the peak" in capsys.readouterr().out
