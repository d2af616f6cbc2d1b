"""Which precision a processor trains a network in: bfloat16 where it is clearly faster, measured in two seconds.

Whether it is depends on the processor, the network and the batch: some with bfloat16 in hardware are slower in it.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
import torch.nn.functional as F

from classifiers.config import TrainConfig
from classifiers.device import computes_in, has_bf16, resolve_precision
from classifiers.models import create_model
from classifiers.parts import total_steps

FASTER = 1.15  # times, from which bfloat16 is used
WORTH_IT = 6e12  # floating-point operations in a training, about a minute: below it a probe costs more
_WARM, _TIMED = 2, 3
_PASS = 1e11  # operations of a measured pass, about a second, where the batch can be as small as that
_FEWEST = 16


def precision_of(config: TrainConfig, shape: tuple[int, int, int], num_classes: int, device: torch.device) -> str:
    """The precision that `config` comes to for images of shape (N, channels, side) on this device."""
    if config.precision != "auto" or device.type != "cpu":
        return resolve_precision(config.precision, device)
    number, channels, side = shape
    batch = min(config.batch_size, number)
    if not has_bf16(device):
        return "32-true"
    each = operations(config.model, num_classes, channels, side)
    if total_steps(config, number) * batch * each < WORTH_IT:
        return "32-true"
    measured = min(batch, 128, max(_FEWEST, int(_PASS / each)))
    return faster(config.model, num_classes, channels, side, measured, torch.get_num_threads())


@lru_cache
def operations(model: str, num_classes: int, channels: int, side: int) -> int:
    """Floating-point operations of an image's forward and backward pass: three times the forward pass's products."""
    from torch.utils.flop_counter import FlopCounterMode  # brings triton along

    with torch.random.fork_rng(devices=[]):
        network = create_model(model, num_classes, channels, side).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, side, side, dtype=torch.uint8))
    return 3 * int(counter.get_total_flops())


@lru_cache
def faster(model: str, num_classes: int, channels: int, side: int, batch: int, threads: int) -> str:
    """The precision in which forward and backward pass of this network are faster here; 32 bit unless by `FASTER`."""
    del threads  # part of what was measured
    with torch.random.fork_rng(devices=[]):
        network = create_model(model, num_classes, channels, side)
        network.to(memory_format=torch.channels_last).train()
        images = torch.randint(256, (batch, channels, side, side), dtype=torch.uint8)
        targets = torch.randint(num_classes, (batch,))
        seconds: dict[str, list[float]] = {"32-true": [], "bf16-mixed": []}
        for _ in range(_WARM + _TIMED):
            for precision, times in seconds.items():  # turn by turn: other work on the machine slows both
                began = time.perf_counter()
                with computes_in(precision, torch.device("cpu")):
                    logits = network(images)
                F.cross_entropy(logits.float(), targets).backward()
                times.append(time.perf_counter() - began)
    plain, half = (min(times[_WARM:]) for times in seconds.values())
    return "bf16-mixed" if plain >= FASTER * half else "32-true"
