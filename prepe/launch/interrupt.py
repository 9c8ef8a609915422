"""Ctrl-C, or a request to stop, in; a flag out, to be looked at where stopping is safe.

Ray may crash or hang when Ctrl-C comes as an exception in the middle of its work, Tune's own way to stop waits for
every running job, and a second Ctrl-C must not break what the first one began. So while a sweep runs, it is only noted.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Says whether Ctrl-C was pressed, or the process is asked to stop in another way."""

    def __init__(self, asked: Callable[[], bool] | None = None) -> None:
        self.pressed, self.asked = False, asked

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed, or if that is asked for."""
        if not self.pressed and self.asked is not None and self.asked():
            self.pressed = True
            print("\nasked to stop ...", file=sys.stderr, flush=True)
        if self.pressed:
            raise KeyboardInterrupt

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal; the words are written past Python's buffers, which may be in use at this very moment."""
        if not self.pressed:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopping ...\n")
        self.pressed = True


@contextmanager
def noted(asked: Callable[[], bool] | None = None) -> Iterator[Interrupt]:
    """Note Ctrl-C down instead of raising KeyboardInterrupt while in this context; only the main thread gets either.

    What `asked` says counts as Ctrl-C.
    """
    interrupt = Interrupt(asked)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
