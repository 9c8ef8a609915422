"""A stored member trained again for a film."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import TinyStore

from prepe import replay, store
from prepe.errors import PrepeError
from prepe.figures import snapshots
from prepe.figures.stored import Stored


def test_a_member_trained_again_is_the_stored_one_at_every_step(tiny_store: TinyStore) -> None:
    trial = Stored(tiny_store.root, tiny_store.trials[0], {})
    film = replay.trained_again(trial.spec.training, 0, "trial")
    assert film.shown.steps == list(range(20))
    rows = store.read(tiny_store.root, "snapshots", names=f"{trial.spec.training.digest()}-*")
    stored = snapshots.read(rows, 0)
    assert stored is not None
    for step in (0, 19):
        assert np.allclose(film.shown.at(step), stored.at(step), atol=1e-5)
    assert not np.allclose(film.shown.at(0), film.shown.at(19), atol=1e-2)


def test_the_lines_of_a_film_are_the_members_own(tiny_store: TinyStore) -> None:
    trial = Stored(tiny_store.root, tiny_store.trials[0], {})
    film = replay.trained_again(trial.spec.training, 1, "trial")
    assert set(film.weights) == {"anchor", "separate"}
    assert list(film.losses)[:2] == ["total", "recon"]
    steps, values = film.weights["separate"]
    assert list(steps) == list(range(20))
    assert np.all(np.diff(values) >= 0)


def test_another_seed_is_another_member(tiny_store: TinyStore) -> None:
    training = Stored(tiny_store.root, tiny_store.trials[0], {}).spec.training
    first, second = (replay.trained_again(training, seed, "trial").shown for seed in (0, 1))
    assert not np.allclose(first.latents, second.latents, atol=1e-2)


@pytest.mark.slow
def test_a_film_is_written_from_stored_snapshots_or_from_a_member_trained_again(
    tiny_store: TinyStore, tmp_path: Path
) -> None:
    av = pytest.importorskip("av", reason="the extra `animation` is not installed")
    counts = []
    for options in ({"stored": True}, {"member": 2}):
        path = replay.animate(tiny_store.trials[0], tiny_store.root, out=tmp_path, **options)  # type: ignore[arg-type]
        with av.open(str(path)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    names = {f"{tiny_store.trials[0]}-member-{seed}.{end}" for seed in (0, 2) for end in ("mp4", "txt")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert counts == [3, 20]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"member": 9}, "no such member; allowed: 0 to 2"), ({"member": 2, "stored": True}, "seed 0")],
)
def test_a_member_that_is_not_there_is_answered_with_those_that_are(
    options: dict[str, object], message: str, tiny_store: TinyStore, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="the extra `animation` is not installed")
    with pytest.raises(PrepeError, match=message):
        replay.animate(tiny_store.trials[0], tiny_store.root, out=tmp_path, **options)  # type: ignore[arg-type]


def test_nothing_is_added_to_the_store(own_store: TinyStore) -> None:
    before = sorted(own_store.root.rglob("*.parquet"))
    training = Stored(own_store.root, own_store.trials[0], {}).spec.training
    replay.trained_again(training, 0, "trial")
    assert sorted(own_store.root.rglob("*.parquet")) == before
    assert len(store.read(own_store.root, "models", where=pc.field("seed") == 0)) > 0
