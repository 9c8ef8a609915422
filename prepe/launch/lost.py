"""A lost worker in; whether the machine, the store or the trial was the cause, and what is known of it, out."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import ray

from prepe.errors import PrepeError
from prepe.launch.job import Proposal
from prepe.launch.worker import GRACE_S

_CRASHES = 3
"""How often a trial may take its process with it; when it happens once more, it has failed. To be killed for its
memory, which ends all others that are at work, counts as so many."""
_NODES = 10
"""How often a trial may lose its node: they are taken away, but one that takes its node down would be done for ever."""
_LAST_LINES = 30
_PROCESS = re.compile(r"pid: (?P<pid>\d+)\n(.*\n)*?\s*ip: (?P<ip>\S+)")
_OUT_OF_MEMORY = re.compile(r"killed due to the node running low on memory")
_KILLED = re.compile(r"Actor\((\w+)\)")
_NODE_LOST = re.compile(r"node (has died|was terminated|is dead)|preempted", re.IGNORECASE)
_DIED = re.compile(r"has died|running low on memory", re.IGNORECASE)
_RAISED_AT_WORK = re.compile(r"(\x1b\[\d+m)?ray::|The actor died because of an error raised in its creation task")


class Crashes:
    """Counts how often proposals lost their worker, and knows when one of them must be the cause.

    Args:
        timeout_s: for how long a trial may work, if there is a limit.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._count: Counter[int] = Counter()
        self._nodes: Counter[int] = Counter()

    def cause(self, proposal: Proposal, took_s: float, why: str) -> str | None:
        """Say why a proposal has failed whose worker did nothing else, or None if it is to be done again.

        Args:
            proposal: what was worked on.
            took_s: for how long.
            why: what Ray says of the worker, and its last words.
        """
        if self._timeout_s is not None and took_s >= self._timeout_s + GRACE_S:
            return f"{why}\nTimeoutError: it was killed {GRACE_S} s after budget.timeout_s = {self._timeout_s:g}"
        if _NODE_LOST.search(why):
            self._nodes[proposal.number] += 1
            if self._nodes[proposal.number] <= _NODES:
                return None
            return f"{why}\nits nodes were lost, again and again: {_reason(why)}"
        self._count[proposal.number] += _CRASHES if _OUT_OF_MEMORY.search(why) else 1
        if self._count[proposal.number] <= _CRASHES:
            return None
        return f"{why}\nits workers died, again and again: {_reason(why)}"


def killed_for_memory(why: str, running: Collection[str], actors: Mapping[str, str]) -> set[str] | None:
    """Return the jobs at work that the memory monitor has killed, or all, if it names none of them.

    Args:
        why: an error; None is returned if it does not say that the memory monitor has killed anything.
        running: the jobs at work.
        actors: job -> its worker's name, as Ray has it.
    """
    if not _OUT_OF_MEMORY.search(why):
        return None
    killed = set(_KILLED.findall(why.partition("Selected to kill:")[2]))
    return {each for each in running if actors.get(each) in killed} or set(running)


def check(why: str) -> None:
    """Check that a job failed because its worker vanished, and not for a reason that is there for every worker.

    Raises:
        PrepeError: the worker cannot import prepe, or a row cannot be stored.
    """
    if _RAISED_AT_WORK.match(why):
        said = re.sub(r"^prepe\.[\w.]+: ", "", why.splitlines()[-1])  # without the name of our own error
        raise PrepeError(f"a worker cannot do its job: {said}")


def last_words(why: str) -> str:
    """Return the end of what a process wrote, of which Ray says why it died; nothing, if it was on another machine."""
    found, node = _PROCESS.search(why), ray._private.worker._global_node
    if not found or node is None or found["ip"] != node.node_ip_address:
        return ""
    logs = Path(node.get_logs_dir_path()).glob(f"worker-*-{found['pid']}.err")
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(["its last words:", *lines[-_LAST_LINES:]]) if lines else ""


def _reason(why: str) -> str:
    """Return the line of Ray's own that says why a process died."""
    said = next((line.strip() for line in why.splitlines() if _DIED.search(line)), why.splitlines()[0])
    return said.partition(" Some common causes")[0].removeprefix("Caught unexpected exception: ")
