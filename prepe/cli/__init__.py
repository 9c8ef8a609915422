"""The command line: parse, call, print. One verb a function, and each verb is one call from Python."""

from prepe.cli import run  # isort: skip  # the order is that of the verbs in --help
from prepe.cli import read, reproduce
from prepe.cli.app import app, main

__all__ = ["app", "main", "read", "reproduce", "run"]
