"""The job as one would first write it in JAX: a loss for one member, ``grad``, ``scan``, ``vmap``, ``jit``.

Activations are (batch, channel), GELU and norm are the library's, and every gradient is automatic. `jax_ensemble` is
the same job after a search for the fastest form.

``python -m tests.bench.jax_idiomatic`` prints one line of JSON; measure it in a process of its own.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tests.bench import job
from tests.bench.jax_ensemble import ENCODER, Layers, initial_layers, one_thread, schedule


def perceptron(layers: Layers, x: Array) -> Array:
    """Linear layers with exact GELU between them; ``x`` is (batch, channel)."""
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if i < len(layers) - 1:
            x = jax.nn.gelu(x, approximate=False)
    return x


def loss(layers: Layers, x: Array, label: Array, weights: Array) -> Array:
    """Reconstruction error plus the weighted regularizers."""
    y = perceptron(layers[: len(ENCODER)], x)
    z = y / jnp.maximum(jnp.linalg.norm(y, axis=1, keepdims=True), 1e-12)
    recon = ((perceptron(layers[len(ENCODER) :], z) - x) ** 2).mean()
    cos = z @ z.T
    cos = jnp.where(jnp.abs(cos - 1) <= job.SAME, 0, cos)
    separate = (((cos + 1) / 2) ** job.POWER).sum(axis=1).mean()
    anchor = (label * (1 - z[:, 0])).sum() / (label.sum() + 1e-8)
    anti_anchor = jnp.maximum(-z[:, 0], 0).mean()
    anti_subspace = (z[:, 0] ** 2).mean()
    return recon + weights @ jnp.stack([separate, anchor, anti_anchor, anti_subspace])


def train_member(seed: Array) -> Layers:
    """Train one member through the whole schedule."""
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    cube = job.training_colours()
    colours = jnp.asarray(cube, jnp.float32)
    probability = jnp.asarray(job.red_probability(cube), jnp.float32)
    first, second = job.BETAS

    def update(state: tuple[Layers, Layers, Layers], inputs: Any) -> tuple[Any, None]:
        layers, mean, square = state
        key, (weights, rate, correction) = inputs
        index_key, label_key = jax.random.split(key)
        index = jax.random.randint(index_key, (job.BATCH,), 0, len(colours))
        label = (jax.random.uniform(label_key, (job.BATCH,)) < probability[index]).astype(jnp.float32)
        gradient = jax.grad(loss)(layers, colours[index], label, weights)
        mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, mean, gradient)
        square = jax.tree.map(lambda s, g: second * s + (1 - second) * g * g, square, gradient)
        layers = jax.tree.map(
            lambda p, m, s: p - rate * m / (jnp.sqrt(s) / correction + job.EPSILON), layers, mean, square
        )
        return (layers, mean, square), None

    layers = initial_layers(init_key)
    zeros = jax.tree.map(jnp.zeros_like, layers)
    inputs = jax.random.split(draw_key, job.STEPS), tuple(map(jnp.asarray, schedule()))
    return lax.scan(update, (layers, zeros, zeros), inputs)[0][0]


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    one_thread()
    seeds = np.arange(options.members, dtype=np.uint32)
    start = time.process_time()
    train = jax.jit(jax.vmap(train_member)).lower(seeds).compile()
    compile_s = time.process_time() - start
    seconds = []
    for _ in range(options.repeats):
        start = time.process_time()
        jax.block_until_ready(train(seeds))
        seconds.append((time.process_time() - start) / options.members)
    result = {
        "comparator": "jax_idiomatic",
        "members": options.members,
        "run_cpu_s_per_member": float(np.median(seconds)),
        "run_cpu_s_min": min(seconds),
        "run_cpu_s_max": max(seconds),
        "compile_s": compile_s,
        "jax": jax.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
