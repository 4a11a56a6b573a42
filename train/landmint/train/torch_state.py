"""Settings of torch that hold for the whole process, changed for the length of a body only."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads during the body; 0 leaves the number as it is."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Give the caller's random numbers of torch back after the body, which may seed its own."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield
