"""One job after the other in this process: no Ray."""

from pathlib import Path

import torch

from prepe import custom
from prepe.launch.interrupt import noted
from prepe.launch.job import work
from prepe.launch.presence import present
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.store.patience import meanwhile


def run(queue: Queue, progress: Progress, *, device: str, folders: list[Path]) -> None:
    """Do all proposals of a queue here, one job at a time; Ctrl-C stops between two steps of training.

    Args:
        queue: what to do.
        progress: told of every start and end.
        device: for the jobs.
        folders: where the users' own functions are found.

    Raises:
        PrepeError: the store cannot be read or written, or a user's own function is not to be had.
        KeyboardInterrupt: Ctrl-C.
    """
    custom.look_in(folders)
    threads = torch.get_num_threads()
    torch.set_num_threads(queue.sweep.resources.cpus)
    try:
        with present(queue) as asked, noted(asked) as interrupt, meanwhile(interrupt.check):

            def report(doing: str, done: int, total: int) -> None:
                interrupt.check()
                progress.step(doing, done, total)

            while pack := queue.take():
                progress.started()
                rows = work(queue.sweep, pack, queue.results, device, report)
                for proposal, row in zip(pack, rows, strict=True):
                    queue.finish(proposal, row)
                    progress.finished(row)
                    interrupt.check()
    finally:
        torch.set_num_threads(threads)
