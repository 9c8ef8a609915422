"""A look at a store in; what it gives, after as many looks as it takes not to miss what was folded meanwhile, out.

While files are folded into larger ones (see `compact`), a reader begins again whenever a file that it had listed is
gone.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from prepe.errors import PrepeError

_T = TypeVar("_T")
_PATIENCE_S = 30.0
"""How long to wait in all for a store in which files go away."""
_LONGEST_PAUSE_S = 0.25


class Gone(FileNotFoundError):
    """A file that was listed is not there any more, since its rows were folded into another one, or it was removed."""


def while_folded(look: Callable[[], _T]) -> _T:
    """Return what a look at a store gives, after as many looks as it takes not to miss a file that was just listed.

    Between them it pauses, ever longer.

    Raises:
        PrepeError: files go away all the time.
    """
    pause, paused = 0.001, 0.0
    while True:
        try:
            return look()
        except Gone as gone:
            if paused >= _PATIENCE_S:
                raise PrepeError(
                    f"{gone}: it was there when its folder was listed, and gone when it was to be read; try again"
                ) from gone
        time.sleep(pause)
        paused += pause
        pause = min(2 * pause, _LONGEST_PAUSE_S)
