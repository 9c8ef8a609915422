"""A term that does to its process what should not keep other trials from being done."""

import os
import signal
import time

import torch
from torch import Tensor

from prepe.regularizers import Context


def poison(context: Context, site: str, how: int = 0) -> Tensor:
    """0: nothing; 1: the process is killed; 2: it takes more and more memory; 3: it hangs."""
    if how == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    taken = []
    while how == 2:
        taken.append(torch.ones(64 << 20, dtype=torch.float32))
        time.sleep(0.2)
    while how == 3:
        time.sleep(3600)
    return torch.zeros_like(context.coordinate(context.sites[site], 0))
