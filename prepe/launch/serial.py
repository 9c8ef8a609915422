"""One proposal after the other in this process: no Ray."""

import torch

from prepe.launch.job import work
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue, proposals


def run(queue: Queue, progress: Progress, *, device: str) -> None:
    """Do all proposals of a queue here, one at a time."""
    torch.set_num_threads(queue.sweep.resources.cpus)
    for proposal in proposals(queue):
        progress.started(proposal)
        row = work(queue.sweep, proposal, queue.results, device, report=progress.step)
        queue.finish(proposal, row)
        progress.finished(row)
