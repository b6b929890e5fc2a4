"""The processes of one run: torchrun starts them, each takes its share of the files."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch

__all__ = ["Processes", "join"]

T = TypeVar("T")
_PATIENCE = timedelta(days=30)  # who is done waits for the others; that one ended is noticed


@dataclass(frozen=True)
class Processes:
    """This process among those of a run; the first is 0."""

    rank: int = 0
    size: int = 1

    def device(self, name: str) -> torch.device:
        """The device of this process: of several, "cuda" gives each a GPU of its own.

        Raises:
            ValueError: Several processes would share one GPU.
        """
        device = torch.device(name)
        if device.type != "cuda" or self.size == 1:
            return device
        local = int(os.environ.get("LOCAL_RANK", self.rank))
        if ":" in name or local >= torch.cuda.device_count():
            raise ValueError(
                f"`device` (={name!r}) must be 'cuda' for {self.size} processes, and no machine "
                f"may run more of them than it has GPUs (here {torch.cuda.device_count()})."
            )
        return torch.device("cuda", local)

    def from_first(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in the first process, in all of them.

        Raises:
            SystemExit: The first process has failed, and said why itself.
        """
        if self.size == 1:
            return make()
        import torch.distributed as dist

        made: list[Any] = [None]
        try:
            if self.rank == 0:
                made = [(make(),)]
        finally:
            dist.broadcast_object_list(made, src=0)
        if made[0] is None:
            raise SystemExit(1)
        return made[0][0]

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in all of them."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def join() -> Iterator[Processes]:
    """Meet the other processes of torchrun, or those that the caller has met already."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    yield Processes(dist.get_rank(), dist.get_world_size())
    # Not after an error: this process ends then, and the end is what the others notice.
    dist.destroy_process_group()
