"""A frozen piece of a specification, and the ranges of its numbers."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1, le=2**31 - 1)]
Count = Annotated[int, Field(ge=1, le=100_000)]
"""How many of something are in memory at once, such as members or the items of a batch."""
Updates = Annotated[int, Field(ge=1, le=10_000_000)]
"""How many steps something takes, each of which costs time, or a row of a table."""
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen piece of a specification that refuses keys it does not know, and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(unknown(key, cls.model_fields))
        return value


def unknown(name: object, allowed: Iterable[object], what: str = "key") -> str:
    """Say that a name is not known, what is allowed, and which one was probably meant."""
    names = [str(each) for each in allowed]
    near = get_close_matches(str(name), names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {name!r}{hint}; allowed: {', '.join(names) or 'none'}"
