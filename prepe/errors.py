"""The one exception that a user is meant to read."""


class PrepeError(Exception):
    """What was wrong with an input or a store, in one message that says where, what, and what is allowed.

    The command line prints it and exits with code 2; a Python caller may catch it.
    """


def printable(text: str) -> str:
    """Return a text from somebody's file with what would break a line, or command a terminal, escaped."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
