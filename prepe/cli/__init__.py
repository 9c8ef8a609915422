"""The command line: parse, call, print. One verb a function, and each verb is one call from Python."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder

import typer

from prepe.cli.app import answer, app

_ORDER = (
    *("new", "run", "ls", "top", "show", "query", "check", "draw", "reproduce"),
    *("confirm", "labels", "front", "colors", "diff", "measure", "plan"),
    *("watch", "stop", "rescore", "export", "animate"),
    *("publish", "compact", "doctor", "rm", "schedule", "schema", "cluster"),
)
"""The verbs as --help lists them: first what a new user wants first."""
_READING = ("ls", "top", "show", "query")
"""Verbs of one module, `read`; every other one has a module of its own name."""

__all__ = ["app", "application", "main"]


def application(verb: str = "") -> typer.Typer:
    """Return the application with a verb, or with all of them where there is no such verb.

    To load the modules of all verbs takes longer than what many a verb does.
    """
    for each in (verb,) if verb in _ORDER else _ORDER:
        if each in _READING:
            with _hidden("pandas"):
                import_module("prepe.cli.read")
        else:
            import_module(f"prepe.cli.{each}")
    app.registered_commands.sort(key=lambda each: _ORDER.index(each.callback.__name__) if each.callback else -1)
    return app


def main() -> None:
    """Run the command line, with the modules that the verb needs."""
    application(sys.argv[1] if len(sys.argv) > 1 else "")
    answer()


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let a package that is not loaded yet not be found in this context.

    Arrow loads pandas, if it is installed, as soon as it is loaded, only to know its arrays when it is given some. That
    takes longer than all else that is loaded, and verbs that read a store have none.
    """
    finder = _Hiding(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Hiding(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Say that a package is not there, and of others nothing."""
        if fullname == self.package:
            raise ModuleNotFoundError(f"{fullname} is not looked for", name=fullname)
