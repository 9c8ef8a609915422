"""Terms of the loss: a `terms` part of a specification in, a penalty per sample out."""

from prepe.catalog import Term
from prepe.regularizers.context import Context
from prepe.regularizers.terms import TERMS, Penalty


def build(part: Term) -> Penalty:
    """Make the penalty that a `terms` part describes: a function of a `Context`, giving `(*members, batch)`."""
    return TERMS[part.kind](part)


__all__ = ["Context", "Penalty", "build"]
