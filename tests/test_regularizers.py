"""Every term against its formula, written a pair or a sample at a time, and the shares that labels give to samples."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from prepe import data, models, regularizers
from prepe.catalog import TERMS, AnchorCapturedTerm, Autoencoder, CustomTerm, RgbGrid, Term
from prepe.errors import PrepeError
from prepe.interventions import ablate
from prepe.regularizers import Context
from prepe.train import share

EPSILON = 1e-8
CAPTURED = [[0.1, -0.2, 0.3, 0.0], [0.0, 0.5, 0.0, -0.4]]
"""Where two items were when they were captured."""


TARGET = 0.7
"""What was wanted of activations, as a multiple of them."""


def decoded(z: Tensor) -> Tensor:
    """What stands for a decoder: outputs that are no multiple of what they come from."""
    return 2 * z - z.flip(-1)


def third(batch: int) -> Tensor:
    """Say which samples carry the label: every third."""
    return torch.arange(batch) % 3 == 0


def classified(scale: float, middle: float, positive: float) -> Callable[[Tensor], Tensor]:
    """Cross-entropy of the label with the logistic function of the first axis, written with its logarithms."""

    def formula(x: Tensor) -> Tensor:
        found = []
        for z, labelled in zip(x, third(len(x)), strict=True):
            chance = 1 / (1 + (-scale * (z[0] / (length(z) + EPSILON) - middle)).exp())
            found.append(-positive * chance.log() if labelled else -(1 - chance).log())
        return torch.stack(found)

    return formula


def part(kind: str, **parameters: Any) -> Term:
    return TERMS[kind].model_validate({"kind": kind, "site": "bottleneck", **parameters})


def penalty(term: Term, x: Tensor) -> Tensor:
    """Return a term's value for activations `(*members, batch, width)`, of which the first are the captured items'."""
    captured = {}
    if isinstance(term, AnchorCapturedTerm):
        wanted = torch.as_tensor(CAPTURED, dtype=x.dtype)
        captured[term.key()] = x.new_zeros(len(term.items), 3), wanted.expand(*x.shape[:-2], *wanted.shape)
    context = Context(
        x,
        TARGET * x.detach(),
        x,
        {term.site: x},
        labels={"red": third(x.shape[-2]).to(x.dtype).expand(x.shape[:-1])},
        decode=decoded,
        captured=captured,
        activations=lambda inputs, _: x[..., : inputs.shape[-2], :],
    )
    return regularizers.build(term)(context)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return sum(p * q for p, q in zip(a, b, strict=True)) / ((length(a) + EPSILON) * (length(b) + EPSILON))


def length(a: Tensor) -> Tensor:
    return sum(p * p for p in a) ** 0.5


def axis(i: int, sign: float = 1.0) -> Callable[[int], Tensor]:
    return lambda width: torch.tensor([sign if j == i else 0.0 for j in range(width)], dtype=torch.float64)


def along(direction: Tensor) -> Callable[[int], Tensor]:
    return lambda width: direction


def mean_over(sample: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.stack([sample(each) for each in x])


def aligned(point: Callable[[int], Tensor], value: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def sample(z: Tensor) -> Tensor:
        return value(sum(p * q for p, q in zip(z, point(len(z)), strict=True)) / (length(z) + EPSILON))

    return mean_over(sample)


def pairwise(power: int, shift: bool) -> Callable[[Tensor], Tensor]:
    def value(x: Tensor) -> Tensor:
        rows = []
        for i in x:
            cosines = [cosine(i, j) for j in x]
            far = [c for c in cosines if abs(c.item() - 1) > 1e-5]
            rows.append(sum((((c + 1) / 2) if shift else c) ** power for c in far) + 0 * i.sum())
        return torch.stack(rows)

    return value


def repelled(axes: tuple[int, ...], diagonal: float) -> Callable[[Tensor], Tensor]:
    """The same for every sample: all pairs of two of them, and of each with itself if the diagonal counts."""

    def value(x: Tensor) -> Tensor:
        total = 0 * x.sum()
        for i in range(len(x)):
            for j in range(len(x)):
                near = sum((x[i, axis] - x[j, axis]) ** 2 for axis in axes) + 1e-6
                total = total + (diagonal / near if i == j else 1 / near)
        return (total / len(x) ** 2).expand(len(x))

    return value


def held(x: Tensor) -> Tensor:
    """The same for every sample: the first two are the items that were captured."""
    gaps = [(x[i, j] - CAPTURED[i][j]) ** 2 for i in range(2) for j in range(4)]
    return (sum(gaps) / 8).expand(len(x))


def fallen_back(rows: list[list[float]], sided: bool, output: list[float]) -> Callable[[Tensor], Tensor]:
    """Activations without their part in the span of some orthonormal rows, decoded, against a mixture."""

    def sample(z: Tensor) -> Tensor:
        basis = torch.tensor(rows, dtype=z.dtype)
        cosines = basis @ (z / (length(z) + EPSILON)).detach()
        share = cosines[0].clamp_min(0) if sided else cosines.square().sum().sqrt()
        wanted = (1 - share) * TARGET * z.detach() + share * torch.tensor(output, dtype=z.dtype)
        return (decoded(z - basis.T @ (basis @ z)) - wanted).square().mean()

    return mean_over(sample)


OFF_AXIS = torch.tensor([1.0, 2.0, -2.0, 0.0], dtype=torch.float64) / 3
OFF = OFF_AXIS.tolist()
FORMULAS: list[tuple[Term, Callable[[Tensor], Tensor]]] = [
    (part("anchor", direction={"axis": 0}), aligned(axis(0), lambda c: 1 - c)),
    (part("anchor", direction={"axis": 2, "sign": -1}), aligned(axis(2, -1.0), lambda c: 1 - c)),
    (part("anchor", direction=[1, 2, -2, 0]), aligned(along(OFF_AXIS), lambda c: 1 - c)),
    (part("anti_anchor", direction={"axis": 0, "sign": -1}), aligned(axis(0, -1.0), lambda c: c.clamp_min(0))),
    (part("anti_anchor", direction=[1, 2, -2, 0]), aligned(along(OFF_AXIS), lambda c: c.clamp_min(0))),
    (part("anti_anchor", direction={"axis": 1}, form="full"), aligned(axis(1), lambda c: (c + 1) / 2)),
    (part("classify", direction={"axis": 0}, label="red"), classified(10, 0.5, 1)),
    (part("classify", direction={"axis": 0}, label="red", scale=4, middle=0, positive=3), classified(4, 0, 3)),
    (part("subspace", axes=[0, 1]), mean_over(lambda z: z[2] ** 2 + z[3] ** 2)),
    (part("subspace", axes=[3, 0, 1]), mean_over(lambda z: z[2] ** 2)),
    (part("anti_subspace", axes=[0]), mean_over(lambda z: z[0] ** 2)),
    (part("anti_subspace", axes=[3, 1]), mean_over(lambda z: z[1] ** 2 + z[3] ** 2)),
    (part("fallback", direction={"axis": 0}), fallen_back([[1, 0, 0, 0]], True, [0.5] * 4)),
    (part("fallback", direction={"axis": 2, "sign": -1}, output=[0.2]), fallen_back([[0, 0, -1, 0]], True, [0.2] * 4)),
    (part("fallback", direction=[1, 2, -2, 0], output=[0, 1, 2, 3]), fallen_back([OFF], True, [0, 1, 2, 3])),
    (part("fallback", direction={"axes": [3, 1]}), fallen_back([[0, 0, 0, 1], [0, 1, 0, 0]], False, [0.5] * 4)),
    (part("separate", power=10, shift=False), pairwise(10, False)),
    (part("separate", power=100), pairwise(100, True)),
    (part("separate", power=2), pairwise(2, True)),
    (part("separate", power=2, shift=False), pairwise(2, False)),
    (part("separate", power=7), pairwise(7, True)),
    (part("unit_norm"), mean_over(lambda z: (length(z) - 1) ** 2)),
    (
        part("anchor_euclidean", direction={"axis": 1}),
        mean_over(lambda z: z[0] ** 2 + (z[1] - 1) ** 2 + z[2] ** 2 + z[3] ** 2),
    ),
    (
        part("anchor_euclidean", direction={"axis": 2, "sign": -1}, radius=0.5),
        mean_over(lambda z: z[0] ** 2 + z[1] ** 2 + (z[2] + 0.5) ** 2 + z[3] ** 2),
    ),
    (
        part("anchor_euclidean", direction=[1, 2, -2, 0], radius=3),
        mean_over(lambda z: (z[0] - 1) ** 2 + (z[1] - 2) ** 2 + (z[2] + 2) ** 2 + z[3] ** 2),
    ),
    (part("planarity"), mean_over(lambda z: (z[2] ** 2 + z[3] ** 2) / 2)),
    (part("planarity", axes=[2]), mean_over(lambda z: (z[0] ** 2 + z[1] ** 2 + z[3] ** 2) / 3)),
    (part("repel_euclidean", axes=[0, 1]), repelled((0, 1), 0.0)),
    (part("repel_euclidean", axes=[3]), repelled((3,), 0.0)),
    (part("repel_euclidean", axes=[0, 1], diagonal=True), repelled((0, 1), 1.0)),
    (part("anchor_captured", items=["red", "blue"]), held),
]
EACH = pytest.mark.parametrize(
    ("term", "formula"), FORMULAS, ids=[str(i) + term.kind for i, (term, _) in enumerate(FORMULAS)]
)


def crowd(batch: int = 9, width: int = 4) -> Tensor:
    """Activations of various lengths, some of them close together, so that high powers count; two are the same."""
    x = torch.randn(batch, width, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x[1] = x[0] + 0.05 * x[2]
    x[4] = 2 * x[3] + 0.1 * x[5]
    x[6] = x[7]
    return x


def test_every_term_of_the_catalog_has_a_formula_here() -> None:
    assert {term.kind for term, _ in FORMULAS} == set(TERMS)


@EACH
def test_a_term_has_the_values_of_its_formula(term: Term, formula: Callable[[Tensor], Tensor]) -> None:
    x = crowd()
    torch.testing.assert_close(penalty(term, x), formula(x), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(penalty(term, x.float()), formula(x).float(), rtol=2e-5, atol=1e-6)


@EACH
@pytest.mark.parametrize("pull", ["mean", "shares"])
def test_a_term_has_the_gradient_of_its_formula(term: Term, formula: Callable[[Tensor], Tensor], pull: str) -> None:
    x = crowd().requires_grad_()
    weights = torch.rand(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def total(values: Tensor) -> Tensor:
        return values.mean() if pull == "mean" else (values * weights).sum()

    (ours,) = torch.autograd.grad(total(penalty(term, x)), x)
    (plain,) = torch.autograd.grad(total(formula(x)), x)
    assert plain.abs().max() > 0
    torch.testing.assert_close(ours, plain, rtol=1e-8, atol=1e-11)


@EACH
def test_a_term_bears_zero_vectors(term: Term, formula: Callable[[Tensor], Tensor]) -> None:
    x = crowd().float()
    x[2] = 0
    x.requires_grad_()
    values = penalty(term, x)
    torch.testing.assert_close(values, formula(x.detach().double()).float(), rtol=2e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(values.mean(), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("term", "values"),
    [
        (part("anchor", direction={"axis": 0}), [0, 1, 2, 1, 1 - math.sqrt(0.5)]),
        (part("anti_anchor", direction={"axis": 0, "sign": -1}), [0, 0, 1, 0, 0]),
        (part("anti_anchor", direction={"axis": 0}, form="full"), [1, 0.5, 0, 0.5, (1 + math.sqrt(0.5)) / 2]),
        (part("subspace", axes=[0]), [0, 1, 0, 0, 4]),
        (part("anti_subspace", axes=[0]), [1, 0, 9, 0, 4]),
        (part("unit_norm"), [0, 0, 4, 1, (math.sqrt(8) - 1) ** 2]),
        (part("anchor_euclidean", direction={"axis": 0}), [0, 2, 16, 1, 5]),
        (part("planarity", axes=[0]), [0, 1, 0, 0, 4]),
    ],
)
def test_terms_have_their_worked_values(term: Term, values: list[float]) -> None:
    x = torch.tensor([[1.0, 0], [0, 1], [-3, 0], [0, 0], [2, 2]])
    torch.testing.assert_close(penalty(term, x), torch.tensor(values, dtype=torch.float32))


def test_a_fallback_asks_for_what_was_wanted_far_from_its_direction_and_for_its_output_there() -> None:
    seen = []

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return torch.tensor([0.5, 1.0]).expand(*z.shape[:-1], 2)

    z = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.6, 0.8, 0], [0.6, 0, 0.8]])
    y = torch.tensor([[0.0, 0.0]]).expand(4, 2)
    context = Context(y, y, y, {"bottleneck": z}, decode=decode, unit_sites=frozenset({"bottleneck"}))
    values = regularizers.build(part("fallback", direction={"axis": 0}, output=[0.5, 1]))(context)
    assert seen[0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    torch.testing.assert_close(values, torch.tensor([0, 1, 1, 0.4**2]) * (0.25 + 1) / 2)


def test_a_fallback_decodes_what_a_deletion_leaves() -> None:
    """The axis out of the weights, and its activation out of the unit vector, are one deletion."""
    task = data.task(RgbGrid(kind="rgb_grid", size=3))
    model = models.build(Autoencoder(kind="autoencoder", latent_dim=4, hidden_dim=5), task)
    params = {name: each.double() for name, each in model.unpack(model.init([0, 1, 2])).items()}
    inputs = torch.as_tensor(task.train.inputs).expand(3, -1, -1)
    left = model(ablate(model, params, "bottleneck", [2]), inputs).outputs
    forward = model(params, inputs)
    context = Context(
        inputs, left, forward.outputs, forward.sites, {}, lambda z: model.decode(params, z), model.unit_sites
    )
    values = regularizers.build(part("fallback", direction={"axis": 2}, output=[0, 0, 0]))(context)
    share = forward.sites["bottleneck"][..., 2].clamp_min(0)
    torch.testing.assert_close(values, (share.unsqueeze(-1) * left).square().mean(-1))
    assert (share == 0).any()
    assert (values[share > 0] > 0).all()


def test_a_fallback_of_another_width_than_the_outputs_is_refused() -> None:
    with pytest.raises(PrepeError, match="output has 2 numbers; allowed: 1 or 4"):
        penalty(part("fallback", direction={"axis": 0}, output=[0, 1]), crowd())


@pytest.mark.parametrize(
    ("own", "key", "fault"),
    [
        ({"direction": {"axis": 4}}, "direction", "axis 4 does not exist in 4 dimensions"),
        ({"direction": {"axes": [0, 1, 2, 3]}}, "direction", "all 4 dimensions; allowed: fewer"),
        ({"direction": {"axis": 0}, "site": "encoder"}, "site", "allowed: 'bottleneck'"),
    ],
)
def test_a_fallback_needs_a_place_of_the_bottleneck(own: dict[str, Any], key: str, fault: str) -> None:
    problem = part("fallback", **own).problem(4)
    assert problem is not None
    assert problem[0] == key
    assert fault in problem[1]


def test_separate_sums_over_the_batch() -> None:
    term = part("separate", power=2, shift=False)
    x = torch.tensor([[1.0, 0], [0.6, 0.8], [-0.6, 0.8]])
    torch.testing.assert_close(penalty(term, x), torch.tensor([0.72, 0.36 + 0.28**2, 0.36 + 0.28**2]))


def test_opposed_pairs_cost_nothing_once_shifted_and_everything_without() -> None:
    opposed = torch.tensor([[1.0, 0], [-1, 0]])
    assert penalty(part("separate", power=100), opposed).tolist() == [0, 0]
    torch.testing.assert_close(penalty(part("separate", power=10, shift=False), opposed), torch.ones(2))


@pytest.mark.parametrize("shift", [True, False])
def test_a_sample_drawn_twice_is_not_pushed_off_itself(shift: bool) -> None:
    term = part("separate", power=10, shift=shift)
    twins = torch.tensor([[0.6, 0.8, 0.0], [0.6, 0.8, 0.0], [1.2, 1.6, 0.0]]).requires_grad_()
    values = penalty(term, twins)
    (gradient,) = torch.autograd.grad(values.sum(), twins)
    assert values.tolist() == [0, 0, 0]
    assert (gradient == 0).all()


@pytest.mark.parametrize("shift", [True, False])
def test_samples_are_the_same_up_to_a_cosine_of_one_less_a_hundred_thousandth(shift: bool) -> None:
    term = part("separate", power=10, shift=shift)

    def pair(gap: float) -> Tensor:
        angle = math.acos(1 - gap)
        return torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)

    assert (penalty(term, pair(0.9e-5)) == 0).all()
    assert (penalty(term, pair(1.1e-5)) > 0.99).all()


@pytest.mark.parametrize("term", [part("separate", power=100), part("separate", power=10, shift=False)])
def test_one_sample_alone_is_separate(term: Term) -> None:
    x = torch.tensor([[[0.6, 0.8]]]).requires_grad_()
    values = penalty(term, x)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert values.tolist() == [[0]]
    assert (gradient == 0).all()


def test_a_term_looks_at_its_own_site() -> None:
    here, there = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    context = Context(here, here, here, {"encoder": here, "bottleneck": there})
    at = {site: regularizers.build(part("unit_norm", site=site))(context).tolist() for site in context.sites}
    assert at == {"encoder": [4.0], "bottleneck": [0.0]}
    assert TERMS["unit_norm"](kind="unit_norm").site == "encoder"


def test_a_labelled_mean_is_over_the_labelled_samples_however_many() -> None:
    values = torch.tensor([5.0, 1.0, 3.0, 100.0])
    for labelled, mean in (([1, 0, 0, 0], 5.0), ([0, 1, 1, 0], 2.0), ([1, 1, 1, 1], 27.25)):
        shares = share({"red": 1.0}, {"red": torch.tensor(labelled, dtype=torch.float32)})
        assert (values * shares).sum().item() == pytest.approx(mean)


def test_nothing_labelled_gives_nothing() -> None:
    assert (share({"red": 1.0}, {"red": torch.zeros(2, 3, 8)}) == 0).all()


def test_affinities_weigh_samples() -> None:
    labels = {"red": torch.tensor([1.0, 0.0, 0.0]), "vivid": torch.tensor([0.0, 1.0, 0.0])}
    torch.testing.assert_close(share({"red": 0.9, "vivid": 0.3}, labels), torch.tensor([0.75, 0.25, 0.0]))


def test_a_sample_with_several_labels_counts_as_one_at_most() -> None:
    labels = {"red": torch.tensor([1.0, 1.0, 0.0]), "vivid": torch.tensor([1.0, 0.0, 0.0])}
    torch.testing.assert_close(share({"red": 1.0, "vivid": 1.0}, labels), torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(share({"red": 0.5, "vivid": 0.25}, labels), torch.tensor([0.6, 0.4, 0.0]))


def test_labels_that_a_term_does_not_listen_to_change_nothing() -> None:
    red = torch.tensor([1.0, 0.0, 1.0])
    alone = share({"red": 1.0}, {"red": red})
    assert torch.equal(share({"red": 1.0}, {"red": red, "vivid": torch.ones(3)}), alone)


# --- terms of the batch ----------------------------------------------------------------------------------------------


def test_repulsion_has_its_worked_value_and_is_the_same_for_every_sample() -> None:
    """Three points on a line, at 0, 1 and 3: pairs at squared distances 1, 9 and 4, each counted twice."""
    x = torch.tensor([[0.0, 5.0], [1.0, 6.0], [3.0, 7.0]], dtype=torch.float64)
    each = 2 * (1 / (1 + 1e-6) + 1 / (9 + 1e-6) + 1 / (4 + 1e-6)) / 9
    values = penalty(part("repel_euclidean", axes=[0]), x)
    assert values.tolist() == pytest.approx([each] * 3, rel=1e-12)


def test_the_diagonal_of_repulsion_is_a_constant_of_a_million_over_the_batch() -> None:
    x = crowd().requires_grad_()
    without, within = (penalty(part("repel_euclidean", axes=[0, 1], diagonal=d), x) for d in (False, True))
    torch.testing.assert_close(within - without, torch.full((9,), 1e6 / 9, dtype=torch.float64), rtol=1e-6, atol=0)
    gradients = [torch.autograd.grad(values.sum(), x)[0] for values in (without, within)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


def test_a_captured_anchor_is_nothing_before_its_action_and_pulls_back_after() -> None:
    term = part("anchor_captured", items=["red", "blue"])
    x = crowd().requires_grad_()
    build = regularizers.build(term)
    inputs = torch.zeros(2, 3, dtype=x.dtype)
    for captured in ({}, {term.key(): (inputs, None)}):
        context = Context(x, x, x, {"bottleneck": x}, captured=captured, activations=lambda *_: x[:2])
        values = build(context)
        assert values.tolist() == [0] * 9
        assert not values.requires_grad
    there = Context(
        x, x, x, {"bottleneck": x}, captured={term.key(): (inputs, x[:2].detach())}, activations=lambda *_: x[:2]
    )
    assert build(there).tolist() == [0] * 9
    (gradient,) = torch.autograd.grad(penalty(term, x).mean(), x)
    assert (gradient[2:] == 0).all()
    torch.testing.assert_close(gradient[:2], (x[:2].detach() - torch.tensor(CAPTURED, dtype=x.dtype)) / 4)


def test_a_member_that_has_captured_nothing_yet_is_not_pulled_by_what_others_have() -> None:
    term = part("anchor_captured", items=["red", "blue"])
    x = torch.stack([crowd(), crowd().flip(0)]).requires_grad_()
    wanted = torch.tensor([CAPTURED, [[math.nan] * 4] * 2], dtype=x.dtype)
    context = Context(
        x, x, x, {"bottleneck": x},
        captured={term.key(): (torch.zeros(2, 3, dtype=x.dtype), wanted)}, activations=lambda *_: x[:, :2],
    )  # fmt: skip
    values = regularizers.build(term)(context)
    torch.testing.assert_close(values[0], penalty(term, x[0]))
    assert values[1].tolist() == [0] * 9
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert (gradient[0, :2] != 0).all()
    assert (gradient[1] == 0).all()


def test_terms_capture_the_same_where_items_action_and_site_are_the_same() -> None:
    keys = {
        part("anchor_captured", items=items, action=action, site=site).key()
        for items in (["red", "blue"], ["blue", "red"])
        for action in ("a", "b")
        for site in ("encoder", "bottleneck")
    }
    assert len(keys) == 8
    assert part("anchor_captured", items=["red"]).key() == part("anchor_captured", items=["red"]).key()


# --- users' own terms ------------------------------------------------------------------------------------------------


def own(kind: str, **parameters: Any) -> CustomTerm:
    return CustomTerm(kind=f"own:{kind}", parameters=parameters)


def test_a_users_term_gets_the_context_its_site_and_its_parameters() -> None:
    x = crowd()
    red = (torch.arange(9) % 2).double()
    context = Context(x, x, x, {"bottleneck": x, "encoder": 2 * x}, {"red": red})
    torch.testing.assert_close(regularizers.build(own("tilt", by=0.5))(context), 0.5 * x[:, 0] ** 2 * red)
    elsewhere = own("tilt").model_copy(update={"site": "encoder"})
    torch.testing.assert_close(regularizers.build(elsewhere)(context), 4 * x[:, 0] ** 2 * red)


def test_a_users_term_may_decode_and_ask_for_units() -> None:
    x = crowd()
    context = Context(x, x, x, {"bottleneck": x}, decode=lambda z: 3 * z)
    expected = 1 - x[:, 1] / (x.norm(dim=-1) + EPSILON) + (2 * x).square().mean(-1)
    torch.testing.assert_close(regularizers.build(own("by_unit"))(context), expected)


@pytest.mark.parametrize(
    ("shape", "got"),
    [
        ("scalar", r"\(\)"),
        ("members", r"\(2,\)"),
        ("width", r"\(2, 9, 4\)"),
        ("number", "float"),
        ("nothing", "NoneType"),
    ],
)
def test_a_users_term_of_another_shape_is_refused_and_named(shape: str, got: str) -> None:
    x = torch.stack([crowd(), crowd()])
    build = regularizers.build(own("of_wrong_shape", shape=shape))
    with pytest.raises(PrepeError, match=rf"'own:of_wrong_shape' returned {got}; allowed: .* here \(2, 9\)"):
        build(Context(x, x, x, {"bottleneck": x}))


# --- the context -----------------------------------------------------------------------------------------------------


def test_units_and_coordinates_are_made_once_a_batch_and_are_those_of_the_activations() -> None:
    x = crowd()
    context = Context(x, x, x, {"bottleneck": x, "encoder": 3 * x}, unit_sites=frozenset({"bottleneck"}))
    assert context.unit("bottleneck") is x
    unit = context.unit("encoder")
    assert context.unit("encoder") is unit
    torch.testing.assert_close(unit, x / (x.norm(dim=-1, keepdim=True) + EPSILON))
    for axis_number in range(4):
        for each in (x, context.sites["encoder"], unit):
            torch.testing.assert_close(context.coordinate(each, axis_number), each[:, axis_number])
        assert context.coordinate(unit, axis_number) is context.coordinate(unit, axis_number)


def test_a_coordinate_of_something_that_is_gone_is_not_mistaken_for_anothers() -> None:
    context = Context(crowd(), crowd(), crowd(), {"bottleneck": crowd()})
    for factor in range(50):  # tensors made and dropped in turn may lie at one address
        assert torch.equal(context.coordinate((factor * crowd()).view(9, 4), 1), factor * crowd()[:, 1])


def test_the_gradient_of_terms_does_not_depend_on_which_others_are_asked_without_weight() -> None:
    terms = [part("anchor", direction=[1, 2, -2, 0]), part("unit_norm"), part("subspace", axes=[0, 1])]
    terms += [part("anchor_euclidean", direction=[0, 0, 0, 1]), part("anti_anchor", direction={"axis": 2})]
    idle = [part("separate", power=10), part("anchor", direction={"axis": 1}), part("anti_subspace", axes=[0, 3])]
    x = crowd().float().requires_grad_()

    def gradient(asked: list[Term]) -> Tensor:
        context = Context(x, x, x, {"bottleneck": x.view_as(x)})
        values = torch.stack([regularizers.build(each)(context).mean() * 0.1 for each in asked])
        return torch.autograd.grad(values, x, torch.tensor([float(each in terms) for each in asked]))[0]

    assert torch.equal(gradient([*idle, *terms]), gradient(terms))
    assert torch.equal(gradient([idle[0], terms[0], idle[1], *terms[1:4], idle[2], terms[4]]), gradient(terms))
