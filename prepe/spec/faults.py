"""A table of plain values in; a checked part out, or one line that says what is wrong: path, value, what is allowed."""

import re
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from prepe.catalog import CUSTOM, Part, unknown
from prepe.errors import PrepeError
from prepe.keyframes import RULES

P = TypeVar("P", bound=Part)
_DIRECTION = "an axis as { axis = 0, sign = 1 }, or a list of components"
_NEEDED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "union_tag_not_found": _DIRECTION,
}
"""What TOML calls the types that a validation asks for."""


def table_of(table: dict[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    value = table.get(key, default)
    if value is None:
        raise PrepeError(f"{key}: the table [{key}] is missing")
    if not isinstance(value, dict):
        raise PrepeError(f"{key}: {value!r} stands where a table is needed")
    return value


def member(members: dict[str, type[P]], key: str, value: Any, path: str, custom: type[P] | None = None) -> P:
    """Check one member of an open set, told apart by `key`; a user's own, `package.module:function`, is a `custom`."""
    if not isinstance(value, dict):
        raise PrepeError(f"{path}: {value!r} stands where a table is needed")
    name = value.get(key)
    if name is None:
        raise PrepeError(f"{path}.{key}: missing; allowed: {', '.join(members)}")
    if custom is not None and isinstance(name, str) and CUSTOM.fullmatch(name):
        return checked(custom, value, path)
    if not isinstance(name, str) or name not in members:
        raise PrepeError(f"{path}.{key}: {unknown(name, members, key)}")
    return checked(members[name], value, path)


def checked(part: type[P], value: Any, path: str) -> P:
    try:
        return part.model_validate(value)
    except ValidationError as error:
        raise PrepeError(explain(error, value, path)) from None


def explain(error: ValidationError, value: Any, path: str = "") -> str:
    """Say in one line what the first fault of a validation is: path, value, and what is allowed.

    Args:
        error: what the validation raised.
        value: what was validated; a step of the error that is not in it, such as the form of a union, is left out.
        path: where the value stands.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    place: tuple[int | str, ...] = ()
    missing = first["type"] == "missing"
    for i, step in enumerate(first["loc"], 1):
        if isinstance(value, dict) and (step in value or (missing and step == first["loc"][-1])):
            path, value = f"{path}.{step}" if path else str(step), value.get(step)
            place = first["loc"][:i]
        elif isinstance(value, list | tuple) and isinstance(step, int):
            path, value = f"{path}[{step}]", value[step] if step < len(value) else None
            place = first["loc"][:i]
    if missing:
        return f"{path}: missing, and it has no default"
    if first["type"] == "value_error":
        return f"{path}: {_message(first)}"
    if first["type"] == "union_tag_invalid":
        key, tag, tags = (first["ctx"][name] for name in ("discriminator", "tag", "expected_tags"))
        if key.endswith("()"):  # a function tells apart what has no key for it, which directions alone are
            return f"{path}: {first['input']!r} stands here; allowed: {_DIRECTION}"
        return f"{path}.{key.strip(chr(39))}: {tag!r} stands here; allowed: {tags}"
    if first["type"] == "union_tag_not_found" and not first["ctx"]["discriminator"].endswith("()"):
        return f"{path}.kind: missing; allowed: {', '.join(RULES)}"  # a function's is a direction, which has no kind
    forms = [
        first,
        *(each for each in errors if each["loc"][: len(place)] == place and each["input"] == first["input"]),
    ]
    return f"{path}: {first['input']!r} stands here; allowed: {', or '.join(dict.fromkeys(map(_needed, forms)))}"


def _needed(error: ErrorDetails) -> str:
    return _NEEDED.get(error["type"]) or re.sub(r"^\w+ should (be |have |match )?", "", _message(error))


def _message(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ").split(" after validation")[0]
