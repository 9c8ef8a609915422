"""A user's own function, by the name that a sweep file gives it.

Calling `load` runs the user's module: whoever takes a name from a file that is not the user's own must ask first, which
`check_allowed` does. To prepe a function is its name: one that comes to mean something else needs another.
"""

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prepe.errors import PrepeError


def in_a_line(error: Exception) -> str:
    """Say what went wrong in a user's code, in one line whatever the error's own message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def check_allowed(names: list[str], allowed: bool, source: object) -> None:
    """Check that the user lets functions be imported, if a source names any.

    Raises:
        PrepeError: naming the source, the functions, and the option that allows them.
    """
    if names and not allowed:
        raise PrepeError(
            f"{source}: it calls {', '.join(names)}, and importing a function runs its module; "
            "allowed: only with --allow-imports"
        )


def look_in(folders: Iterable[Path]) -> None:
    """Have Python find modules in some folders too, after all others."""
    sys.path.extend(path for path in map(str, folders) if path not in sys.path)


def load(name: str) -> Callable[..., Any]:
    """Import a function named `package.module:function`, from wherever Python finds modules.

    Raises:
        PrepeError: the module cannot be imported, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may fail in any way
        raise PrepeError(
            f"{name!r}: the module {module_name!r} cannot be imported: {in_a_line(error)}; "
            "allowed: package.module:function, of a module on Python's path"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise PrepeError(
            f"{name!r}: the module {module_name!r} has no function {function_name!r}; "
            "allowed: package.module:function, of a function that exists"
        )
    return function
