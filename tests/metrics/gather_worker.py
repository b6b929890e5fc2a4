"""One of the processes of ``test_gather.py``: collects its share, gathers, and writes what came."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.utils.data import DataLoader, DistributedSampler

from seattn.metrics import Predictions, binary_report

WORLD, CASES = 2, 21


def outputs(places: torch.Tensor) -> dict:
    """What a network might say of the cases at these places of the dataset."""
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.rand(2, CASES, generator=generator)
    return {
        "y_true": (labels > 0.6)[places],
        "y_score": (0.7 * scores + 0.3 * labels)[places],
        "patients": [f"patient {place // 3}" for place in places.tolist()],
        "ids": places,
    }


def summary(predictions: Predictions) -> dict:
    """Every digit of the cases and of the report on them."""
    return {
        "cases": {name: values.tolist() for name, values in predictions.cases().items()},
        "ids": predictions.ids.tolist(),
        "report": binary_report(**predictions.cases()).to_dict(),
    }


def main() -> None:
    """Join the other process, gather in three ways, and write the results to the folder."""
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=60),
    )
    found = {}

    own = Predictions()
    sampler = DistributedSampler(range(CASES), WORLD, rank, shuffle=True, seed=3)
    for places in DataLoader(range(CASES), batch_size=4, sampler=sampler):
        own.update(**outputs(places))
    found["own"] = len(own)
    found["padded"] = summary(own.gather())
    assert len(own) == found["own"]

    one_sided = Predictions()  # a process without cases
    if rank == 1:
        one_sided.update(**outputs(torch.arange(CASES)))
    found["one_sided"] = summary(one_sided.gather())

    without_ids = Predictions()
    without_ids.update(y_true=[0, 1], y_score=[0.1, 0.9])
    try:
        without_ids.gather()
    except ValueError as error:
        found["without_ids"] = str(error)

    unlike = Predictions()
    unlike.update(y_true=[0], y_score=[0.1], ids=[rank] if rank else ["zero"])
    try:
        unlike.gather()
    except TypeError as error:
        found["unlike"] = str(error)

    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
