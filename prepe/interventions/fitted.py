"""Where a concept is, found afterwards: latents with labels in; directions, or an eraser, for every member out.

Items are weighted: how often each was drawn with the label, and how often without, so that an item of a lattice that
was drawn a thousand times counts once with its weight. Everything is over leading member dimensions.

Source: Belrose et al., "LEACE", arXiv:2306.03819, for the eraser.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_RIDGE = 1e-9
_LEAST = 1e-30
_NOTHING = 1e-12
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class Labelled:
    """Latents `(*members, items, latent)`, and how often each item has the label and has not, `(*members, items)`."""

    latents: Tensor
    positive: Tensor
    negative: Tensor

    def mean(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the latents, `(*members, latent)`; 0 for a member without any."""
        return (self.latents * weights.unsqueeze(-1)).sum(-2) / weights.sum(-1, keepdim=True).clamp_min(_LEAST)

    def covariance(self, weights: Tensor, centre: Tensor) -> Tensor:
        """Return the weighted covariance of the latents around a centre, `(*members, latent, latent)`."""
        centred = self.latents - centre.unsqueeze(-2)
        return centred.mT @ (centred * weights.unsqueeze(-1)) / weights.sum(-1).clamp_min(_LEAST)[..., None, None]


def class_mean(given: Labelled) -> Tensor:
    """Return the direction of the labelled mean, `(*members, latent)`."""
    return _unit(given.mean(given.positive))


def mean_difference(given: Labelled) -> Tensor:
    """Return the direction from the unlabelled mean to the labelled one, `(*members, latent)`."""
    return _unit(given.mean(given.positive) - given.mean(given.negative))


def discriminant(given: Labelled) -> Tensor:
    """Return Fisher's discriminant, S^-1 (m1 - m0), with the covariance S within the classes, `(*members, latent)`."""
    m1, m0 = given.mean(given.positive), given.mean(given.negative)
    n1, n0 = (each.sum(-1)[..., None, None] for each in (given.positive, given.negative))
    within = (given.covariance(given.positive, m1) * n1 + given.covariance(given.negative, m0) * n0) / (n1 + n0)
    return _unit(torch.linalg.solve(_ridged(within), (m1 - m0).unsqueeze(-1)).squeeze(-1))


def logistic(given: Labelled, penalty: float = 1e-3) -> Tensor:
    """Return the weights of a logistic regression in which both classes count alike, `(*members, latent)`.

    Newton's method on the mean loss of each class, plus penalty / 2 |w|^2.
    """
    positive = given.positive / given.positive.sum(-1, keepdim=True).clamp_min(_LEAST) / 2
    negative = given.negative / given.negative.sum(-1, keepdim=True).clamp_min(_LEAST) / 2
    x = torch.cat([given.latents, torch.ones_like(given.latents[..., :1])], dim=-1)
    shrink = torch.full((x.shape[-1],), penalty, dtype=x.dtype, device=x.device)
    shrink[-1] = 0.0
    w = torch.zeros_like(x[..., 0, :])
    for _ in range(_NEWTON_STEPS):
        chance = torch.sigmoid((x * w.unsqueeze(-2)).sum(-1))
        gradient = (x * (negative * chance - positive * (1 - chance)).unsqueeze(-1)).sum(-2) + shrink * w
        curvature = x.mT @ (x * ((positive + negative) * chance * (1 - chance)).unsqueeze(-1)) + torch.diag(shrink)
        w = w - torch.linalg.solve(_ridged(curvature), gradient.unsqueeze(-1)).squeeze(-1)
    return _unit(w[..., :-1])


@dataclass(frozen=True)
class Eraser:
    """An affine map x -> x - P (x - c) after which no linear classifier finds the label.

    Attributes:
        projection: P, of rank 1, oblique in general, `(*members, latent, latent)`.
        centre: c, `(*members, latent)`.
    """

    projection: Tensor
    centre: Tensor


@dataclass(frozen=True)
class Found:
    """A direction found in each member, in the place of one that a sweep file gives.

    Attributes:
        name: how it was found.
        vectors: unit vectors, `(members, latent)`; zero for a member in which nothing was found.
        eraser: what erases it, for the operator that does.
    """

    name: str
    vectors: np.ndarray
    eraser: Eraser | None = None

    def basis(self, dim: int) -> np.ndarray:
        """Return each member's vector as the only row, `(members, 1, dim)`."""
        return self.vectors[:, None]

    def __str__(self) -> str:
        return self.name


def leace(given: Labelled) -> Eraser:
    """Fit the eraser that moves latents least, in mean square, of all that leave no linear trace of the label.

    P = W^+ u u^T W, with W the whitening and u the unit vector along W times the covariance of latents and label

    A member that is not finite keeps an eraser that is not finite either.

    Raises:
        ValueError: a member's latents and label have no covariance at all, so that nothing would be erased.
    """
    total = given.positive + given.negative
    centre = given.mean(total)
    share = (given.positive.sum(-1) / total.sum(-1)).unsqueeze(-1)
    gap = given.mean(given.positive) - given.mean(given.negative)
    cross = share * (1 - share) * gap
    size = cross.norm(dim=-1)
    if bool((size <= _NOTHING).any()):
        raise ValueError(
            "leace would erase nothing, since latents and label do not vary together for some member; "
            "allowed: a label that some draws carry and others do not"
        )
    values, vectors = torch.linalg.eigh(given.covariance(total, centre).nan_to_num(0.0))
    floor = values.amax(-1, keepdim=True) * _RIDGE
    inverse = torch.where(values > floor, values.clamp_min(1e-30).rsqrt(), torch.zeros_like(values))
    root = torch.where(values > floor, values.clamp_min(0).sqrt(), torch.zeros_like(values))
    whiten = vectors @ (inverse.unsqueeze(-1) * vectors.mT)
    colour = vectors @ (root.unsqueeze(-1) * vectors.mT)
    u = _unit((whiten @ cross.unsqueeze(-1)).squeeze(-1))
    projection = (colour @ u.unsqueeze(-1)) @ (u.unsqueeze(-2) @ whiten)
    return Eraser(projection, centre)


FITS: dict[str, Callable[[Labelled], Tensor]] = {
    "class_mean": class_mean,
    "mean_difference": mean_difference,
    "logistic": logistic,
    "discriminant": discriminant,
}


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-30)


def _ridged(matrix: Tensor) -> Tensor:
    """Return a matrix with a little added along its diagonal, so that it can be inverted."""
    scale = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return matrix + _RIDGE * scale * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
