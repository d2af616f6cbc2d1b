"""Several processes at one command, as torchrun starts them: who leads, who follows, who takes which share.

The leader (rank 0) alone writes records, prints and does what is no one else's work; the others join it where a stage
divides its work, and wait elsewhere. A single process is a leader without followers, for whom nothing here costs
anything. Nothing loads torch before there are followers.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from ganfer.errors import GanferError

_PATIENCE = timedelta(days=7)  # followers wait while the leader works alone, which may be long


def rank() -> int:
    """This process's number, 0 for the leader."""
    return _number("RANK", 0)


def count() -> int:
    """How many processes work at the command."""
    return _number("WORLD_SIZE", 1)


def count_here() -> int:
    """How many of them run on this machine."""
    return _number("LOCAL_WORLD_SIZE", count())


def place_here() -> int:
    """This process's number on its machine: the GPU it takes."""
    return _number("LOCAL_RANK", 0)


def leads() -> bool:
    """Whether this process is the leader."""
    return rank() == 0


def start() -> None:
    """Connect the processes, once; over NCCL where tensors are on GPUs, over Gloo otherwise."""
    if count() == 1:
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(place_here() % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)


def barrier() -> None:
    """Wait for all processes."""
    if count() == 1:
        return
    import torch
    import torch.distributed as dist

    start()
    dist.all_reduce(torch.zeros(1))  # on the CPU, over Gloo: NCCL's barrier would give up after its own time


def from_leader(*values: float) -> tuple[float, ...]:
    """The leader's values, for all."""
    if count() == 1:
        return values
    import torch
    import torch.distributed as dist

    start()
    shared = torch.tensor(values, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return tuple(shared.tolist())


def stop() -> None:
    """Disconnect, so that the process ends without a word of complaint."""
    if count() > 1:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def leader_first() -> Iterator[None]:
    """The leader goes through the block while the others wait; they then find its work done."""
    if not leads():
        barrier()
    yield
    if leads():
        barrier()


def share(total: int) -> slice:
    """This process's contiguous part of `total` items; the parts of all processes make the whole, in order."""
    return slice(total * rank() // count(), total * (rank() + 1) // count())


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise GanferError(f"{name}={text!r} is not a number.", "torchrun sets it; unset it to run one process.")
    return int(text)
