"""One of the processes of ``test_distributed.py``."""

import copy
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tests.portability.cases import NETWORKS, images, lively

WORLD = 2


def main() -> None:
    """Train one step of every network that is named, and compare with one process."""
    folder, rank, *names = sys.argv[1:]
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(Path(folder) / "meeting").as_uri(),
        rank=int(rank),
        world_size=WORLD,
        timeout=timedelta(seconds=60),
    )
    for name in names:
        _compare(name, int(rank))
    distributed.destroy_process_group()


def _compare(name: str, rank: int) -> None:
    """Refuse gradients that are not the mean of those of all processes' images."""
    torch.manual_seed(0)
    network = lively(NETWORKS[name]()).train().double()
    x = images(2 * WORLD).double()
    shards = x.chunk(WORLD)
    # Each process normalises its own batch.
    of_shards = [_gradients(copy.deepcopy(network), shard) for shard in shards]
    expected = [sum(gradients) / WORLD for gradients in zip(*of_shards, strict=True)]
    if rank:  # DistributedDataParallel starts from what process 0 has
        for tensor in network.state_dict().values():
            tensor.zero_()
    actual = _gradients(DistributedDataParallel(network), shards[rank])
    torch.testing.assert_close(actual, expected, msg=lambda m: f"{name}: {m}")


def _gradients(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    nn.functional.cross_entropy(network(x), torch.tensor([0, 2])).backward()
    return [parameter.grad for parameter in network.parameters()]


if __name__ == "__main__":
    main()
