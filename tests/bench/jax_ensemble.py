"""The job as a good user of JAX would write it for many seeds: ``vmap`` over members, ``scan`` over updates, jitted.

Found fastest (one thread, AVX-512, jax 0.10): activations as (channel, batch), six tenths of the time of (batch,
channel); the gradient of the separating term written out, so that the powered cosines are computed once; cosines as a
sum of products rather than a batched matrix product; no regularizer at updates where all of them have weight zero.
Drawing all samples beforehand, one flat parameter vector, unrolling, smaller groups of members and other random
generators gain nothing; members along the last axis, or a power with a floating-point exponent, are much slower.

Importing this module raises ImportError where JAX is missing. Measure it in a process of its own: it keeps that process
to one CPU and sets the flags of XLA, which are read once.

``python -m tests.bench.jax_ensemble`` prints one line of JSON.
"""

import argparse
import json
import os
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tests.bench import job

Layers = list[tuple[Array, Array]]
State = tuple[Layers, Layers, Layers]

ENCODER = ((3, job.HIDDEN), (job.HIDDEN, job.HIDDEN), (job.HIDDEN, job.LATENT))
DECODER = ((job.LATENT, job.HIDDEN), (job.HIDDEN, job.HIDDEN), (job.HIDDEN, 3))
WEIGHTS = ("separate", "anchor", "anti-anchor", "anti-subspace")


def one_thread() -> None:
    """Keep this process to one CPU, and XLA to one thread; call it before JAX has computed anything."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    jax.config.update("jax_platforms", "cpu")


def schedule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per update: regularizer weights, learning rate over Adam's first correction, and Adam's second correction."""
    steps = range(job.STEPS)
    weights = np.array([[job.value_at(name, step) for name in WEIGHTS] for step in steps], np.float32)
    count = np.arange(1, job.STEPS + 1)
    rate = np.array([job.value_at("lr", step) for step in steps]) / (1 - job.BETAS[0] ** count)
    return weights, rate.astype(np.float32), np.sqrt(1 - job.BETAS[1] ** count).astype(np.float32)


def perceptron(layers: Layers, x: Array) -> Array:
    """Linear layers with exact GELU between them; ``x`` is (channel, batch)."""
    for i, (weight, bias) in enumerate(layers):
        x = weight @ x + bias[:, None]
        if i < len(layers) - 1:
            x = x * (0.5 + 0.5 * lax.erf(x * np.float32(0.5**0.5)))
    return x


def encode(layers: Layers, x: Array) -> Array:
    """Latents of unit length, (latent, batch)."""
    y = perceptron(layers[: len(ENCODER)], x)
    return y * lax.rsqrt(jnp.maximum((y * y).sum(axis=0, keepdims=True), 1e-24))


def decode(layers: Layers, z: Array) -> Array:
    """Colours, (3, batch), not clamped."""
    return perceptron(layers[len(ENCODER) :], z)


def _separate(z: Array) -> tuple[Array, tuple[Array, Array]]:
    cos = (z[:, :, None] * z[:, None, :]).sum(axis=0)
    shifted = 0.5 * cos + 0.5
    power = jnp.where(jnp.abs(cos - 1) <= job.SAME, 0, lax.integer_pow(shifted, job.POWER - 1))
    return (power * shifted).sum() / job.BATCH, (z, power)


def _separate_gradient(saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    z, power = saved
    # Both places of a pair give the same share, and half of each comes from the shift.
    return (gradient * (job.POWER / job.BATCH) * (z @ power),)


@jax.custom_vjp
def separate(z: Array) -> Array:
    """Push the samples of a batch apart: mean over samples of the summed, shifted, powered cosines with the others.

    Latents have unit length already, so that their products are the cosines.
    """
    return _separate(z)[0]


separate.defvjp(_separate, _separate_gradient)


def loss(layers: Layers, x: Array, label: Array, weights: Array, *, regularized: bool) -> Array:
    """Reconstruction error, and the weighted regularizers if any has a weight at this update."""
    z = encode(layers, x)
    recon = ((decode(layers, z) - x) ** 2).mean()
    if not regularized:
        return recon
    red = z[0]
    anchor = (label * (1 - red)).sum() / (label.sum() + 1e-8)
    terms = separate(z), anchor, jnp.maximum(-red, 0).mean(), (red * red).mean()
    return recon + sum(weight * term for weight, term in zip(weights, terms, strict=True))


def initial_layers(key: Array) -> Layers:
    """Weights and biases uniform within one over the root of the layer's inputs."""
    layers = []
    for i, (inputs, outputs) in enumerate(ENCODER + DECODER):
        draw = jax.random.uniform(jax.random.fold_in(key, i), (outputs, inputs + 1), minval=-1, maxval=1) / inputs**0.5
        layers.append((draw[:, :-1], draw[:, -1]))
    return layers


def train_member(seed: Array) -> Layers:
    """Train one member through the whole schedule."""
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    cube = job.training_colours()
    colours = jnp.asarray(cube.T, jnp.float32)
    probability = jnp.asarray(job.red_probability(cube), jnp.float32)
    first, second = job.BETAS

    def descend(state: State, x: Array, label: Array, step: tuple[Array, ...], *, regularized: bool) -> State:
        layers, mean, square = state
        weights, rate, correction = step
        gradient = jax.grad(partial(loss, regularized=regularized))(layers, x, label, weights)
        mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, mean, gradient)
        square = jax.tree.map(lambda s, g: second * s + (1 - second) * g * g, square, gradient)
        layers = jax.tree.map(
            lambda p, m, s: p - rate * m / (jnp.sqrt(s) / correction + job.EPSILON), layers, mean, square
        )
        return layers, mean, square

    def update(state: State, inputs: tuple[Array, tuple[Array, ...]]) -> tuple[State, None]:
        key, step = inputs
        index_key, label_key = jax.random.split(key)
        index = jax.random.randint(index_key, (job.BATCH,), 0, colours.shape[1])
        label = (jax.random.uniform(label_key, (job.BATCH,)) < probability[index]).astype(jnp.float32)
        branches = partial(descend, regularized=True), partial(descend, regularized=False)
        return lax.cond((step[0] != 0).any(), *branches, state, colours[:, index], label, step), None

    layers = initial_layers(init_key)
    zeros = jax.tree.map(jnp.zeros_like, layers)
    inputs = jax.random.split(draw_key, job.STEPS), tuple(map(jnp.asarray, schedule()))
    return lax.scan(update, (layers, zeros, zeros), inputs)[0][0]


def measure(members: int = 60, repeats: int = 5, first_seed: int = 0) -> tuple[dict[str, Any], Layers]:
    """CPU seconds to compile, and per member in each repetition of the whole training; and the trained members."""
    one_thread()
    seeds = np.arange(first_seed, first_seed + members, dtype=np.uint32)
    start = time.process_time()
    train = jax.jit(jax.vmap(train_member)).lower(seeds).compile()
    compile_s = time.process_time() - start
    layers, seconds = None, []
    for _ in range(repeats):
        start = time.process_time()
        layers = jax.block_until_ready(train(seeds))
        seconds.append((time.process_time() - start) / members)
    result = {
        "run_cpu_s_per_member": float(np.median(seconds)),
        "run_cpu_s_min": min(seconds),
        "run_cpu_s_max": max(seconds),
        "compile_s": compile_s,
    }
    return result, layers


def cpu_s_per_member(members: int = 60, repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds per member of a compiled run (also the least and the most), and CPU seconds of compilation."""
    return measure(members, repeats)[0]


def scores(layers: Layers) -> tuple[list[float], list[float]]:
    """For each member: the score once the first latent dimension is ablated, and the reconstruction error as it is."""
    cube, held_out = job.training_colours(), job.validation_colours()

    def outputs(members: Layers, rgb: np.ndarray) -> np.ndarray:
        x = jnp.asarray(rgb.T, jnp.float32)
        result = jax.vmap(lambda member: decode(member, encode(member, x)).T)(members)
        return np.asarray(result, np.float64)

    last, first = len(ENCODER) - 1, len(ENCODER)
    ablated = list(layers)
    ablated[last] = layers[last][0].at[:, 0].set(0), layers[last][1].at[:, 0].set(0)
    ablated[first] = layers[first][0].at[:, :, 0].set(0), layers[first][1]
    recon = job.error(outputs(layers, held_out), held_out).mean(axis=-1)
    return [job.score(output) for output in outputs(ablated, cube)], recon.tolist()


def main() -> None:
    """Measure, score, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    result, layers = measure(options.members, options.repeats, options.first_seed)
    score, recon = scores(layers)
    result = {
        "comparator": "jax_ensemble",
        "members": options.members,
        **result,
        "score_mean": float(np.mean(score)),
        "score_std": float(np.std(score, ddof=1)) if len(score) > 1 else 0.0,
        "val_recon_mean": float(np.mean(recon)),
        "val_recon_median": float(np.median(recon)),
        "jax": jax.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
