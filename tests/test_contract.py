"""The laws that every term, operator, model and metric keeps; a member of the catalog without a row here fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from prepe import catalog, data, interventions, models, regularizers, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, MODELS, OPERATORS, TERMS, Axis, Intervention, RgbGrid, Vector
from prepe.errors import PrepeError
from prepe.interventions import Edited
from prepe.metrics import geometry, selectivity
from prepe.models import Autoencoder, Model
from prepe.regularizers import Context

TASK = data.task(RgbGrid(kind="rgb_grid", size=4))
LAB = TASK.similarities["lab"](TASK.grid.inputs, TASK.item("red"))
SIMILARITY = TASK.similarities["hsv"](TASK.grid.inputs, TASK.item("red"))
RED, OPPOSED = Axis(axis=0), Axis(axis=2, sign=-1)
OFF_AXES = Vector(components=(0.48, -0.6, 0.64))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products of matrices shared among threads may be rounded otherwise for one member than for several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Row:
    """A member of an open set as a function of one tensor, `(*members, ...)`, and a maker of such tensors."""

    of: str
    name: str
    call: Callable[[Tensor], Tensor]
    example: Callable[[int, torch.dtype], Tensor]
    differentiable: bool = True


def activations(members: int, dtype: torch.dtype) -> Tensor:
    """Latents of unit length, as they are at the bottleneck, `(members, batch, 3)`."""
    x = torch.randn(members, 24, 3, dtype=dtype, generator=torch.Generator().manual_seed(members))
    return x / x.norm(dim=-1, keepdim=True)


def tiny_model() -> Autoencoder:
    return models.build(catalog.Autoencoder(kind="autoencoder", latent_dim=3, hidden_dim=4, depth=1), TASK)


def parameters(members: int, dtype: torch.dtype) -> Tensor:
    return tiny_model().init(list(range(members))).to(dtype)


def errors(members: int, dtype: torch.dtype) -> Tensor:
    """Errors before and after, `(members, 2, items)`: ideal responses, more or less."""
    rng = np.random.default_rng(members)
    noise = rng.random((2, members, len(SIMILARITY)))
    before, after = 0.01 * noise[0], 0.01 * noise[0] + 0.25 * SIMILARITY**3 * (0.5 + noise[1])
    return torch.from_numpy(np.stack([before, after], axis=1)).to(dtype)


def run(edited: Edited) -> Tensor:
    example = next(iter(edited.params.values()))
    inputs = torch.as_tensor(TASK.train.inputs, dtype=example.dtype)
    return edited(inputs.expand(*example.shape[:-2], *inputs.shape)).outputs


def model_row(name: str, batch: int = 64, of: str = "model", **own: Any) -> Row:
    """What a model puts out and its activations, as a function of its parameters."""
    if of == "model":
        model: Model = models.build(
            MODELS[name].model_validate({"kind": name, "latent_dim": 3, "hidden_dim": 4, **own}), TASK
        )
    else:
        model = models.build(catalog.CustomModel(kind=name, **own), TASK)

    def call(flat: Tensor) -> Tensor:
        inputs = torch.as_tensor(TASK.train.inputs[:batch], dtype=flat.dtype)
        forward = model(model.unpack(flat), inputs.expand(*flat.shape[:-1], *inputs.shape))
        return torch.cat([forward.outputs, *forward.sites.values()], dim=-1)

    return Row(of, name, call, lambda members, dtype: model.init(list(range(members))).to(dtype))


def term_row(kind: str, of: str = "term", **own: Any) -> Row:
    parts = {**TERMS, kind: TERMS.get(kind, catalog.CustomTerm)}
    part = parts[kind].model_validate({"kind": kind, "site": "bottleneck", **own})
    term = regularizers.build(part)
    longer = (lambda m, d: 1.5 * activations(m, d)) if kind == "unit_norm" else activations

    def call(x: Tensor) -> Tensor:
        captured = {}
        if isinstance(part, catalog.AnchorCapturedTerm):  # the first samples are where the items are now
            captured[part.key()] = x.new_zeros(len(part.items), 3), torch.full_like(x[..., : len(part.items), :], 0.3)
        context = Context(
            x,
            x,
            x,
            {"bottleneck": x},
            labels={"red": (x.detach()[..., 0] > 0.5).to(x.dtype)},
            decode=lambda z: z.square() - z.flip(-1),
            captured=captured,
            activations=lambda inputs, _: x[..., : inputs.shape[-2], :],
        )
        return term(context)

    return Row(of, kind, call, longer, differentiable=kind != "fallback")  # some of it is taken as given


def operator_part(operator: str, **own: Any) -> Intervention:
    shared = {"label": "x", "concept": "red", "power": 2.0, "operator": operator}
    return OPERATORS[operator].model_validate({**shared, **own})


def operator_row(operator: str, direction: Axis | Vector, **own: Any) -> Row:
    """What an edited model puts out, as a function of the model's parameters."""
    model, part = tiny_model(), operator_part(operator, **own)

    def call(flat: Tensor) -> Tensor:
        return run(interventions.apply(part, [direction], model, model.unpack(flat)))

    return Row("operator", operator, call, parameters)


def edit_of(operator: str, direction: Axis | Vector, **own: Any) -> Callable[[Tensor], Tensor]:
    """An operator on activations alone."""
    part, model = operator_part(operator, **own), tiny_model()

    def call(x: Tensor) -> Tensor:
        params = model.unpack(parameters(1, x.dtype))
        return interventions.apply(part, [direction], model, params).edits["bottleneck"](x)

    return call


def edit_row(operator: str, direction: Axis | Vector, **own: Any) -> Row:
    return Row("operator", operator, edit_of(operator, direction, **own), activations)


def metric_row(name: str) -> Row:
    """A metric of an effect, from errors on the grid or from latents."""
    direction = Axis(axis=1).unit(3)

    def from_errors(x: Tensor) -> Tensor:
        before, after = np.moveaxis(x.numpy(), -2, 0)
        if name == "score_ccc_other":
            return torch.as_tensor(selectivity.concordance(after - before, 0.25 * LAB**3))
        if name.startswith("bound"):
            return torch.as_tensor(selectivity.bound(after - before, np.abs(before))[name])
        if name == "score_r2":
            return torch.as_tensor(selectivity.score_r2(SIMILARITY, after, 3.0))
        return torch.as_tensor(selectivity.effects(before, after, SIMILARITY, 3.0, 0.25)[name])

    def from_latents(x: Tensor) -> Tensor:
        measure = {"axis_purity": geometry.axis_purity, "anchor_cos": geometry.alignment}[name]
        return torch.as_tensor(measure(x.numpy(), direction))

    if name in ("axis_purity", "anchor_cos"):
        return Row("metric", name, from_latents, activations, differentiable=False)
    return Row("metric", name, from_errors, errors, differentiable=False)


EDITS: list[tuple[str, Axis | Vector, dict[str, Any]]] = [
    ("suppress", RED, {}),
    ("suppress", OPPOSED, {"gate": {"power": 2, "strength": 0.5}}),
    ("suppress", OFF_AXES, {"gate": {"start": 0.2}}),
    ("repel", RED, {}),
    ("repel", OPPOSED, {"mapper": {"start": 0.3, "end": 0.6}}),
    ("repel", OFF_AXES, {}),
]
TWO_SIDED: list[tuple[str, Axis | Vector, dict[str, Any]]] = [
    ("project", RED, {}),
    ("project", OFF_AXES, {}),
    ("project", OFF_AXES, {"renormalize": True}),
]
ROWS = [
    model_row("autoencoder"),
    model_row("autoencoder", activation="relu", normalize="none", output="sigmoid"),
    *(model_row("autoencoder", batch, hidden_dim=5, output="sigmoid", depth=2) for batch in (1, 6, 7, 33)),
    model_row("own:small_model", of="own model", widths={"middle": 3, "after": 3}),
    term_row("anchor", direction={"axis": 0}),
    term_row("anchor", direction=[0.48, -0.6, 0.64]),
    term_row("anti_anchor", direction={"axis": 1, "sign": -1}),
    term_row("anti_anchor", direction={"axis": 1}, form="full"),
    term_row("classify", direction={"axis": 0}, label="red", positive=3.0),
    term_row("classify", direction=[0.48, -0.6, 0.64], label="red", scale=2.0, middle=0.0),
    term_row("subspace", axes=[1]),
    term_row("anti_subspace", axes=[0, 2]),
    term_row("fallback", direction={"axis": 0}),
    term_row("fallback", direction=[0.48, -0.6, 0.64]),
    term_row("fallback", direction={"axes": [0, 2]}),
    term_row("separate", power=100),
    term_row("separate", power=10, shift=False),
    term_row("unit_norm"),
    term_row("anchor_euclidean", direction={"axis": 2, "sign": -1}, radius=0.5),
    term_row("anchor_euclidean", direction=[0.48, -0.6, 0.64]),
    term_row("anchor_captured", items=["red", "green"]),
    term_row("planarity", axes=[1, 2]),
    term_row("repel_euclidean", axes=[0, 2]),
    term_row("repel_euclidean", axes=[1], diagonal=True),
    term_row("own:tilt", of="own term", parameters={"by": 0.3}),
    operator_row("suppress", RED),
    operator_row("suppress", OFF_AXES, gate={"start": 0.2, "strength": 0.7, "power": 1.5}),
    operator_row("repel", RED),
    operator_row("ablate", RED),
    operator_row("ablate", OPPOSED),
    operator_row("prune", RED),
    operator_row("prune", OPPOSED),
    operator_row("ablate", OFF_AXES),
    operator_row("prune", OFF_AXES),
    operator_row("project", RED),
    *(edit_row(operator, direction, **own) for operator, direction, own in (*EDITS, *TWO_SIDED)),
    *(metric_row(name) for name in EFFECT_METRICS if name not in tiny.OF_ONE),
]
EVERY = pytest.mark.parametrize("row", ROWS, ids=[f"{row.of}-{row.name}-{i}" for i, row in enumerate(ROWS)])
SMOOTH = [row for row in ROWS if row.differentiable]
EVERY_SMOOTH = pytest.mark.parametrize("row", SMOOTH, ids=[f"{row.of}-{row.name}-{i}" for i, row in enumerate(SMOOTH)])


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("of", "members"),
    [("model", MODELS), ("term", TERMS), ("operator", OPERATORS), ("metric", EFFECT_METRICS)],
)
def test_every_member_of_the_catalog_has_a_row(of: str, members: dict[str, object]) -> None:
    rows = {row.name for row in ROWS if row.of == of}
    assert rows == set(members) - {*tiny.OF_ONE, *tiny.OF_TRIALS}  # which need a whole trial, and are in one below


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_an_ensemble_is_the_loop_over_its_members_exactly(row: Row, dtype: torch.dtype) -> None:
    x = row.example(5, dtype)
    each = [row.call(x[i : i + 1]) for i in range(5)]
    assert torch.equal(row.call(x), torch.cat(each))


@EVERY
def test_members_may_be_none_or_a_table(row: Row) -> None:
    x = row.example(6, torch.float64)
    whole = row.call(x)
    close(row.call(x[4]), whole[4])
    close(row.call(x.reshape(2, 3, *x.shape[1:])), whole.reshape(2, 3, *whole.shape[1:]))


@EVERY
def test_members_differ_and_do_not_mix(row: Row) -> None:
    x = row.example(5, torch.float32)
    changed = x.clone()
    changed[3] = x[0]
    before, after = row.call(x), row.call(changed)
    others = [0, 1, 2, 4]
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[3], after[3])


@EVERY
def test_values_are_finite(row: Row) -> None:
    for dtype in (torch.float32, torch.float64):
        assert torch.isfinite(row.call(row.example(5, dtype))).all()


@EVERY_SMOOTH
def test_values_have_the_inputs_type(row: Row) -> None:
    for dtype in (torch.float32, torch.float64):
        assert row.call(row.example(5, dtype)).dtype == dtype


@EVERY
def test_inputs_are_not_touched(row: Row) -> None:
    x = row.example(5, torch.float32)
    copy = x.clone()
    row.call(x)
    assert torch.equal(x, copy)


@EVERY
def test_the_same_inputs_give_the_same_values(row: Row) -> None:
    x = row.example(5, torch.float32)
    assert torch.equal(row.call(x), row.call(x))


@EVERY_SMOOTH
def test_gradients_are_finite_and_reach_the_inputs(row: Row) -> None:
    x = row.example(5, torch.float32).requires_grad_()
    (gradient,) = torch.autograd.grad(row.call(x).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient.reshape(5, -1).abs().amax(1) > 0).all()


@EVERY_SMOOTH
def test_gradients_are_those_of_small_differences(row: Row) -> None:
    x = row.example(2, torch.float64)
    x = (x[:, :5].contiguous() if x.dim() == 3 else x).requires_grad_()
    assert torch.autograd.gradcheck(row.call, x, fast_mode=True)


@pytest.mark.parametrize(
    "edit",
    [
        edit_of("suppress", RED, gate={"strength": 0}),
        edit_of("suppress", OFF_AXES, gate={"strength": 0, "power": 2}),
        edit_of("repel", RED, mapper={"end": 1}),
        edit_of("repel", OFF_AXES, mapper={"start": 0.5, "end": 1}),
    ],
)
def test_an_edit_without_strength_is_the_identity(edit: Callable[[Tensor], Tensor]) -> None:
    x = activations(3, torch.float64)
    torch.testing.assert_close(edit(x), x, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "delete", [interventions.ablate, lambda *a: interventions.prune(*a)[1]], ids=["ablate", "prune"]
)
def test_a_deletion_of_nothing_is_the_identity(delete: Callable[..., dict[str, Tensor]]) -> None:
    model = tiny_model()
    params = model.unpack(parameters(3, torch.float32))
    deleted = delete(model, params, "bottleneck", [])
    assert all(torch.equal(deleted[name], params[name]) for name in params)
    assert set(deleted) == set(params)


@pytest.mark.parametrize(
    "edit",
    [
        edit_of("suppress", RED),
        edit_of("suppress", OFF_AXES),
        edit_of("suppress", RED, gate={"start": 0.4}),
        *(edit_of(operator, direction, **own) for operator, direction, own in TWO_SIDED),
    ],
)
def test_a_projection_done_twice_is_done_once(edit: Callable[[Tensor], Tensor]) -> None:
    x = activations(3, torch.float64)
    once = edit(x)
    assert not torch.equal(once, x)
    torch.testing.assert_close(edit(once), once, rtol=0, atol=1e-14)


def test_an_ablation_done_twice_is_done_once() -> None:
    model = tiny_model()
    once = interventions.ablate(model, model.unpack(parameters(3, torch.float32)), "bottleneck", [0, 2])
    twice = interventions.ablate(model, once, "bottleneck", [0, 2])
    assert all(torch.equal(once[name], twice[name]) for name in once)


@pytest.mark.parametrize(("operator", "direction", "own"), EDITS)
def test_what_is_not_aligned_is_left_as_it_is_to_the_bit(
    operator: str, direction: Axis | Vector, own: dict[str, Any]
) -> None:
    x = activations(3, torch.float32)
    edited = edit_of(operator, direction, **own)(x)
    aligned = x @ torch.as_tensor(direction.unit(3), dtype=x.dtype) > 0
    assert torch.equal(edited[~aligned], x[~aligned])
    assert (edited != x)[aligned].any()


def test_a_users_term_of_another_shape_is_refused_before_it_could_mix_members() -> None:
    row = term_row("own:of_wrong_shape", of="own term", parameters={"shape": "members"})
    with pytest.raises(PrepeError, match=r"returned \(5,\); allowed: a tensor \(\*members, batch\), here \(5, 24\)"):
        row.call(activations(5, torch.float32))


MEMBERS = 3


@pytest.fixture(scope="module")
def together() -> trial.Outcome:
    return trial.run(tiny.trial(**tiny.WHOLE), list(range(MEMBERS)), device="cpu")


@pytest.fixture(scope="module")
def alone() -> list[trial.Outcome]:
    return [trial.run(tiny.trial(**tiny.WHOLE), [seed], device="cpu") for seed in range(MEMBERS)]


@pytest.mark.parametrize("name", MEMBER_METRICS)
def test_a_members_metric_is_the_same_alone_and_among_others(
    name: str, together: trial.Outcome, alone: list[trial.Outcome]
) -> None:
    values = [row[name] for row in together.tables["members"]]
    assert all(isinstance(value, int | float) and np.isfinite(value) for value in values)
    assert values == [outcome.tables["members"][0][name] for outcome in alone]


@pytest.mark.parametrize("name", EFFECT_METRICS)
def test_an_effects_metric_is_the_same_alone_and_among_others(
    name: str, together: trial.Outcome, alone: list[trial.Outcome]
) -> None:
    def values(outcomes: list[trial.Outcome]) -> dict[tuple[int, str], float]:
        return {
            (row["seed"], row["intervention"]): row[name]
            for outcome in outcomes
            for row in outcome.tables["effects"]
            if tiny.OF_ONE.get(name, row["intervention"]) == row["intervention"]
        }

    labels = [tiny.OF_ONE[name]] if name in tiny.OF_ONE else [each["label"] for each in tiny.WHOLE["interventions"]]
    assert set(values([together])) == {(seed, label) for seed in range(MEMBERS) for label in labels}
    assert all(np.isfinite(value) for value in values([together]).values())
    assert values([together]) == values(alone)
