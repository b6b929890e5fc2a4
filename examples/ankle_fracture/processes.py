"""The processes of one run: torchrun starts them, the first leads, the others help to train.

Only the first reads the command line, makes images, prints and writes. It sends each training to
the others, and all of them then run the same code on their own share of every batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

__all__ = ["ALONE", "Processes", "join"]

# The others wait while the first makes images or draws the report, however long that takes; that
# one of them has ended closes its connections, and is noticed at once.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """One process among those of a run.

    Args:
        rank: Its number; the first is 0.
        size: How many there are.
        local_rank: Its number on this machine, which is that of its GPU.
        waiting: The group in which processes wait for each other, on the CPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    waiting: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process.

        Args:
            name: As ``Config.device``: of several processes, "cuda" gives each a GPU of its own.

        Raises:
            ValueError: Several processes would share one GPU.
        """
        device = torch.device(name)
        if self.size == 1 or device.type != "cuda":
            return device
        if ":" in name:
            raise ValueError(
                f"`device` (={name!r}) is one GPU for {self.size} processes: give 'cuda'."
            )
        if self.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"--nproc-per-node must not exceed the GPUs of this machine, and there are "
                f"{torch.cuda.device_count()}."
            )
        device = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(device)  # nccl's
        return device

    def share(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some items: consecutive ones, maybe none."""
        return np.array_split(numbers, self.size)[self.rank]

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The CPU tensors of all processes, joined in their order; their lengths may differ."""
        if self.size == 1:
            return tensor
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, tensor, group=self.waiting)
        return torch.cat(parts)

    def send(self, message: Any) -> None:
        """From the first process to each ``receive`` of the others."""
        if self.size > 1:
            dist.broadcast_object_list([message], src=0, group=self.waiting)

    def receive(self) -> Any:
        """What the first process sends.

        Raises:
            SystemExit: It has ended, and said why itself.
        """
        message: list[Any] = [None]
        try:
            dist.broadcast_object_list(message, src=0, group=self.waiting)
        except RuntimeError:  # gloo's: connection closed
            raise SystemExit(1) from None
        return message[0]


ALONE = Processes()


@contextmanager
def join() -> Iterator[Processes]:
    """Meet the other processes that torchrun has started; without torchrun there are none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    waiting = dist.new_group(backend="gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, size, local_rank, waiting)
    except SystemExit as end:
        if not end.code:
            dist.destroy_process_group()
        raise
    # Not destroyed after an error: this process ends, and the end is what the others notice.
    dist.destroy_process_group()
