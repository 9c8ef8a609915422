"""Where concepts lie in latent space, and how latents fill it: latents in, cosines, lengths and energies out."""

import math

import numpy as np

ANCHOR_LIMIT, RECON_LIMIT, ISOLATION_LIMIT = 0.3, 0.01, 0.3


def alignment(latents: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return the cosine with a direction, or with the nearest direction of a subspace, which is never negative.

    Args:
        latents: `(*members, items, latent)`; a zero latent has cosine 0.
        basis: orthonormal rows, `(k, latent)`, or one direction, `(latent,)`, or each member's own rows,
            `(*members, k, latent)`.

    Returns:
        `(*members, items)`.
    """
    basis, norm = np.atleast_2d(basis), np.linalg.norm(latents, axis=-1)
    along = [(latents * basis[..., i, None, :]).sum(-1) for i in range(basis.shape[-2])]
    inside = along[0] if len(along) == 1 else np.sqrt(sum(each**2 for each in along))
    return np.asarray(inside / np.where(norm > 0, norm, 1.0))


def beyond_chance(cos: np.ndarray, dim: int) -> np.ndarray:
    """Return how much better than a random direction's an absolute cosine is: 1 is best, 0 chance.

    (cos - c) / (1 - c), with c = Gamma(K/2) / (sqrt(pi) Gamma((K+1)/2)), the mean absolute cosine in K dimensions
    """
    chance = math.exp(math.lgamma(dim / 2) - math.lgamma((dim + 1) / 2)) / math.sqrt(math.pi)
    return (cos - chance) / (1 - chance)


def axis_purity(latents: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return the mean squared alignment of items that should have none, `(*members,)`; 0 is best."""
    return (alignment(latents, basis) ** 2).mean(-1)


def anchor_distance(latents: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return how far latents lie from the end of a direction, or from a subspace's unit sphere.

    |z - v|, with the v nearest to z

    Args:
        latents: `(*members, latent)`.
        basis: orthonormal rows, `(k, latent)`, or one direction, `(latent,)`.
    """
    basis = np.atleast_2d(basis)
    if len(basis) == 1:
        return np.linalg.norm(latents - basis[0], axis=-1)
    inside = latents @ basis.T
    rest = latents - inside @ basis
    return np.hypot(np.linalg.norm(inside, axis=-1) - 1, np.linalg.norm(rest, axis=-1))


def norm_deviation(latents: np.ndarray) -> np.ndarray:
    """Return the mean of (|z| - 1)^2 over items, `(*members, items, latent) -> (*members,)`; 0 on the unit sphere."""
    return ((np.linalg.norm(latents, axis=-1) - 1) ** 2).mean(-1)


def norm_mean(latents: np.ndarray) -> np.ndarray:
    """Return the mean of |z| over items, `(*members, items, latent) -> (*members,)`."""
    return np.linalg.norm(latents, axis=-1).mean(-1)


def bunching(latents: np.ndarray) -> np.ndarray:
    """Return |mean of z / |z||, `(*members, items, latent) -> (*members,)`; 1 when all lie in one direction.

    A zero latent has no direction, and counts as 0.
    """
    norm = np.linalg.norm(latents, axis=-1, keepdims=True)
    return np.linalg.norm((latents / np.where(norm > 0, norm, 1.0)).mean(-2), axis=-1)


def off_plane(latents: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    """Return the mean energy outside the plane of two axes, `(*members, items, latent) -> (*members,)`.

    mean over items of the sum of squares of all other coordinates
    """
    return (outside(latents, axes) ** 2).sum(-1).mean(-1)


def outside(latents: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    """Return the coordinates outside the plane of two axes, `(*members, items, latent - 2)`."""
    return np.delete(latents, list(axes), axis=-1)
