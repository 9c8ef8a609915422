"""Terms of the loss: each gives one penalty a sample, `(*members, batch)`, before label and schedule weights.

Source: arXiv:2512.12469 for the family; each class in `catalog` states its formula.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, relu, softplus, threshold

from prepe import catalog, custom
from prepe.errors import PrepeError
from prepe.regularizers.context import Context

Penalty = Callable[[Context], Tensor]
_NEAR = 1e-6
"""What keeps the repulsion of two samples at one place finite."""
_LANES = 32
"""Numbers that a processor takes at once in any case."""
_LINE = 16
"""Numbers in a cache line: products of matrices that begin elsewhere may be rounded otherwise."""


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


def anchor_euclidean(part: catalog.AnchorEuclideanTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        x = context.sites[part.site]
        if isinstance(part.direction, catalog.Axis):  # a coordinate at a time, as `_energy` does
            at = {part.direction.axis: part.radius * part.direction.sign}
            squares = [(context.coordinate(x, i) - at.get(i, 0.0)).square() for i in range(x.shape[-1])]
            return sum(squares[1:], squares[0])
        point = part.radius * _vector(part.direction, x.shape[-1], x.dtype, x.device)
        return (x - point).square().sum(-1)

    return penalty


def anchor_captured(part: catalog.AnchorCapturedTerm) -> Penalty:
    key = part.key()

    def penalty(context: Context) -> Tensor:
        x = context.sites[part.site]
        inputs, wanted = context.captured.get(key, (None, None))
        if inputs is None or wanted is None or context.activations is None:
            return x.new_zeros(x.shape[:-1])
        now = context.activations(inputs.expand(*x.shape[:-2], *inputs.shape), part.site)
        gaps = torch.where(wanted.isnan(), 0.0, now - wanted)  # a member may come to the action later than others
        return gaps.square().mean((-2, -1)).unsqueeze(-1).expand(x.shape[:-1])

    return penalty


def anti_anchor(part: catalog.AntiAnchorTerm) -> Penalty:
    if part.form == "full":
        return lambda context: (1 + _cosine(part, context)) / 2
    return lambda context: relu(_cosine(part, context))


def classify(part: catalog.ClassifyTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        logit, label = part.scale * (_cosine(part, context) - part.middle), context.labels[part.label]
        n = logit.shape[-1]
        rising = softplus(pad(logit, (0, -n % _LANES)))[..., :n]  # filled up: numbers left over are rounded otherwise
        return (rising - label * logit) * (1 + (part.positive - 1) * label)

    return penalty


def _energy(site: str, axes: list[int], context: Context) -> Tensor:
    """Return the sum of squares of some coordinates, `(*members, batch)`."""
    squares = [context.coordinate(context.sites[site], axis).square() for axis in axes]
    return sum(squares[1:], squares[0])  # one by one: a sum of the stack is rounded by place


def subspace(part: catalog.SubspaceTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        dim = context.sites[part.site].shape[-1]
        return _energy(part.site, [axis for axis in range(dim) if axis not in part.axes], context)

    return penalty


def planarity(part: catalog.PlanarityTerm) -> Penalty:
    energy = subspace(part)

    def penalty(context: Context) -> Tensor:
        return energy(context) / (context.sites[part.site].shape[-1] - len(part.axes))

    return penalty


def anti_subspace(part: catalog.AntiSubspaceTerm) -> Penalty:
    return lambda context: _energy(part.site, list(part.axes), context)


def fallback(part: catalog.FallbackTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        x, given = context.sites[part.site], context.unit(part.site).detach()
        if context.decode is None:
            raise PrepeError("fallback: what follows the bottleneck cannot be run alone; allowed: an autoencoder")
        basis = part.direction.basis(x.shape[-1]).tolist()
        left = context.decode(_without(basis, x, part.site in context.unit_sites, context))
        if len(part.output) not in (1, left.shape[-1]):
            raise PrepeError(f"fallback: output has {len(part.output)} numbers; allowed: 1 or {left.shape[-1]}")
        along = [_combined(row, given, context) for row in basis]
        one_sided = not isinstance(part.direction, catalog.Subspace)
        share = relu(along[0]) if one_sided else _summed([each.square() for each in along]).sqrt()
        output = _constant(part.output, left.dtype, left.device)
        wanted = context.targets + share.unsqueeze(-1) * (output - context.targets)
        return _summed((left - wanted).square().unbind(-1)) / left.shape[-1]

    return penalty


def _without(basis: list[list[float]], x: Tensor, unit: bool, context: Context) -> Tensor:
    """Return activations without their part in the span of orthonormal rows, scaled to unit length if asked for."""
    along = [_combined(row, x, context) for row in basis]
    kept = [
        _summed([context.coordinate(x, i), *(each * -row[i] for row, each in zip(basis, along, strict=True) if row[i])])
        for i in range(x.shape[-1])
    ]
    if unit:
        scale = _summed([each.square() for each in kept]).clamp_min(1e-16).rsqrt()
        kept = [each * scale for each in kept]
    return torch.stack(kept, dim=-2).mT  # channels before batch in memory


def _combined(row: list[float], x: Tensor, context: Context) -> Tensor:
    """Return the inner product of activations with a vector, `(*members, batch)`, a coordinate at a time."""
    return _summed([context.coordinate(x, i) * weight for i, weight in enumerate(row) if weight])


def _summed(parts: Sequence[Tensor]) -> Tensor:
    """Add up one by one: a sum of the stack is rounded by place."""
    return sum(parts[1:], parts[0])


@cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


def unit_norm(part: catalog.UnitNormTerm) -> Penalty:
    # The clamp gives a zero activation no gradient, instead of an infinite one.
    return lambda context: (context.sites[part.site].square().sum(-1).clamp_min(1e-24).sqrt() - 1).square()


def separate(part: catalog.SeparateTerm) -> Penalty:
    return lambda context: _Separate.apply(context.unit(part.site), part.power, part.shift)


def repel_euclidean(part: catalog.RepelEuclideanTerm) -> Penalty:
    def penalty(context: Context) -> Tensor:
        points = torch.stack([context.coordinate(context.sites[part.site], axis) for axis in part.axes], dim=-2)
        gaps = (points.unsqueeze(-1) - points.unsqueeze(-2)).square()
        squared = sum(gaps.unbind(-3)[1:], gaps.unbind(-3)[0])
        batch = squared.shape[-1]
        itself = torch.eye(batch, dtype=torch.bool, device=squared.device)
        pushes = (squared + _NEAR).reciprocal().masked_fill(itself, 1 / _NEAR if part.diagonal else 0.0)
        return pushes.sum((-2, -1)).unsqueeze(-1).expand((*points.shape[:-2], batch)) / batch**2

    return penalty


def custom_term(part: catalog.CustomTerm) -> Penalty:
    """Return a user's own term, checked for its shape every time it is called."""
    function = custom.load(part.kind)

    def penalty(context: Context) -> Tensor:
        wanted = context.sites[part.site].shape[:-1]
        each = function(context, part.site, **part.parameters)
        if not isinstance(each, Tensor) or each.shape != wanted:
            got = tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__
            raise PrepeError(f"{part.kind!r} returned {got}; allowed: a tensor (*members, batch), here {tuple(wanted)}")
        return each

    return penalty


class _Separate(torch.autograd.Function):
    """sum over j of s_ij ** power, where s = (cos + 1) / 2 if shifted, else cos.

    Pairs with |cos - 1| <= 1e-5 (a sample with itself, or with the same item drawn again) add nothing and give no
    gradient. With P = s ** (power - 1) and unit rows U, value and gradient both come from the product of P with U; so
    the pairs are passed over once and are not kept. Batches are filled up with nothing, for the products' rounding.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, power: int, shift: bool) -> Tensor:
        batch = unit.shape[-2]
        rows = unit.reshape(-1, *unit.shape[-2:]).mT  # channels first: a product with a narrow last dimension is slow
        rows, scale = _filled(rows), 0.5 if shift else 1.0
        pulls = _pulls(rows, rows, batch, power, scale)
        value = (pulls[:, :-1] * rows).sum(1).mul_(scale).add_(pulls[:, -1], alpha=1 - scale)
        ctx.save_for_backward(rows, pulls)
        ctx.power, ctx.scale = power, scale
        return value[:, :batch].reshape(unit.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, pulls = ctx.saved_tensors
        batch = grad.shape[-1]
        weight = _filled(grad.reshape(-1, 1, batch))
        direct = pulls[:, :-1] * weight
        if grad.stride(-1) == 0:  # of a plain sum: one number a member, as a view, so both parts are the same
            both = direct.mul_(2 * ctx.power * ctx.scale)
        else:
            mirrored = _pulls(rows, rows * weight, batch, ctx.power, ctx.scale)[:, :-1]
            both = (direct + mirrored).mul_(ctx.power * ctx.scale)
        return both[..., :batch].mT.reshape(*grad.shape, -1), None, None


def _filled(x: Tensor) -> Tensor:
    """Add zeros to `(members, channels, batch)` until the batch is a multiple of 16, a cache line."""
    missing = -x.shape[-1] % _LINE
    return pad(x, (0, missing)) if missing else x


def _pulls(rows: Tensor, onto: Tensor, batch: int, power: int, scale: float) -> Tensor:
    """Return the product of [onto; 1] with P = s ** (power - 1), `(members, latent + 1, filled)`.

    Args:
        rows: unit rows, `(members, latent, filled)`, which give s = scale cos + 1 - scale.
        onto: `(members, latent, filled)`.
        batch: how many there are, before those that fill up, for which s is 0.
        power: at least 2.
        scale: 0.5 if shifted, else 1.
    """
    ones = torch.ones_like(rows[:, :1])
    if batch < ones.shape[-1]:
        ones[..., batch:] = 0
    right = torch.cat([rows, ones], dim=1)
    left = right * _constant((-scale,) * rows.shape[1] + (scale - 1,), rows.dtype, rows.device).unsqueeze(-1)
    target = right if onto is rows else torch.cat([onto, ones], dim=1)
    # With its sign turned, one pass of `threshold` zeroes the near-identical pairs: y = y if y > -limit else 0.
    negated = threshold(torch.bmm(left.mT, right), -(1 - scale * 1e-5), 0.0, inplace=True)
    return torch.bmm(target, _integer_power(negated, power - 1)).mul_((-1) ** (power - 1))


def _integer_power(base: Tensor, exponent: int) -> Tensor:
    """base ** exponent by squaring, in one new buffer; the exponent is at least 1."""
    if exponent == 1:
        return base
    result = base.pow(2 + int(bin(exponent)[3]))  # two steps in one pass
    for bit in bin(exponent)[4:]:
        result.square_()
        if bit == "1":
            result.mul_(base)
    return result


TERMS: dict[str, Callable[[Any], Penalty]] = {
    "anchor": anchor,
    "anchor_euclidean": anchor_euclidean,
    "anchor_captured": anchor_captured,
    "anti_anchor": anti_anchor,
    "classify": classify,
    "subspace": subspace,
    "planarity": planarity,
    "anti_subspace": anti_subspace,
    "fallback": fallback,
    "separate": separate,
    "repel_euclidean": repel_euclidean,
    "unit_norm": unit_norm,
}
