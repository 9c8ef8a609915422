"""Where training runs: the name of a device in; the device, and arithmetic that gives the same bits every time, out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from prepe.errors import PrepeError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; `auto` takes a GPU when there is one.

    Raises:
        PrepeError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu" or (name.startswith("cuda") and torch.cuda.is_available()):
        return torch.device(name)
    raise PrepeError(f"device: {name!r} is not to be had here; allowed: auto, cpu, and cuda where there is a GPU")


@contextmanager
def arithmetic(place: torch.device) -> Iterator[None]:
    """Have one thread on a CPU, and denormal numbers taken for zero, while in this context.

    Products split over threads add up in another order, and more CPUs do more trials; high powers of small cosines are
    denormal, and slow on some processors.
    """
    threads, flushed = torch.get_num_threads(), bool((torch.full((1,), 1e-40) * 1 == 0).item())
    torch.set_flush_denormal(True)
    if place.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)
