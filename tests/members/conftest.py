"""Members with numbers that a test can choose, and a store of two variants, made by really running it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conftest import TINY

import prepe
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.members import Members

LABELS = ("suppress", "ablate")
Values = Mapping[str, Any]


@pytest.fixture
def make() -> Callable[..., Members]:
    """Make members: `metric=values` of the members, `label={metric: values}` of an intervention, NaN where broken."""

    def make(*, seeds: list[int], broken: tuple[int, ...] = (), terms: Values | None = None, **given: Any) -> Members:
        rows, effects = {}, {label: {} for label in LABELS if label in given}
        for i, seed in enumerate(seeds):
            dead = seed in broken

            def of(metrics: Mapping[str, Any], values: Values, place: int = i, dead: bool = dead) -> dict[str, Any]:
                found = {name: values[name][place] if name in values else None for name in metrics}
                return {name: np.nan if dead and value is not None else value for name, value in found.items()}

            rows[seed] = {**of(MEMBER_METRICS, given), "broken": float(dead), "seed": seed}
            rows[seed]["val_terms"] = list(of(terms or {}, terms or {}).items())
            for label in effects:
                effects[label][seed] = of(EFFECT_METRICS, given[label])
        return Members("0123456789abcdef", "0123", tiny.trial(), seeds, rows, effects)

    return make


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the sweep `two`, whose variants `linear` and `sigmoid` have four members each."""
    text = TINY.read_text().split("[search]")[0]
    for old, new in (("$latent_dim", "3"), ('"$lr"', "0.05"), ('"0.5 * $lr"', "0.02"), ('"$anchor"', "0.1")):
        text = text.replace(f'"{old}"' if old == "$latent_dim" else old, new)
    text = (
        text.replace("members = 3", "members = 4")
        + '\n[variants.linear]\n[variants.sigmoid]\nmodel.output = "sigmoid"\n'
    )
    folder = tmp_path_factory.mktemp("two")
    (folder / "two.toml").write_text(text)
    prepe.run(folder / "two.toml", results=folder / "results", executor="serial")
    return folder / "results"
