"""The command line: parse, call, print. One verb a function, and each verb is one call from Python."""

from prepe.cli import (
    animate,
    check,
    cluster,
    colors,
    compact,
    confirm,
    diff,
    doctor,
    draw,
    export,
    front,
    labels,
    measure,
    new,
    plan,
    publish,
    read,
    reproduce,
    rescore,
    rm,
    run,
    schedule,
    schema,
    stop,
    watch,
)
from prepe.cli.app import app, main

_ORDER = (
    *("new", "run", "ls", "top", "show", "query", "check", "draw", "reproduce"),
    *("confirm", "labels", "front", "colors", "diff", "measure", "plan"),
    *("watch", "stop", "rescore", "export", "animate"),
    *("publish", "compact", "doctor", "rm", "schedule", "schema"),
)
"""The verbs as --help lists them: first what a new user wants first."""
app.registered_commands.sort(key=lambda each: _ORDER.index(each.callback.__name__) if each.callback else -1)

__all__ = [
    "animate",
    "app",
    "check",
    "cluster",
    "colors",
    "compact",
    "confirm",
    "diff",
    "doctor",
    "draw",
    "export",
    "front",
    "labels",
    "main",
    "measure",
    "new",
    "plan",
    "publish",
    "read",
    "reproduce",
    "rescore",
    "rm",
    "run",
    "schedule",
    "schema",
    "stop",
    "watch",
]
