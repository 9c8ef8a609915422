"""Gates, mappers, edits of activations and deletions from weights, case by case."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from prepe import catalog, data, interventions, models, train
from prepe.catalog import Axis, Gate, Mapper, Vector
from prepe.interventions import Edited, ablate, prune, repel, suppress
from prepe.interventions.gates import falloff, remap
from prepe.models import Autoencoder, Params

COS90, COS60, COS89 = math.cos(math.pi / 2), 0.5, math.cos(math.radians(89))
E0 = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
OFF_AXES = torch.tensor([0.5, -0.5, 0.7, 0.1], dtype=torch.float64)
HARD = Gate(start=COS90, strength=1.0, power=0.0)


def on_sphere(n: int = 200, dim: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (x / x.norm(dim=-1, keepdim=True)).to(dtype)


def vector(*components: float) -> Tensor:
    return torch.tensor(components, dtype=torch.float64)


# --- gates and mappers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "strength", "power"), [(0, 0.5, 1), (0, 0.5, 2), (COS60, 1, 1), (COS60, 1, 2)])
def test_a_gate_rises_from_its_start_to_its_strength(start: float, strength: float, power: float) -> None:
    gate = Gate(start=start, strength=strength, power=power)
    for a in np.linspace(0, 1, 21):
        expected = strength * ((a - start) / (1 - start)) ** power if a > start else 0.0
        assert falloff(gate, vector(a)).item() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("gate", "alignment", "share"),
    [
        (Gate(start=0, strength=0.3, power=0), 0.0, 0.0),
        (Gate(start=0, strength=0.3, power=0), 1e-30, 0.3),
        (Gate(start=0.5, strength=0.3, power=0), 0.5, 0.0),
        (Gate(start=0.5, strength=0.3, power=0), 0.5000001, 0.3),
        (HARD, 0.0, 0.0),
        (HARD, 1e-10, 1.0),
        (Gate(start=1, strength=0.3, power=2), 0.7, 0.7),
        (Gate(start=1 - 1e-9, strength=0.3, power=2), 0.7, 0.7),
        (Gate(start=0, strength=1, power=2), 0.5, 0.25),
    ],
)
def test_gates_at_their_edges(gate: Gate, alignment: float, share: float) -> None:
    assert falloff(gate, vector(alignment)).item() == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize(
    ("mapper", "alignment", "mapped"),
    [
        (Mapper(start=0, end=0.5), 0.5, 0.25),
        (Mapper(start=0, end=0.5), 1.0, 0.5),
        (Mapper(start=0, end=0.5), 0.0, 0.0),
        (Mapper(start=0.5, end=0.75), 0.4, 0.4),
        (Mapper(start=0.5, end=0.75), 0.5, 0.5),
        (Mapper(start=0.5, end=0.75), 0.6, 0.55),
        (Mapper(start=0.5, end=0.75), 1.0, 0.75),
        (Mapper(start=COS90, end=COS89), 1.0, COS89),
        (Mapper(start=0.25, end=1), 0.8, 0.8),
    ],
)
def test_mappers_have_the_worked_values(mapper: Mapper, alignment: float, mapped: float) -> None:
    assert remap(mapper, vector(alignment)).item() == pytest.approx(mapped, abs=1e-15)


# --- suppress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "before", "after"),
    [
        (HARD, (0, 0, 0, 0), (0, 0, 0, 0)),
        (HARD, (0, 1, 0, 0), (0, 1, 0, 0)),
        (HARD, (-0.6, 0.8, 0, 0), (-0.6, 0.8, 0, 0)),
        (HARD, (0.6, 0.8, 0, 0), (0, 0.8, 0, 0)),
        (HARD, (1, 0, 0, 0), (0, 0, 0, 0)),
        (Gate(start=0.7), (0.6, 0.8, 0, 0), (0.6, 0.8, 0, 0)),
        (Gate(start=0.5), (0.6, 0.8, 0, 0), (0, 0.8, 0, 0)),
        (Gate(strength=0.5), (0.6, 0.8, 0, 0), (0.3, 0.8, 0, 0)),
        (Gate(strength=0.5), (2, 0, 0, 0), (1, 0, 0, 0)),
        (Gate(strength=0.5, power=3), (5, 1, 0, 0), (2.5, 1, 0, 0)),
        (Gate(power=1), (2, 0, 1, 0), (0, 0, 1, 0)),
        (Gate(power=2), (0.6, 0.8, 0, 0), (0.6 * (1 - 0.36), 0.8, 0, 0)),
        (Gate(start=1), (0.6, 0.8, 0, 0), (0.6 * (1 - 0.6), 0.8, 0, 0)),
        (Gate(start=1), (1, 0, 0, 0), (0, 0, 0, 0)),
        (Gate(start=1), (-0.6, 0.8, 0, 0), (-0.6, 0.8, 0, 0)),
    ],
)
def test_suppression_case_by_case(gate: Gate, before: tuple[float, ...], after: tuple[float, ...]) -> None:
    edited = suppress(gate, E0)(vector(*before))
    torch.testing.assert_close(edited, vector(*after), rtol=0, atol=1e-15)
    if before == after:
        assert torch.equal(edited, vector(*before))


def test_suppression_along_a_vector_is_suppression_along_an_axis_seen_from_elsewhere() -> None:
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    x, gate = on_sphere(), Gate(start=0.1, strength=0.8, power=1.5)
    torch.testing.assert_close(suppress(gate, E0 @ turn)(x @ turn), suppress(gate, E0)(x) @ turn)


def test_hard_suppression_leaves_no_positive_alignment_and_shortens_what_it_changes() -> None:
    x = on_sphere()
    edited = suppress(HARD, E0)(x)
    aligned = x[:, 0] > 0
    assert (edited[aligned, 0] == 0).all()
    assert torch.equal(edited[:, 1:], x[:, 1:])
    assert (edited[aligned].norm(dim=-1) < 1).all()


def test_a_squared_gate_leaves_the_rest_that_its_formula_says() -> None:
    d = torch.linspace(0, 1, 11, dtype=torch.float64)
    x = torch.stack([d, (1 - d**2).sqrt()], dim=-1)
    edited = suppress(Gate(power=2), vector(1, 0))(x)
    torch.testing.assert_close(edited[:, 0], d * (1 - d**2))


# --- repel -----------------------------------------------------------------------------------------------------------

REPEL = pytest.mark.parametrize(
    "direction",
    [E0, -E0, OFF_AXES / OFF_AXES.norm(), vector(1, 1, 1, 1) / 2],
    ids=["an axis", "the other side", "a vector", "the diagonal"],
)
MAPPERS = pytest.mark.parametrize(
    "mapper", [Mapper(start=0, end=COS89), Mapper(start=0, end=0.5), Mapper(start=0.5, end=0.8)]
)


@REPEL
@MAPPERS
def test_repelled_vectors_have_unit_length_and_the_mapped_alignment(direction: Tensor, mapper: Mapper) -> None:
    x = on_sphere()
    edited = repel(mapper, direction)(x)
    alignment = x @ direction
    moved = alignment > 0
    torch.testing.assert_close(edited.norm(dim=-1), torch.ones(len(x), dtype=x.dtype))
    torch.testing.assert_close(edited[moved] @ direction, remap(mapper, alignment[moved]), rtol=0, atol=1e-12)
    assert torch.equal(edited[~moved], x[~moved])


@REPEL
@MAPPERS
def test_repelled_vectors_stay_in_the_plane_of_themselves_and_the_direction(direction: Tensor, mapper: Mapper) -> None:
    x = on_sphere()
    edited = repel(mapper, direction)(x)
    across, moved_across = (each - (each @ direction)[:, None] * direction for each in (x, edited))
    same_way = torch.nn.functional.cosine_similarity(across, moved_across)
    torch.testing.assert_close(same_way, torch.ones(len(x), dtype=x.dtype))


def test_what_lies_below_the_start_stays_where_it_is() -> None:
    x = on_sphere()
    edited = repel(Mapper(start=0.5, end=0.8), E0)(x)
    below = x[:, 0] <= 0.5
    torch.testing.assert_close(edited[below], x[below], rtol=0, atol=1e-14)
    assert not torch.allclose(edited[~below], x[~below])


def test_a_zero_vector_and_the_opposite_of_the_direction_are_left_as_they_are() -> None:
    x = torch.stack([torch.zeros(4, dtype=torch.float64), -E0])
    assert torch.equal(repel(Mapper(), E0)(x), x)


@REPEL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_parallel_vector_goes_the_same_way_every_time_and_is_never_nan(direction: Tensor, dtype: torch.dtype) -> None:
    direction = direction.to(dtype)
    edit = repel(Mapper(start=0, end=COS89), direction)
    one = edit(direction[None])
    assert one.shape == (1, 4)
    assert torch.isfinite(one).all()
    assert one.norm().item() == pytest.approx(1, abs=1e-6)
    assert (one @ direction).item() == pytest.approx(COS89, abs=1e-6)
    assert torch.equal(edit(direction.expand(2, 3, 4)), one.expand(2, 3, 4))
    assert torch.equal(repel(Mapper(start=0, end=COS89), direction)(direction), one[0])


@REPEL
def test_a_vector_that_is_parallel_but_for_rounding_is_no_exception(direction: Tensor) -> None:
    direction = direction.float()
    noise = 3e-8 * torch.randn(500, 4, generator=torch.Generator().manual_seed(2))
    edited = repel(Mapper(start=0, end=COS89), direction)(direction + noise)
    torch.testing.assert_close(edited.norm(dim=-1), torch.ones(500), rtol=0, atol=1e-5)
    torch.testing.assert_close(edited @ direction, torch.full((500,), COS89), rtol=0, atol=1e-5)


# --- deletion --------------------------------------------------------------------------------------------------------

AXES = pytest.mark.parametrize("axes", [[0], [1], [3], [0, 2], [2, 0, 2]], ids=str)


@pytest.fixture(scope="module")
def trained() -> tuple[Autoencoder, Params, data.Task]:
    """A trained model of three members, in float64."""
    training = tiny.training(model={"kind": "autoencoder", "latent_dim": 4, "hidden_dim": 8, "depth": 2})
    task = data.task(training.data)
    model = models.build(training.model, task)
    flat = train.train(training, [0, 1, 2], device="cpu").params
    return model, model.unpack(flat.double()), task


def errors(edited: Edited, task: data.Task) -> np.ndarray:
    """Return each colour's error on the selectivity grid, `(members, colours)`."""
    rgb = torch.from_numpy(task.grid.inputs)
    with torch.no_grad():
        outputs = edited(rgb.expand(3, *rgb.shape)).outputs.clamp(0, 1)
    return data.error(outputs.numpy(), task.grid.targets)


@AXES
def test_pruning_is_ablation_to_a_millionth_in_every_colours_error(
    trained: tuple[Autoencoder, Params, data.Task], axes: list[int]
) -> None:
    model, params, task = trained
    before = errors(Edited(model, params), task)
    ablated = errors(Edited(model, ablate(model, params, "bottleneck", axes)), task)
    pruned = errors(Edited(*prune(model, params, "bottleneck", axes)), task)
    assert np.abs(ablated - before).max() > 1e-3
    np.testing.assert_allclose(pruned, ablated, rtol=0, atol=1e-6)


def test_the_two_operators_agree_as_interventions(trained: tuple[Autoencoder, Params, data.Task]) -> None:
    model, params, task = trained
    shared = {"label": "x", "concept": "red", "power": 3.0}
    for direction in (Axis(axis=2), Axis(axis=2, sign=-1)):
        ablated = interventions.apply(catalog.Ablate(operator="ablate", **shared), [direction], model, params)
        pruned = interventions.apply(catalog.Prune(operator="prune", **shared), [direction], model, params)
        np.testing.assert_allclose(errors(pruned, task), errors(ablated, task), rtol=0, atol=1e-6)
        assert pruned.model.part.latent_dim == 3


@AXES
def test_pruning_keeps_the_order_of_the_axes_that_remain(
    trained: tuple[Autoencoder, Params, data.Task], axes: list[int]
) -> None:
    model, params, task = trained
    kept = [axis for axis in range(4) if axis not in axes]
    rgb = torch.from_numpy(task.named.inputs).expand(3, 17, 3)
    smaller, pruned = prune(model, params, "bottleneck", axes)
    ablated = model(ablate(model, params, "bottleneck", axes), rgb).sites
    left = smaller(pruned, rgb).sites
    torch.testing.assert_close(left["encoder"], ablated["encoder"][..., kept])
    torch.testing.assert_close(left["bottleneck"], ablated["bottleneck"][..., kept])
    assert (ablated["bottleneck"][..., axes] == 0).all()
    assert smaller.part.latent_dim == len(kept)


@AXES
def test_ablation_zeroes_what_writes_and_reads_the_axes_and_nothing_else(
    trained: tuple[Autoencoder, Params, data.Task], axes: list[int]
) -> None:
    model, params, _ = trained
    ablated = ablate(model, params, "bottleneck", axes)
    expected = {name: each.clone() for name, each in params.items()}
    expected["encoder.2.weight"][:, axes, :] = 0
    expected["encoder.2.bias"][:, axes] = 0
    expected["decoder.0.weight"][:, :, axes] = 0
    assert all(torch.equal(ablated[name], expected[name]) for name in params)


def test_what_survives_a_deletion_is_brought_back_to_unit_length(
    trained: tuple[Autoencoder, Params, data.Task],
) -> None:
    model, params, task = trained
    rgb = torch.from_numpy(task.grid.inputs).expand(3, *task.grid.inputs.shape)
    latents = model(ablate(model, params, "bottleneck", [0]), rgb).sites["bottleneck"]
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(latents.shape[:-1], dtype=torch.float64))


@pytest.mark.parametrize("delete", [ablate, lambda *a: prune(*a)[1]], ids=["ablate", "prune"])
def test_deletion_leaves_the_original_parameters_as_they_were(
    trained: tuple[Autoencoder, Params, data.Task], delete: Callable[..., dict[str, Tensor]]
) -> None:
    model, params, _ = trained
    copies = {name: each.clone() for name, each in params.items()}
    deleted = delete(model, params, "bottleneck", [1, 2])
    for name in (*model.writers("bottleneck"), *model.readers("bottleneck")):
        deleted[name].fill_(7.0)
    assert all(torch.equal(params[name], copies[name]) for name in params)


def test_something_must_remain(trained: tuple[Autoencoder, Params, data.Task]) -> None:
    model, params, _ = trained
    with pytest.raises(ValueError, match="no axis would remain"):
        prune(model, params, "bottleneck", [3, 1, 0, 2])


@pytest.mark.parametrize("delete", [ablate, prune])
@pytest.mark.parametrize("axes", [[4], [0, 9]])
def test_an_axis_that_does_not_exist_is_the_callers_mistake(
    trained: tuple[Autoencoder, Params, data.Task], delete: Callable[..., object], axes: list[int]
) -> None:
    model, params, _ = trained
    with pytest.raises(ValueError, match="does not exist in 4 dimensions"):
        delete(model, params, "bottleneck", axes)


def test_a_direction_is_taken_as_given_and_scaled_to_unit_length(
    trained: tuple[Autoencoder, Params, data.Task],
) -> None:
    model, params, task = trained
    part = catalog.Suppress(label="x", operator="suppress", concept="red", power=2.0)
    by_axis = errors(interventions.apply(part, [Axis(axis=1, sign=-1)], model, params), task)
    by_vector = errors(interventions.apply(part, [Vector(components=(0, -5, 0, 0))], model, params), task)
    other_side = errors(interventions.apply(part, [Axis(axis=1)], model, params), task)
    np.testing.assert_allclose(by_vector, by_axis, rtol=0, atol=1e-12)
    assert np.abs(other_side - by_axis).max() > 1e-3
