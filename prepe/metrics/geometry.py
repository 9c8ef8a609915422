"""Where concepts lie in latent space: latents in, cosines out."""

import numpy as np

ANCHOR_LIMIT, RECON_LIMIT, ISOLATION_LIMIT = 0.3, 0.01, 0.3


def alignment(latents: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return cos(z, v), `(*members, items, latent) -> (*members, items)`; a zero latent has cosine 0."""
    norm = np.linalg.norm(latents, axis=-1)
    return (latents * direction).sum(-1) / np.where(norm > 0, norm, 1.0)


def axis_purity(latents: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the mean squared alignment of items that should have none, `(*members,)`; 0 is best."""
    return (alignment(latents, direction) ** 2).mean(-1)
