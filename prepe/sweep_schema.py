"""The JSON schema of sweep files, for editors: made of the parts that `sweep.load` checks a file with.

It refuses nothing that `load` accepts, but sees each value at its place alone: it does not know whether a label exists,
an axis fits the model, or a parameter is used. What variants and phases lay over a table need not be a whole one.
"""

import re
from collections.abc import Callable, Mapping
from inspect import cleandoc
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from prepe import catalog
from prepe.catalog import DATA, EFFECT_METRICS, HUES, MEMBER_METRICS, MODELS, OPERATORS, TERMS, DataPart, Part
from prepe.catalog.data import LABEL_CONCEPTS
from prepe.keyframes import ExtendRule, Keyframe, MoveRule, Phase, Schedule
from prepe.measures import Claim, Constraint, Objective
from prepe.spec import Concept, Cycle
from prepe.sweep import Distribution, Search, Sweep

Node = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
"""What editors know for TOML; in it nothing that stands beside a `$ref` counts."""
_WHOLE_REFERENCE = r"\$\w+"
_REFERENCE = r"(([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*\*\s*)?\$\w+"
_STEP = r"\d+|[+-][1-9]\d*|[+-]0?\.\d+"
_BODY = (
    *(part for members in (DATA, MODELS, TERMS, OPERATORS) for part in members.values()),
    *(catalog.CustomModel, catalog.CustomTerm, catalog.Route, Schedule, Concept, Cycle),
)
"""The parts in which a reference to a parameter can stand for a number."""
_EXACTLY_ONE: dict[type[Part], tuple[str, ...]] = {
    Claim: ("metric", "sql"),
    Constraint: ("at_least", "at_most"),
    Distribution: ("int", "float", "log", "choice"),
    ExtendRule: ("below", "above"),
    MoveRule: ("below", "above"),
    Schedule: ("keyframes", "dopesheet"),
    catalog.Subspace: ("axes", "vectors"),
}
"""Keys of which a part needs one and no other."""


def sweep_schema() -> Node:
    """Return the schema of a sweep file, in JSON's plain values."""
    head, body, changes = _definitions(_Head, Sweep), _definitions(_Body, *_BODY), _definitions(_Change, *_BODY)
    sweep = head.pop("Sweep")
    top = {name: node for name, node in sweep["properties"].items() if name not in ("name", "body")}
    top["variants"]["additionalProperties"] = _object(_tables("Change"))
    return {
        "$schema": _DRAFT,
        "title": "A sweep file of prepe",
        **_object(top | _tables()),
        "required": [*(key for key in sweep["required"] if key in top), "data", "model", "schedule"],
        # A search needs objectives, but for a grid, which tries every point.
        "if": {"required": ["search"], "properties": {"search": {"not": _equal("sampler", "grid")}}},
        "then": {"required": ["objectives"]},
        "definitions": head | body | {f"{name}Change": node for name, node in changes.items()},
    }


def _tables(suffix: str = "") -> dict[str, Node]:
    """Return the tables that make a trial, or with the suffix what may be laid over them."""
    one_of: Callable[[str, dict[str, Node], Node | None], Node] = _any if suffix else _one_by

    def member(key: str, members: Mapping[str, type[Part]], custom: type[Part] | None = None) -> Node:
        known = {name: _ref(part, suffix) for name, part in members.items()}
        return one_of(key, known, _ref(custom, suffix) if custom else None)

    return {
        "data": member("kind", DATA),
        "model": member("kind", MODELS, catalog.CustomModel),
        "terms": {"type": "object", "additionalProperties": member("kind", TERMS, catalog.CustomTerm)},
        "routes": {"type": "object", "additionalProperties": _ref(catalog.Route, suffix)},
        "schedule": _ref(Schedule, suffix),
        "concepts": {"type": "object", "additionalProperties": _ref(Concept, suffix)},
        "interventions": {"type": "array", "items": member("operator", OPERATORS)},
        "cycle": _ref(Cycle, suffix),
    }


def _definitions(generator: "type[_Head]", *parts: type[Part]) -> dict[str, Node]:
    """Return the schema of each part, and of each that it is made of, by its name."""
    template = f"#/definitions/{{model}}{generator.suffix}"
    wanted: Any = [(part, "validation") for part in parts]
    _, made = models_json_schema(wanted, ref_template=template, schema_generator=generator)
    definitions: dict[str, Node] = made["$defs"]
    return definitions


def _ref(part: type[Part], suffix: str = "") -> Node:
    return {"$ref": f"#/definitions/{part.__name__}{suffix}"}


def _object(properties: dict[str, Node]) -> Node:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _equal(key: str, value: str) -> Node:
    """Return what holds of tables that have a key with this value."""
    return {"required": [key], "properties": {key: {"const": value}}}


def _text(pattern: str) -> Node:
    """Return what holds of texts that match a pattern from end to end."""
    return {"type": "string", "pattern": f"^({pattern})$"}


def _number(**limits: Any) -> Node:
    """Return what holds of numbers within limits, and of references that stand for one."""
    return limits | {"type": ["number", "string"], "pattern": f"^{_REFERENCE}$"}


def _any(key: str, members: dict[str, Node], custom: Node | None = None) -> Node:
    """Return what holds of tables that are part of some member, and of false, which takes a table out."""
    return {"anyOf": [*members.values(), *([custom] if custom else []), {"const": False}]}


def _one_by(key: str, members: dict[str, Node], custom: Node | None = None) -> Node:
    """Return what holds of tables that are one of some members, told apart by the value of a key.

    An editor offers the keys of all that `anyOf` names, though this always holds; the member that the key names is what
    is asked for, so that a fault is said of its place and not of the whole table.
    """
    names: list[Node] = [{"enum": list(members)}]
    cases = [{"if": _equal(key, name), "then": member} for name, member in members.items()]
    if custom:
        own = _text(catalog.CUSTOM.pattern)
        names.append(own)
        cases.append({"if": {"required": [key], "properties": {key: own}}, "then": custom})
    return {
        "type": "object",
        "required": [key],
        "properties": {key: names[0] if len(names) == 1 else {"anyOf": names}},
        "allOf": cases,
        "anyOf": [*members.values(), *([custom] if custom else []), True],
    }


# --- parts -----------------------------------------------------------------------------------------------------------


class _Head(GenerateJsonSchema):
    """The schema of parts in which every number is written as it is."""

    suffix = ""

    def model_schema(self, schema: core_schema.ModelSchema) -> Node:
        part: type[Part] = schema["cls"]
        node: Node = super().model_schema(schema)
        node.pop("title")
        node["description"] = _flowing(node.pop("description", ""))
        for name, field in part.model_fields.items():
            key = field.alias or name
            each = node["properties"][key] | _values(part, name)
            node["properties"][key] = each if "$ref" in each else _about(part, key) | each
        if part in _EXACTLY_ONE:
            node["oneOf"] = [{"required": [key]} for key in _EXACTLY_ONE[part]]
        return _FORMS[part](node) if part in _FORMS else node

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Node:
        node: Node = super().default_schema(schema)
        if isinstance(node.get("default"), dict | list | None):
            node.pop("default", None)
        return node

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Node:
        """TOML has no null."""
        return self.generate_inner(schema["schema"])

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> Node:
        members = {str(tag): self.generate_inner(each) for tag, each in schema["choices"].items()}
        key = schema["discriminator"]
        return _one_by(key, members) if isinstance(key, str) else {"anyOf": list(members.values())}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> Node:
        node: Node = super().tuple_schema(schema)
        if "prefixItems" in node:
            node |= {"items": node.pop("prefixItems"), "additionalItems": False}
        return node


class _Body(_Head):
    """The schema of parts in which a reference can stand for a number: `"$name"`, or `"0.5 * $name"`."""

    def int_schema(self, schema: core_schema.IntSchema) -> Node:
        return super().int_schema(schema) | {"type": ["integer", "string"], "pattern": f"^{_WHOLE_REFERENCE}$"}

    def float_schema(self, schema: core_schema.FloatSchema) -> Node:
        return _number(**super().float_schema(schema))

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Node:
        node: Node = super().literal_schema(schema)
        return {"anyOf": [node, _text(_WHOLE_REFERENCE)]} if node.get("type") == "integer" else node


class _Change(_Body):
    """The schema of what may be laid over a part: some of its keys, and false for those to be taken out."""

    suffix = "Change"

    def model_schema(self, schema: core_schema.ModelSchema) -> Node:
        node = super().model_schema(schema)
        if "properties" not in node:
            return node
        kept = {key: node[key] for key in ("description", "type", "additionalProperties") if key in node}
        return kept | {
            "properties": {key: {"anyOf": [each, {"const": False}]} for key, each in node["properties"].items()}
        }


def _flowing(text: str) -> str:
    """Return a docstring with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text).split("\n\n"))


def _about(part: type[Part], key: str) -> Node:
    """Return what docstrings say of a key: all that is said of it in the first of a part's ancestors to mention it."""
    for base in part.__mro__:
        said = re.split(r"(?<=[.;])\s+(?=[A-Z`]|\w+ `)", _flowing(base.__doc__ or "")) if issubclass(base, Part) else []
        about = [each for each in said if f"`{key}`" in each]
        if about:
            return {"description": " ".join(about)}
    return {}


def _values(part: type[Part], name: str) -> Node:
    """Return what else is known of a field's values: names that a check looks up, and other ways to write them."""
    if issubclass(part, DataPart) and name == "opened_by":
        return {"additionalProperties": {"enum": part.grades()}}
    return next((_VALUES[base, name] for base in part.__mro__ if (base, name) in _VALUES), {})


def _known(ask: Callable[[DataPart], list[str]]) -> Node:
    """Return the names that any data know, asked one after the other."""
    data = [part.model_construct(kind=kind) for kind, part in DATA.items()]
    return {"enum": list(dict.fromkeys(name for each in data for name in ask(each)))}


_ITEMS = _known(lambda data: data.items())
_VALUES: dict[tuple[type, str], Node] = {
    (catalog.AnchorCapturedTerm, "items"): {"items": _ITEMS},
    (catalog.HsvCube, "without"): {"items": {"anyOf": [{"enum": list(HUES)}, _number(minimum=0, maximum=1)]}},
    (catalog.Intervention, "concept"): {"type": ["string", "array"]},
    (catalog.Intervention, "similarity"): _known(lambda data: data.similarities()),
    (catalog.Label, "concept"): {
        "anyOf": [
            {"enum": [*LABEL_CONCEPTS[:3], *(f"hue:{hue}" for hue in HUES)]},
            _text(catalog.CUSTOM.pattern) | {"not": {"pattern": "^hue:"}},
        ]
    },
    (Concept, "fallback"): _ITEMS,
    (Concept, "item"): _ITEMS,
    (Concept, "similarity"): _known(lambda data: data.similarities()),
    (Cycle, "grade"): _known(lambda data: data.grades()),
    (Cycle, "items"): _known(lambda data: data.cycles()),
    (Phase, "data"): {
        "anyOf": [_ref(part, "Change") for part in DATA.values()],
        "not": {"anyOf": [{"required": ["kind"]}, {"required": ["labels"]}]},
    },
}


def _vector(node: Node) -> Node:
    return {"description": node["description"], "anyOf": [node["properties"]["components"], node]}


def _keyframe(node: Node) -> Node:
    """A keyframe is written flat."""
    known = {key: each for key, each in node["properties"].items() if key != "values"}
    value = node["properties"]["values"]["additionalProperties"]
    known["step"] = known["step"] | {"pattern": f"^({_STEP}|{_WHOLE_REFERENCE})$"}
    known["lr"] = value | {"description": "The learning rate."}
    return node | {"properties": known, "additionalProperties": value, "required": ["step"]}


def _schedule(node: Node) -> Node:
    dopesheet = {"type": "string", "description": "A CSV file beside this one, in place of keyframes and columns."}
    known = node["properties"] | {"dopesheet": dopesheet}
    # A dopesheet has columns of its own.
    return node | {"properties": known, "required": [], "dependencies": {"columns": ["keyframes"]}}


def _search(node: Node) -> Node:
    return node | {"if": {"not": _equal("sampler", "grid")}, "then": {"required": ["trials"]}}


def _distribution(node: Node) -> Node:
    return node | {"dependencies": {"step": ["int"]}}


def _measure(node: Node) -> Node:
    """A metric is one of an intervention's effect if an intervention is named, else one of the members themselves."""
    metrics = MEMBER_METRICS | EFFECT_METRICS
    described = "\n".join(f"{name}: {metric.doc}." for name, metric in sorted(metrics.items()))
    metric = node["properties"]["metric"] | {"enum": sorted(metrics), "description": described}
    of_effects, of_members = (
        {"properties": {"metric": {"enum": [*each]}}} for each in (EFFECT_METRICS, MEMBER_METRICS)
    )
    condition = {"if": {"required": ["intervention"]}, "then": of_effects, "else": of_members}
    return node | {"properties": node["properties"] | {"metric": metric}} | condition


def _claim(node: Node) -> Node:
    bounds = {"anyOf": [{"required": [key]} for key in ("at_least", "at_most", "equals")]}
    together = {"equals": ["tolerance"], "tolerance": ["equals"], "intervention": ["metric"], "variant": ["metric"]}
    return _measure(node) | bounds | {"dependencies": together}


_FORMS: dict[type[Part], Callable[[Node], Node]] = {
    catalog.Vector: _vector,
    Claim: _claim,
    Constraint: _measure,
    Distribution: _distribution,
    Keyframe: _keyframe,
    Objective: _measure,
    Schedule: _schedule,
    Search: _search,
}
"""Parts that are written otherwise than they are made of, or checked for more than each value by itself."""
