"""Operators beyond one axis: curves, subspaces, directions off the axes, and several concepts at once."""

import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from prepe import catalog, data, interventions, models
from prepe.catalog import OPERATORS, Axis, Intervention, Mapper, Subspace, Vector, together
from prepe.errors import PrepeError
from prepe.interventions import Edited
from prepe.interventions.gates import remap

TASK = data.task(catalog.RgbGrid(kind="rgb_grid", size=4))
OBLIQUE = Vector(components=(0.48, -0.6, 0.64, 0.0))
PLANE = Subspace(vectors=(OBLIQUE, Vector(components=(0.0, 0.3, 0.1, -1.0))))


def bezier(**keys: Any) -> Mapper:
    return Mapper(kind="bezier", **{"start": 0.0, "end": 0.5, **keys})


def mapped(mapper: Mapper, *alignments: float) -> list[float]:
    return remap(mapper, torch.tensor(alignments, dtype=torch.float64)).tolist()


def part(operator: str, **keys: Any) -> Intervention:
    return OPERATORS[operator].model_validate(
        {"operator": operator, "label": "x", "concept": "red", "power": 2.0, **keys}
    )


@pytest.fixture(scope="module")
def plain() -> Edited:
    model = models.build(catalog.Autoencoder(kind="autoencoder", latent_dim=4, hidden_dim=8), TASK)
    return Edited(model, model.unpack(model.init([0, 1, 2]).double()))


def latents(edited: Edited) -> Tensor:
    x = torch.as_tensor(TASK.train.inputs).expand(3, *TASK.train.inputs.shape)
    return edited(x).sites["bottleneck"]


def outputs(edited: Edited) -> Tensor:
    x = torch.as_tensor(TASK.train.inputs).expand(3, *TASK.train.inputs.shape)
    return edited(x).outputs


def applied(plain: Edited, operator: str, *places: Any, **keys: Any) -> Edited:
    return interventions.apply(part(operator, **keys), list(places), plain.model, plain.params)


# --- curves ----------------------------------------------------------------------------------------------------------


def test_a_bezier_curve_has_its_worked_values() -> None:
    assert mapped(bezier(), 0.25, 0.5, 0.75, 1.0) == pytest.approx([0.2229, 0.3826, 0.4729, 0.5], abs=5e-5)
    assert mapped(bezier(end_slope=0.2), 0.5) == pytest.approx([0.3476], abs=5e-5)
    _, second, third, _ = bezier().points()
    assert (*second, *third) == pytest.approx((0.3536, 0.3536, 0.6464, 0.5), abs=5e-5)


def test_a_curve_leaves_what_is_not_above_its_start() -> None:
    curve = bezier(start=0.4, end=0.7)
    assert mapped(curve, 0.0, 0.2, 0.4) == [0.0, 0.2, 0.4]
    assert mapped(curve, 1.0) == pytest.approx([0.7], abs=1e-12)


@pytest.mark.parametrize("curve", [bezier(), bezier(start=0.3, end=0.6, end_slope=0.2), bezier(end=1 / math.sqrt(2))])
def test_a_curve_rises_and_has_the_slopes_that_it_was_given(curve: Mapper) -> None:
    at = np.linspace(curve.start, 1, 400)
    values = np.array(mapped(curve, *at))
    assert (np.diff(values) > -1e-12).all()
    step = 1e-6
    first, last = mapped(curve, curve.start + step)[0] - curve.start, curve.end - mapped(curve, 1 - step)[0]
    assert first / step == pytest.approx(curve.start_slope, abs=1e-3)
    assert last / step == pytest.approx(curve.end_slope, abs=1e-3)


def test_a_table_is_the_curve_but_for_its_coarseness() -> None:
    at = np.linspace(0, 1, 257)
    exact = np.array(mapped(bezier(), *at))
    coarse, fine = (np.abs(np.array(mapped(bezier(table=n), *at)) - exact).max() for n in (20, 1000))
    assert fine < 1e-6
    assert 100 * fine < coarse < 1e-2


def test_equal_slopes_have_a_curve_too() -> None:
    assert mapped(bezier(end=0.5, start_slope=0.5, end_slope=0.5), 0.5) == pytest.approx([0.25])


def test_a_curve_that_turns_back_is_refused() -> None:
    with pytest.raises(ValueError, match="turns back"):
        bezier(end=0.9, start_slope=0.5, end_slope=0.0)


# --- subspaces and directions off the axes ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", [Subspace(axes=(0, 1)), Subspace(axes=(2,)), PLANE, OBLIQUE, Axis(axis=1)])
def test_a_projection_leaves_nothing_in_the_place_and_the_rest_as_it_is(plain: Edited, place: Any) -> None:
    before, after = latents(plain), latents(applied(plain, "project", place))
    basis = torch.as_tensor(place.basis(4))
    assert (after @ basis.T).abs().max() < 1e-12
    torch.testing.assert_close(after, before - before @ basis.T @ basis, rtol=0, atol=1e-12)
    assert (after - before).abs().max() > 0.1


def test_a_projection_has_two_sides_and_suppression_one(plain: Edited) -> None:
    before = latents(plain)[..., 0]
    assert (before < -0.1).any()
    assert (before > 0.1).any()
    assert (latents(applied(plain, "project", Axis(axis=0)))[..., 0] == 0).all()
    suppressed = latents(applied(plain, "suppress", Axis(axis=0)))[..., 0]
    torch.testing.assert_close(suppressed, before.clamp_max(0))


def test_a_basis_is_orthonormal_and_spans_its_vectors() -> None:
    basis = PLANE.basis(4)
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-12)
    for vector in PLANE.vectors:
        unit = vector.unit(4)
        np.testing.assert_allclose(basis.T @ basis @ unit, unit, atol=1e-12)


@pytest.mark.parametrize("place", [OBLIQUE, PLANE])
def test_ablation_off_the_axes_is_pruning_off_the_axes(plain: Edited, place: Any) -> None:
    ablated, pruned = applied(plain, "ablate", place), applied(plain, "prune", place)
    torch.testing.assert_close(outputs(ablated), outputs(pruned), rtol=0, atol=1e-10)
    assert (outputs(ablated) - outputs(plain)).abs().max() > 1e-3
    assert latents(pruned).shape[-1] == 4 - len(place.basis(4))


def test_an_axis_written_as_a_vector_is_deleted_likewise(plain: Edited) -> None:
    for operator in ("ablate", "prune"):
        by_axis = outputs(applied(plain, operator, Axis(axis=2)))
        by_vector = outputs(applied(plain, operator, Vector(components=(0, 0, -3, 0))))
        torch.testing.assert_close(by_vector, by_axis, rtol=0, atol=1e-10)


def test_a_rotation_of_the_site_changes_nothing_but_its_axes(plain: Edited) -> None:
    turn = interventions.rotation(torch.as_tensor(PLANE.basis(4)))
    torch.testing.assert_close(turn @ turn.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)
    turned = Edited(plain.model, interventions.fold(plain.model, plain.params, "bottleneck", turn))
    torch.testing.assert_close(outputs(turned), outputs(plain), rtol=0, atol=1e-12)
    torch.testing.assert_close(latents(turned), latents(plain) @ turn.T, rtol=0, atol=1e-12)


# --- several concepts ------------------------------------------------------------------------------------------------


def test_axes_together_are_their_span() -> None:
    assert together([Axis(axis=3, sign=-1), Axis(axis=0)]) == Subspace(axes=(3, 0))
    assert together([Axis(axis=1)]) == Axis(axis=1)
    assert together([OBLIQUE, Vector(components=(0, 1, 0, 0))]).basis(4).shape == (2, 4)
    with pytest.raises(ValueError, match="exactly one of axes and vectors"):
        together([Axis(axis=0), OBLIQUE])
    with pytest.raises(ValueError, match="in the span of the others"):
        together([OBLIQUE, Vector(components=(-0.96, 1.2, -1.28, 0.0))])


def test_several_concepts_are_suppressed_each_on_its_own_side(plain: Edited) -> None:
    before = latents(plain)
    after = latents(applied(plain, "suppress", Axis(axis=0), Axis(axis=1, sign=-1)))
    torch.testing.assert_close(after[..., 0], before[..., 0].clamp_max(0))
    torch.testing.assert_close(after[..., 1], before[..., 1].clamp_min(0))
    assert torch.equal(after[..., 2:], before[..., 2:])


def test_several_concepts_are_deleted_at_once(plain: Edited) -> None:
    both = outputs(applied(plain, "prune", Axis(axis=0), Axis(axis=1)))
    torch.testing.assert_close(both, outputs(applied(plain, "ablate", Subspace(axes=(0, 1)))), rtol=0, atol=1e-10)


def entry(**keys: Any) -> dict[str, Any]:
    return {"label": "x", "operator": "ablate", "concept": "red", "power": 3.0, **keys}


@pytest.mark.parametrize(
    ("intervention", "said"),
    [
        (entry(operator="suppress", direction={"axes": [0, 1]}), "is a subspace, which has no sides"),
        (entry(direction={"axes": [0, 9]}), "axis 9 does not exist in 4 dimensions"),
        (entry(direction={"axes": [0, 1, 2, 3]}), "all 4 dimensions; allowed: fewer"),
        (entry(direction={"axes": [0, 0]}), "an axis stands twice"),
        (entry(direction={"vectors": [[1, 0, 0]]}), "the direction has 3 components and the site has 4"),
        (entry(concept=["red", "blue"]), "unknown concept 'blue'; allowed: red"),
        (entry(concept=["red", "red"]), "the directions together: an axis stands twice"),
        (entry(similarity="taste"), "unknown similarity 'taste'; allowed: hsv, lab, vibrancy"),
        (entry(operator="suppress", heal={}), "unknown key 'heal'"),
        (entry(heal={"towards": "nowhere"}), "'nowhere' stands here"),
    ],
)
def test_what_cannot_be_done_is_said(intervention: dict[str, Any], said: str) -> None:
    with pytest.raises(PrepeError, match=r"interventions\[0\]") as caught:
        tiny.trial(interventions=[intervention])
    assert said in str(caught.value)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("direction", [{"axis": 0}, [0.5, 0.5, 0.1, 0], {"axes": [0, 2]}, {"vectors": [[1, 1, 0, 0]]}])
def test_an_intervention_is_plain_data_and_back(operator: str, direction: Any) -> None:
    one = part(operator, direction=direction, similarity="lab", concept=["red", "blue"])
    again = OPERATORS[operator].model_validate_json(one.model_dump_json())
    assert again == one
    np.testing.assert_array_equal(again.direction.basis(4), one.direction.basis(4))  # type: ignore[union-attr]
