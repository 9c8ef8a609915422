"""A law and strategies in; the law tried on very many examples, from a seed that is printed."""

import functools
import os
import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from prepe.errors import PrepeError

T = TypeVar("T")
MANY = 300
"""Examples of which some are surely of every kind."""


def numbers(quick: int, slow: int) -> pytest.MarkDecorator:
    """Have a test tried on `quick` examples by default, and on `slow` ones where slow tests run."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(slow, marks=pytest.mark.slow)])


def holds(law: Callable[..., object], examples: int, **strategies: SearchStrategy[object]) -> None:
    """Try a law on so many examples; PREPE_SEED sets the seed, which pytest shows when the law is broken."""
    number = int(os.environ.get("PREPE_SEED") or random.randrange(2**32))
    print(f"PREPE_SEED={number}")
    chosen = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        print_blob=False,
    )

    @functools.wraps(law)
    def tried(*args: object, **named: object) -> None:
        law(*args, **named)

    seed(number)(chosen(given(**strategies)(tried)))()


def refused(call: Callable[[], T]) -> tuple[str, None] | tuple[None, T]:
    """Return what a call's PrepeError says, which must be one line, or else what the call returns."""
    try:
        return None, call()
    except PrepeError as error:
        said = str(error)
    assert said
    assert len(said.splitlines()) == 1, said
    return said, None
