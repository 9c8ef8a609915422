"""The command line: parse, call, print. One verb a function, and each verb is one call from Python."""

from prepe.cli import (
    animate,
    check,
    colors,
    diff,
    draw,
    export,
    front,
    measure,
    new,
    publish,
    read,
    reproduce,
    rescore,
    run,
    schedule,
    schema,
)
from prepe.cli.app import app, main

_ORDER = (
    *("new", "run", "ls", "top", "show", "query", "check", "draw", "reproduce", "front", "colors", "diff", "measure"),
    *("rescore", "export", "animate", "publish", "schedule", "schema"),
)
"""The verbs as --help lists them: first what a new user wants first."""
app.registered_commands.sort(key=lambda each: _ORDER.index(each.callback.__name__) if each.callback else -1)

__all__ = [
    "animate",
    "app",
    "check",
    "colors",
    "diff",
    "draw",
    "export",
    "front",
    "main",
    "measure",
    "new",
    "publish",
    "read",
    "reproduce",
    "rescore",
    "run",
    "schedule",
    "schema",
]
