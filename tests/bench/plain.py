"""The job as a researcher would write it for one seed: a module, Adam and a Python loop, neither tuned nor slowed down.

``python -m tests.bench.plain`` prints one line of JSON.
"""

import argparse
import copy
import json
import time

import numpy as np
import torch
from torch import Tensor, nn

from tests.bench import job


class Normalise(nn.Module):
    """Scale every row to unit length."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows of ``x`` divided by their lengths."""
        return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


class Autoencoder(nn.Module):
    """RGB to latent to RGB, two hidden layers on each side, the latent on the unit sphere."""

    def __init__(self, latent: int = job.LATENT, hidden: int = job.HIDDEN) -> None:
        """Layers with PyTorch's own initial weights."""
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(3, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, latent)
        )
        self.bottleneck = Normalise()
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 3)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstruction and the latents."""
        z = self.bottleneck(self.encoder(x))
        return self.decoder(z), z


def cosine(z: Tensor, point: Tensor) -> Tensor:
    """Cosine of each row with a unit vector."""
    return z @ point / (z.norm(dim=-1) + 1e-8)


def separate(z: Tensor) -> Tensor:
    """Push the samples of a batch apart: mean over samples of the summed, shifted, powered cosines with the others."""
    unit = z / (z.norm(dim=-1, keepdim=True) + 1e-8)
    cos = unit @ unit.T
    cos = cos.masked_fill((cos - 1).abs() <= job.SAME, 0.0)
    return (((cos + 1) / 2) ** job.POWER).sum(dim=-1).mean()


def anchor(z: Tensor, label: Tensor, point: Tensor) -> Tensor:
    """Pull labelled samples towards ``point``; the mean over the labelled ones."""
    return (label * (1 - cosine(z, point))).sum() / (label.sum() + 1e-8)


def anti_anchor(z: Tensor, point: Tensor) -> Tensor:
    """Keep samples out of the half-sphere around ``point``."""
    return cosine(z, point).clamp(min=0).mean()


def anti_subspace(z: Tensor) -> Tensor:
    """Keep samples off the first axis."""
    return (z[:, 0] ** 2).mean()


def train(seed: int, steps: int = job.STEPS) -> nn.Module:
    """Train one member; fewer steps stop the same schedule early."""
    torch.manual_seed(seed)
    colours = torch.tensor(job.training_colours(), dtype=torch.float32)
    probability = torch.tensor(job.red_probability(job.training_colours()), dtype=torch.float32)
    red = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), betas=job.BETAS, eps=job.EPSILON)

    for step in range(steps):
        index = torch.randint(len(colours), (job.BATCH,))
        x = colours[index]
        label = (torch.rand(job.BATCH) < probability[index]).float()

        output, z = model(x)
        loss = nn.functional.mse_loss(output, x)
        if weight := job.value_at("separate", step):
            loss = loss + weight * separate(z)
        if weight := job.value_at("anchor", step):
            loss = loss + weight * anchor(z, label, red)
        if weight := job.value_at("anti-anchor", step):
            loss = loss + weight * anti_anchor(z, -red)
        if weight := job.value_at("anti-subspace", step):
            loss = loss + weight * anti_subspace(z)

        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = job.value_at("lr", step)
        optimizer.step()
    return model


@torch.no_grad()
def score(model: nn.Module) -> tuple[float, float]:
    """The score once the first latent dimension is ablated, and the reconstruction error of the model as it is."""
    ablated = copy.deepcopy(model)
    ablated.encoder[-1].weight[0] = 0
    ablated.encoder[-1].bias[0] = 0
    ablated.decoder[0].weight[:, 0] = 0
    cube, held_out = job.training_colours(), job.validation_colours()
    output = ablated(torch.tensor(cube, dtype=torch.float32))[0].double().numpy()
    recon = model(torch.tensor(held_out, dtype=torch.float32))[0].double().numpy()
    return job.score(output), float(job.error(recon, held_out).mean())


def measure(members: int, first_seed: int = 0, warm_up: int = 100) -> tuple[list[float], list[nn.Module]]:
    """CPU seconds of each member, trained one after another on one thread, and the trained members."""
    torch.set_num_threads(1)
    train(first_seed, warm_up)
    seconds, models = [], []
    for seed in range(first_seed, first_seed + members):
        start = time.process_time()
        models.append(train(seed))
        seconds.append(time.process_time() - start)
    return seconds, models


def cpu_s_per_member(members: int = 1, first_seed: int = 0, warm_up: int = 100) -> float:
    """Mean CPU seconds that one member takes, after ``warm_up`` steps that are not counted."""
    return float(np.mean(measure(members, first_seed, warm_up)[0]))


def main() -> None:
    """Measure, score, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    seconds, models = measure(options.members, options.first_seed)
    scores, recons = zip(*map(score, models), strict=True)
    result = {
        "comparator": "plain",
        "members": options.members,
        "cpu_s_per_member": float(np.mean(seconds)),
        "cpu_s_min": min(seconds),
        "cpu_s_max": max(seconds),
        "score_mean": float(np.mean(scores)),
        "val_recon_mean": float(np.mean(recons)),
        "val_recon_median": float(np.median(recons)),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
