"""Terms of the loss: a `terms` part of a specification in, a penalty per sample out."""

from prepe.catalog import CustomTerm, Term
from prepe.regularizers.context import Context
from prepe.regularizers.terms import TERMS, Penalty, custom_term


def build(part: Term) -> Penalty:
    """Make the penalty that a `terms` part describes: a function of a `Context`, giving `(*members, batch)`.

    Raises:
        PrepeError: a user's own function is not to be had.
    """
    return custom_term(part) if isinstance(part, CustomTerm) else TERMS[part.kind](part)


__all__ = ["Context", "Penalty", "build"]
