"""One proposal after the other in this process: no Ray."""

import torch

from prepe.launch.interrupt import noted
from prepe.launch.job import work
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue, proposals


def run(queue: Queue, progress: Progress, *, device: str) -> None:
    """Do all proposals of a queue here, one at a time; Ctrl-C stops between two steps of training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(queue.sweep.resources.cpus)
    try:
        with noted() as interrupt:

            def report(doing: str, done: int, total: int) -> None:
                interrupt.check()
                progress.step(doing, done, total)

            for proposal in proposals(queue):
                progress.started(proposal)
                row = work(queue.sweep, proposal, queue.results, device, report=report)
                queue.finish(proposal, row)
                progress.finished(row)
                interrupt.check()
    finally:
        torch.set_num_threads(threads)
