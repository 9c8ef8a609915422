"""Something done to a bucket in; what it gives, after as many tries as it takes while the bucket does not answer, out.

The clouds' own clients try again for seconds, and without a word. What passes by itself, as a network or a service that
is away or overloaded, is waited for here, for minutes, with one. What stays until somebody mends it, as wrong keys or a
bucket that is not there, is not.
"""

import math
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from prepe.errors import PrepeError

_T = TypeVar("_T")
_A = TypeVar("_A")
VARIABLE = "PREPE_PATIENCE_S"
"""The variable that says for how many seconds a bucket that does not answer is waited for."""
_PATIENCE_S = 180.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGER, _LOOK_S = 0.25, 10.0, 1.5, 0.5
_TELL_S = 30.0
_LONG_S = 5.0
_PASSES = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT)"
    r"|AWS Error UNKNOWN \(HTTP status (408|429|5\d\d)\)"
    r"|google::cloud::Status\((UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED|INTERNAL)\b"
)
"""What the clients of S3 and of Google call what may have passed when it is tried again."""
_STAYS = re.compile(r"curlCode: (51|58|60|77)\b")
"""Connections that a wrong certificate forbids."""
_PAUSES = random.SystemRandom()  # no two processes come back at once, and no seed of a user's own is touched
_patient: ContextVar[bool] = ContextVar("_patient", default=True)
_meanwhile: ContextVar[tuple[Callable[[], object], ...]] = ContextVar("_meanwhile", default=())


class Unanswered(PrepeError):
    """A bucket has not answered for so long that there is no more waiting for it."""


class _Outage:
    """What this process has said of buckets that do not answer: since when, and when last."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.told = -math.inf

    def goes_on(self, place: str, reason: str) -> None:
        """Say so, unless it was just said."""
        now = time.monotonic()
        self.since = self.since or now
        if now - self.told >= _TELL_S:
            self.told = now
            for_s = f" for {now - self.since:.0f} s" if now - self.since >= 1 else ""
            _say(f"{place}: no answer{for_s} ({reason}); trying again, for up to {patience_s():g} s each time")

    def ends(self, place: str) -> None:
        """Say so, if it was long."""
        since, self.since = self.since, None
        if since is not None and (for_s := time.monotonic() - since) >= _LONG_S:
            self.told = -math.inf
            _say(f"{place}: answered again after {for_s:.0f} s")


_outage = _Outage()


def patience_s() -> float:
    """Return for how many seconds a bucket that does not answer is waited for.

    Raises:
        PrepeError: the variable says no such number.
    """
    named = os.environ.get(VARIABLE) or str(_PATIENCE_S)
    try:
        seconds = float(named)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise PrepeError(f"{VARIABLE}: {named!r}; allowed: seconds, 0 or more")
    return seconds


def passes(error: BaseException) -> bool:
    """Say whether what a bucket's client, or what reads through it, raised may have passed at the next try."""
    said = str(error)
    return not isinstance(error, PrepeError) and bool(_PASSES.search(said)) and not _STAYS.search(said)


def patiently(place: str, what: str, act: Callable[[], _T]) -> _T:
    """Do something to a bucket; where that does not answer, do it again, ever more seldom, until patience ends.

    Args:
        place: what it is done to, for messages.
        what: what is to become of it, such as `"read"`.
        act: does it, and may be done any number of times, even where an earlier time went through unnoticed.

    Raises:
        Unanswered: the bucket did not answer until `patience_s` were over, or at the first try when `impatient`.
        Exception: what `act` raises and does not pass.
    """
    failed, pause = None, _FIRST_PAUSE_S
    while True:
        try:
            given = act()
        except Exception as error:
            if not passes(error):
                raise
            reason, now = _reason(error), time.monotonic()
            failed = failed or now
            left = failed + patience_s() - now if _patient.get() else 0
            if left <= 0 and _patient.get():
                raise Unanswered(
                    f"{place}: cannot be {what}: {reason}. It was tried for {now - failed:.0f} s; what is stored "
                    "stays: when the store answers, run the same command again to go on"
                ) from error
            _outage.goes_on(place, reason)
            if left <= 0:
                raise Unanswered(f"{place}: cannot be {what}: {reason}") from error
        else:
            _outage.ends(place)
            if failed:
                _look()
            return given
        _wait(min(left, pause * _PAUSES.uniform(0.5, 1)))
        pause = min(_LONGER * pause, _LONGEST_PAUSE_S)


def together(act: Callable[[_A], _T], items: Sequence[_A], at_once: int) -> list[_T]:
    """Do something for several items, as many at once as is said, where each waits for an answer from far away.

    Those for which there was none are then done one by one, patiently, and so that Ctrl-C ends it.
    """

    def tried(item: _A) -> _T | Unanswered:
        try:
            with impatient():
                return act(item)
        except Unanswered as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(tried, items))
    return [act(item) if isinstance(each, Unanswered) else each for item, each in zip(items, found, strict=True)]


@contextmanager
def impatient() -> Iterator[None]:
    """Let what is done in this context end when the client's own tries have, without any waiting."""
    token = _patient.set(False)
    try:
        yield
    finally:
        _patient.reset(token)


@contextmanager
def meanwhile(look: Callable[[], object]) -> Iterator[None]:
    """Call something every half second of the waiting done in this context, and after it; what it raises ends that."""
    token = _meanwhile.set((*_meanwhile.get(), look))
    try:
        yield
    finally:
        _meanwhile.reset(token)


def first_line(error: BaseException) -> str:
    """Return what an error says, without what follows in further lines."""
    return str(error).strip().split("\n")[0].rstrip(".")


def _reason(error: BaseException) -> str:
    """Return why there was no answer, without the name of what was asked for, which stands before it anyway."""
    said = first_line(error)
    return said[max(said.find("AWS Error"), 0) :].partition("; Details:")[0]


def _wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        _look()
        time.sleep(min(left, _LOOK_S))


def _look() -> None:
    for look in _meanwhile.get():
        look()


def _say(message: str) -> None:
    print(f"prepe: {message}", file=sys.stderr, flush=True)
