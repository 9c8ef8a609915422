"""Random numbers keyed by (seed, stream, chunk of steps): a member sees the same ones alone or among sixty."""

import zlib

import numpy as np

CHUNK = 128
"""Steps whose numbers are drawn at once; part of what a seed means."""


def generator(seed: int, stream: str, chunk: int = 0) -> np.random.Generator:
    """Return a fresh generator for one member's stream and chunk."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(stream.encode()), chunk])))


def uniform(seeds: list[int], stream: str, chunk: int, width: int) -> np.ndarray:
    """Draw numbers in [0, 1) for every member and step of a chunk, `(CHUNK, members, width)` float32."""
    drawn = np.empty((CHUNK, len(seeds), width), dtype=np.float32)
    for member, seed in enumerate(seeds):
        drawn[:, member] = generator(seed, stream, chunk).random((CHUNK, width), dtype=np.float32)
    return drawn


def weighted(uniforms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turn numbers in [0, 1) into indices drawn with replacement in proportion to `weights`, same shape."""
    if (weights == weights[0]).all():
        return (uniforms * np.float32(len(weights))).astype(np.int64)
    edges = np.cumsum(weights, dtype=float)
    return np.minimum(np.searchsorted(edges / edges[-1], uniforms, side="right"), len(weights) - 1)
