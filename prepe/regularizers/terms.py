"""Terms of the loss: each gives one penalty a sample, `(*members, batch)`, before label and schedule weights.

Source: arXiv:2512.12469 for the family; each class in `catalog` states its formula.
"""

from collections.abc import Callable
from functools import cache
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
        along = context.coordinate(unit, part.direction.axis)
        return along if part.direction.sign > 0 else -along
    return (unit * _vector(part.direction, unit.shape[-1], unit.dtype, unit.device)).sum(-1)


@cache
def _vector(direction: catalog.Vector, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a direction as a tensor, made once: a copy to a device cannot be captured in a CUDA graph."""
    return torch.as_tensor(direction.unit(dim), dtype=dtype, device=device)


def anchor(part: catalog.AnchorTerm) -> Penalty:
    return lambda context: 1 - _cosine(part, context)


def anti_anchor(part: catalog.AntiAnchorTerm) -> Penalty:
    if part.form == "full":
        return lambda context: (1 + _cosine(part, context)) / 2
    return lambda context: relu(_cosine(part, context))


def _energy(site: str, axes: list[int], context: Context) -> Tensor:
    """Return the sum of squares of some coordinates, `(*members, batch)`."""
    squares = [context.coordinate(context.sites[site], axis).square() for axis in axes]
    return sum(squares[1:], squares[0])  # one by one: a sum of the stack is rounded by place


def subspace(part: catalog.SubspaceTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        dim = context.sites[part.site].shape[-1]
        return _energy(part.site, [axis for axis in range(dim) if axis not in part.axes], context)

    return penalty


def anti_subspace(part: catalog.AntiSubspaceTerm) -> Penalty:
    return lambda context: _energy(part.site, list(part.axes), context)


def unit_norm(part: catalog.UnitNormTerm) -> Penalty:
    # The clamp gives a zero activation no gradient, instead of an infinite one.
    return lambda context: (context.sites[part.site].square().sum(-1).clamp_min(1e-24).sqrt() - 1).square()


def separate(part: catalog.SeparateTerm) -> Penalty:
    return lambda context: _Separate.apply(context.unit(part.site), part.power, part.shift)


class _Separate(torch.autograd.Function):
    """sum over j of s_ij ** power, where s = (cos + 1) / 2 if shifted, else cos.

    Pairs with |cos - 1| <= 1e-5 (a sample with itself, or with the same item drawn again) add nothing and give no
    gradient. With P = s ** (power - 1) and unit rows U, value and gradient both come from the product of P with U; so
    the pairs are passed over once and are not kept.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, power: int, shift: bool) -> Tensor:
        rows = unit.reshape(-1, *unit.shape[-2:]).mT  # channels first: a product with a narrow last dimension is slow
        scale = 0.5 if shift else 1.0
        pulls = _pulls(rows, rows, power, scale)
        value = (pulls[:, :-1] * rows).sum(1).mul_(scale).add_(pulls[:, -1], alpha=1 - scale)
        ctx.save_for_backward(rows, pulls)
        ctx.power, ctx.scale = power, scale
        return value.view(unit.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, pulls = ctx.saved_tensors
        weight = grad.reshape(-1, 1, grad.shape[-1])
        direct = pulls[:, :-1] * weight
        if grad.stride(-1) == 0:  # of a plain sum: one number a member, as a view, so both parts are the same
            both = direct.mul_(2 * ctx.power * ctx.scale)
        else:
            mirrored = _pulls(rows, rows * weight, ctx.power, ctx.scale)[:, :-1]
            both = (direct + mirrored).mul_(ctx.power * ctx.scale)
        return both.mT.view(*grad.shape, -1), None, None


def _pulls(rows: Tensor, onto: Tensor, power: int, scale: float) -> Tensor:
    """Return the product of [onto; 1] with P = s ** (power - 1), `(members, latent + 1, batch)`.

    Args:
        rows: unit rows, `(members, latent, batch)`, which give s = scale cos + 1 - scale.
        onto: `(members, latent, batch)`.
        power: at least 2.
        scale: 0.5 if shifted, else 1.
    """
    ones = torch.ones_like(rows[:, :1])
    right = torch.cat([rows, ones], dim=1)
    left = torch.cat([rows * -scale, ones * (scale - 1)], dim=1)
    target = right if onto is rows else torch.cat([onto, ones], dim=1)
    # With its sign turned, one pass of `threshold` zeroes the near-identical pairs: y = y if y > -limit else 0.
    negated = threshold(torch.bmm(left.mT, right), -(1 - scale * 1e-5), 0.0, inplace=True)
    return torch.bmm(target, _integer_power(negated, power - 1)).mul_((-1) ** (power - 1))


def _integer_power(base: Tensor, exponent: int) -> Tensor:
    """base ** exponent by squaring, in one new buffer; the exponent is at least 1."""
    if exponent == 1:
        return base
    result = base * base
    for position, bit in enumerate(bin(exponent)[3:]):
        if position:
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
