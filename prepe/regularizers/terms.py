"""Terms of the loss: each gives one penalty a sample, `(*members, batch)`, before label and schedule weights.

Source: arXiv:2512.12469 for the family; each class in `catalog` states its formula.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import relu, threshold

from prepe import catalog
from prepe.regularizers.context import Context

Penalty = Callable[[Context], Tensor]


def _cosine(part: catalog.Directed, context: Context) -> Tensor:
    """cos(z, v), `(*members, batch)`; a zero activation has cosine 0."""
    unit = context.unit(part.site)
    if isinstance(part.direction, catalog.Axis):
        return unit[..., part.direction.axis] * part.direction.sign
    vector = torch.as_tensor(part.direction.unit(unit.shape[-1]), dtype=unit.dtype, device=unit.device)
    return (unit * vector).sum(-1)


def anchor(part: catalog.AnchorTerm) -> Penalty:
    return lambda context: 1 - _cosine(part, context)


def anti_anchor(part: catalog.AntiAnchorTerm) -> Penalty:
    if part.form == "full":
        return lambda context: (1 + _cosine(part, context)) / 2
    return lambda context: relu(_cosine(part, context))


def _energy(x: Tensor, axes: list[int]) -> Tensor:
    if len(axes) == 1:
        return x[..., axes[0]].square()
    return x[..., axes].square().sum(-1)


def subspace(part: catalog.SubspaceTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        x = context.sites[part.site]
        return _energy(x, [axis for axis in range(x.shape[-1]) if axis not in part.axes])

    return penalty


def anti_subspace(part: catalog.AntiSubspaceTerm) -> Penalty:
    return lambda context: _energy(context.sites[part.site], list(part.axes))


def unit_norm(part: catalog.UnitNormTerm) -> Penalty:
    return lambda context: (context.sites[part.site].square().sum(-1).sqrt() - 1).square()


def separate(part: catalog.SeparateTerm) -> Penalty:
    return lambda context: _Separate.apply(context.unit(part.site), part.power, part.shift)


class _Separate(torch.autograd.Function):
    """sum over j of s_ij ** power, where s = (cos + 1) / 2 if shifted, else cos.

    Pairs with |cos - 1| <= 1e-5 (a sample with itself, or with the same item drawn again) count as orthogonal and give
    no gradient. With P = s ** (power - 1), the value is sum(P s) and the gradient is made of products with P, so the
    power is computed once, by squaring, in place.
    """

    @staticmethod
    def forward(ctx, unit: Tensor, power: int, shift: bool) -> Tensor:  # type: ignore[override]
        # The sign is turned so that one pass of `threshold` zeroes the near-identical pairs: y = y if y > -limit else 0.
        scale, limit = (0.5, 1 - 0.5e-5) if shift else (1.0, 1 - 1e-5)
        flat = unit.reshape(-1, *unit.shape[-2:])
        offset = flat.new_full((1, 1, 1), scale - 1)
        negated = torch.baddbmm(offset, flat, flat.mT, alpha=-scale)
        threshold(negated, -limit, 0.0, inplace=True)
        powered = _integer_power(negated, power - 1)
        ctx.save_for_backward(flat, powered)
        ctx.factor = power * scale * (-1) ** (power - 1)
        value = (powered * negated).sum(-1).mul_((-1) ** power)
        return value.view(unit.shape[:-1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        flat, powered = ctx.saved_tensors
        weight = grad.reshape(-1, 1, grad.shape[-1])
        rows = flat.mT  # channels before batch: a product whose last dimension is narrow is slow
        direct = torch.bmm(rows, powered) * weight
        mirrored = torch.bmm(rows * weight, powered)
        return (direct + mirrored).mul_(ctx.factor).mT.view(*grad.shape, -1), None, None


def _integer_power(base: Tensor, exponent: int) -> Tensor:
    """base ** exponent by squaring, in one new buffer."""
    if exponent == 0:
        return torch.ones_like(base)
    result = base.clone()
    for bit in bin(exponent)[3:]:
        result.mul_(result)
        if bit == "1":
            result.mul_(base)
    return result


TERMS: dict[str, Callable[[Any], Penalty]] = {
    "anchor": anchor,
    "anti_anchor": anti_anchor,
    "subspace": subspace,
    "anti_subspace": anti_subspace,
    "separate": separate,
    "unit_norm": unit_norm,
}
