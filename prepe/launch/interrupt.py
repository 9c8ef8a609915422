"""Ctrl-C in; a flag out, to be looked at where stopping is safe.

Ray may crash or hang when Ctrl-C comes as an exception in the middle of its work, Tune's own way to stop waits for
every running job, and a second Ctrl-C must not break what the first one began. So while a sweep runs, it is only noted.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Says whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.pressed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.pressed:
            raise KeyboardInterrupt

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal; the words are written past Python's buffers, which may be in use at this very moment."""
        if not self.pressed:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopping ...\n")
        self.pressed = True


@contextmanager
def noted() -> Iterator[Interrupt]:
    """Note Ctrl-C down instead of raising KeyboardInterrupt while in this context; only the main thread gets either."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
