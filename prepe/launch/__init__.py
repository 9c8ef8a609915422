"""The only package that imports Ray and Optuna: a sweep and a store in, all its trials in the store out."""

from pathlib import Path

from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.launch.interrupt import noted
from prepe.launch.job import Row
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep
from prepe.train import choose_device


def run(
    sweep: Sweep,
    results: Path,
    *,
    executor: str = "ray",
    address: str | None = None,
    device: str = "auto",
    retry_failed: bool = False,
) -> Queue:
    """Do what a sweep asks for and the store does not have yet.

    Args:
        sweep: as from `sweep.load`.
        results: the store's folder.
        executor: `ray` or `serial`.
        address: of a Ray cluster to join; None starts one here.
        device: for the trials.
        retry_failed: do failed trials again.

    Returns:
        The queue, with the rows of all ended proposals in `done`.

    Raises:
        PrepeError: the device, the store or the cluster is not to be had.
        KeyboardInterrupt: Ctrl-C; what had ended is stored.
    """
    if executor not in ("ray", "serial"):
        raise PrepeError(f"executor: {unknown(executor, ['ray', 'serial'], 'executor')}")
    if address is None or not device.startswith("cuda"):  # a cluster may have the GPU that is not here
        choose_device(device)
    queue = Queue(sweep, results, retry_failed)
    progress = Progress(sweep, queue.total, queue.done)
    if not queue.left:
        return queue
    try:
        with progress.shown():
            if executor == "serial":
                from prepe.launch import serial

                serial.run(queue, progress, device=device)
            else:
                from prepe.launch import tune

                tune.run(queue, progress, device=device, address=address)
    finally:
        with noted():
            queue.close()
    return queue


__all__ = ["Queue", "Row", "run"]
