"""A stored trial in; one of its members trained again, watched closely, and a film of it out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prepe import data, store, train
from prepe.errors import PrepeError
from prepe.figures import animation, losses, snapshots
from prepe.figures.members import numbers, of
from prepe.figures.stored import Stored
from prepe.reproduction import trial_of
from prepe.spec import Training
from prepe.sweep import Record

Report = Callable[[str, int, int], None]
_POINTS = 500  # of a line


def animate(
    name: str,
    results: store.Root,
    *,
    member: int | None = None,
    stored: bool = False,
    out: Path | None = None,
    fps: int = 30,
    dark: bool = True,
    device: str = "auto",
    allow_imports: bool = False,
    report: Report | None = None,
) -> Path:
    """Write a film of one member's latents through its training, and return its path.

    The member is trained again for it, since snapshots are stored at a few steps alone; nothing else is stored.

    Args:
        name: the trial, or the beginning of its name.
        results: the store.
        member: the seed; by default the first one.
        stored: show the stored snapshots, without training.
        out: the folder for the film; by default `figures` in the store.
        fps: pictures a second.
        dark: the look.
        device: `auto`, `cpu` or `cuda`.
        allow_imports: let the trial call its user's functions.
        report: told what is being done, how far it is, and how far it goes.

    Raises:
        PrepeError: no such trial or member, the optional dependency is missing, or the file cannot be written.
    """
    animation.check_available()
    facts = store.trial_named(results, name)
    trial = facts["trial"]
    if not facts["spec"]:
        raise PrepeError(f"trial {trial}: it failed, so there is nothing to animate; see: prepe show")
    training = trial_of(facts, allow_imports).training
    if stored:
        film = _stored(Stored(results, trial, {}), member)
    else:
        film = trained_again(training, _seed(facts, member), f"trial {trial}", device, _doing(report, "training"))
    folder = store.local_folder(results) / "figures" if out is None else out
    path = folder / f"{trial}-member-{film.shown.seed}.mp4"
    return animation.write(film, path, fps, dark, _doing(report, "drawing"))


def trained_again(
    training: Training, seed: int, title: str, device: str = "auto", report: train.Report | None = None
) -> animation.Film:
    """Train one member and return the film of it."""
    steps = training.schedule.steps
    chosen = animation.frames(steps - 1)
    record = Record(history_stride=max(1, steps // _POINTS), snapshots=tuple(chosen), shown_members=1)
    trained = train.train(training, [seed], device=device, record=record, report=report)
    kept = [each for each in trained.snapshots if each[0] in set(chosen)]
    inputs = data.task(training.data).reference.inputs
    shown = snapshots.Snapshots(
        seed,
        [step for step, _, _ in kept],
        inputs,
        np.stack([latents[0] for _, latents, _ in kept]).astype(float),
        np.stack([outputs[0] for _, _, outputs in kept]).astype(float),
        np.clip(inputs, 0, 1) if inputs.shape[-1] == 3 else None,
    )
    mask = snapshots.covered(inputs, training.data)
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for step, quantity, name, values in trained.history:
        lines.setdefault((quantity, name), []).append((step, float(values[0])))
    arrays = {key: tuple(np.array(each, dtype=float).T) for key, each in lines.items()}
    return _film(shown.only(mask) if mask.any() else shown, arrays, title)


def _stored(trial: Stored, member: int | None) -> animation.Film:
    """Return the film of stored snapshots, beside the medians over members."""
    shown = trial.snapshots
    if shown is None or member not in (None, shown.seed):
        there = "none" if shown is None else f"seed {shown.seed}"
        raise PrepeError(
            f"trial {trial.name}: no stored snapshots of this member; allowed: {there}, or without --stored"
        )
    lines = {}
    for quantity in ("hyperparameter", "loss", "term"):
        rows = of(trial.history, quantity=quantity).sort_by("step")
        for name in dict.fromkeys(rows["name"].to_pylist()):
            line = of(rows, name=name)
            lines[quantity, name] = (numbers(line, "step"), numbers(line, losses.statistic_of(line)))
    return _film(shown, lines, f"trial {trial.name}")


def _film(shown: snapshots.Snapshots, lines: dict[tuple[str, str], Any], title: str) -> animation.Film:
    moved = {name: line for (quantity, name), line in lines.items() if quantity == "hyperparameter"}
    weights = {name: line for name, line in moved.items() if name != "lr"} or moved
    parts = {name: line for (quantity, name), line in lines.items() if quantity in ("loss", "term")}
    order = [name for name in ("total", "recon", *weights) if name in parts]
    smooth = {name: (parts[name][0], losses.running_mean(parts[name][1])) for name in order}
    return animation.Film(shown, weights, smooth, f"{title[0].upper()}{title[1:]}, seed {shown.seed}")


def _seed(facts: dict[str, Any], member: int | None) -> int:
    seeds = facts["seeds"]
    if member is not None and member not in seeds:
        allowed = f"{min(seeds)} to {max(seeds)}"
        raise PrepeError(f"--member {member}: trial {facts['trial']} has no such member; allowed: {allowed}")
    return seeds[0] if member is None else member


def _doing(report: Report | None, what: str) -> Callable[[int, int], None] | None:
    return None if report is None else lambda done, total: report(what, done, total)
