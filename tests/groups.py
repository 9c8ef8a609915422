"""A store with made-up rows of a good and a bad group of members, and the sweep files that would have made them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from prepe import store, sweep
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, STAGE_METRICS

BODY = """
question = "Do made-up rows keep what they promise?"
members = {members}

[data]
kind = "rgb_grid"
size = 3
labels.red = {{ concept = "redness", power = 2, rate = 0.5 }}

[model]
kind = "autoencoder"
latent_dim = 3
hidden_dim = {width}

[concepts.red]
item = "red"
direction = {{ axis = 0 }}

[terms.anchor]
kind = "anchor"
direction = {{ axis = 0 }}
labels = {{ red = 1 }}

[schedule]
batch_size = 8
keyframes = [{{ step = 0, lr = 0.01, anchor = 1 }}, {{ step = 19 }}]

[[interventions]]
label = "ablate"
operator = "ablate"
concept = "red"
power = 3
"""
VARIANTS = """
[variants.good]

[variants.bad]
model.hidden_dim = 4
"""
MEMBERS = 16
TIME = datetime(2026, 1, 2, tzinfo=UTC)
LEVELS = {"good": 0.1, "bad": 0.9}
"""About what every metric of a group's members is; they differ by up to 0.05."""


def write_file(folder: Path, name: str, text: str = "", members: int = MEMBERS, width: int | str = 8) -> Path:
    """Write a sweep file: a body that is always the same but for a model's width, and some more."""
    path = folder / f"{name}.toml"
    path.write_text(BODY.format(members=members, width=json.dumps(width)) + text)
    return path


def write_trial(
    root: Path,
    file: Path,
    group: str,
    *,
    variant: str | None = None,
    members: int = MEMBERS,
    changed: dict[str, Any] | None = None,
    rng: np.random.Generator | None = None,
    **proposal: Any,
) -> str:
    """Write the rows that a run of one trial of a sweep file would have left.

    Args:
        root: the store.
        file: the sweep file.
        group: `good` or `bad`.
        variant: of the file.
        members: how many, from seed 0.
        changed: columns of `members` to have other values: lists of one a seed.
        rng: draws the values.
        proposal: columns of the proposal's row to have other values.

    Returns:
        The trial's name.
    """
    rng = rng or np.random.default_rng(len(group) + MEMBERS)
    loaded = sweep.load(file)
    params = loaded.start() | ({"variant": variant} if variant else {})
    name = loaded.trial(params).digest()
    block = f"0-{members - 1}"
    key = {"trial": name, "block": block, "model": f"{name[::-1]}"}

    def drawn(metrics: Any) -> dict[str, Any]:
        return {metric: LEVELS[group] + rng.uniform(-0.05, 0.05) for metric in metrics}

    def own(seed: int) -> dict[str, Any]:
        return {column: values[seed] for column, values in (changed or {}).items()}

    rows: dict[str, list[dict[str, Any]]] = {"models": [], "members": [], "stages": [], "effects": [], "items": []}
    for seed in range(members):
        maps = {"final_parts": drawn(["reg-anchor"]), "phase_spikes": drawn(["5000"]), "val_terms": drawn(["anchor"])}
        rows["models"].append(
            {"model": key["model"], "block": block, "seed": seed, "weights": rng.normal(size=50), "spec": "{}"}
        )
        rows["members"].append({**key, "seed": seed, **drawn(MEMBER_METRICS), **maps, **own(seed)})
        rows["stages"] += [{**key, "seed": seed, "step": step, **drawn(STAGE_METRICS)} for step in (10, 20)]
        rows["effects"].append({**key, "seed": seed, "intervention": "ablate", **drawn(EFFECT_METRICS)})
        rows["items"] += [
            {"trial": name, "block": block, "seed": seed, "intervention": "ablate", "set": kind, "item": item, "x": x}
            | drawn(["error_before", "error_after"])
            for kind, item, x in (("named", "red", [1, 0, 0]), ("reference", "0,0,0", list(rng.uniform(size=3))))
        ]
    for table, content in rows.items():
        store.write(root, table, f"{key['model' if table == 'models' else 'trial']}-{block}", content)
    made = {"twin": None, "spec": "{}", "seeds": list(range(members)), "wall_s": 2.0, "created": TIME}
    store.write(root, "trials", f"{name}-{block}", [{**key, **made}])
    asked = {
        "sweep": file.stem,
        "digest": sweep.digest(loaded),
        "number": list(loaded.variants).index(variant) if variant else 0,
        "trial": name,
        "params": json.dumps(params),
        "state": "complete",
        "feasible": True,
        "members": members,
        "first_seed": 0,
        "created": TIME + timedelta(seconds=len(group)),
    }
    store.write(root, "proposals", f"{file.stem}-{name}", [asked | proposal])
    return name


def write_pair(root: Path, file: Path, **options: Any) -> None:
    """Write both variants of a file that has `VARIANTS`."""
    for number, group in enumerate(LEVELS):
        write_trial(root, file, group, variant=group, rng=np.random.default_rng(number), **options)
