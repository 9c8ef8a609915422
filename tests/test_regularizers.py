"""Every term against its formula, written a pair or a sample at a time, and the shares that labels give to samples."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from prepe import regularizers
from prepe.catalog import TERMS, Term
from prepe.regularizers import Context
from prepe.train import share

EPSILON = 1e-8


def part(kind: str, **parameters: Any) -> Term:
    return TERMS[kind].model_validate({"kind": kind, "site": "bottleneck", **parameters})


def penalty(term: Term, x: Tensor) -> Tensor:
    """Return a term's value for activations `(*members, batch, width)`."""
    return regularizers.build(term)(Context(x, x, x, {term.site: x}))


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


OFF_AXIS = torch.tensor([1.0, 2.0, -2.0, 0.0], dtype=torch.float64) / 3
FORMULAS: list[tuple[Term, Callable[[Tensor], Tensor]]] = [
    (part("anchor", direction={"axis": 0}), aligned(axis(0), lambda c: 1 - c)),
    (part("anchor", direction={"axis": 2, "sign": -1}), aligned(axis(2, -1.0), lambda c: 1 - c)),
    (part("anchor", direction=[1, 2, -2, 0]), aligned(along(OFF_AXIS), lambda c: 1 - c)),
    (part("anti_anchor", direction={"axis": 0, "sign": -1}), aligned(axis(0, -1.0), lambda c: c.clamp_min(0))),
    (part("anti_anchor", direction=[1, 2, -2, 0]), aligned(along(OFF_AXIS), lambda c: c.clamp_min(0))),
    (part("anti_anchor", direction={"axis": 1}, form="full"), aligned(axis(1), lambda c: (c + 1) / 2)),
    (part("subspace", axes=[0, 1]), mean_over(lambda z: z[2] ** 2 + z[3] ** 2)),
    (part("subspace", axes=[3, 0, 1]), mean_over(lambda z: z[2] ** 2)),
    (part("anti_subspace", axes=[0]), mean_over(lambda z: z[0] ** 2)),
    (part("anti_subspace", axes=[3, 1]), mean_over(lambda z: z[1] ** 2 + z[3] ** 2)),
    (part("separate", power=10, shift=False), pairwise(10, False)),
    (part("separate", power=100), pairwise(100, True)),
    (part("separate", power=2), pairwise(2, True)),
    (part("separate", power=2, shift=False), pairwise(2, False)),
    (part("separate", power=7), pairwise(7, True)),
    (part("unit_norm"), mean_over(lambda z: (length(z) - 1) ** 2)),
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
    ],
)
def test_terms_have_their_worked_values(term: Term, values: list[float]) -> None:
    x = torch.tensor([[1.0, 0], [0, 1], [-3, 0], [0, 0], [2, 2]])
    torch.testing.assert_close(penalty(term, x), torch.tensor(values, dtype=torch.float32))


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
