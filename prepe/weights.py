"""A stored member in; its weights as safetensors, and JSON that says what they are, out: to use without the store.

`export` writes the two files, and `load` makes the module from them again, equal to the bit. An intervention on weights
(a deletion, healed or not) is done to what is written; one on activations is in the JSON alone, and `load` applies it.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from prepe import custom, data, evaluate, models, spec, store
from prepe.catalog import Deletion, Fitted, Intervention, unknown
from prepe.errors import PrepeError
from prepe.interventions import Edited
from prepe.models import packed
from prepe.reproduction import Loaded, Member, directions_of, seeds_of, stored_weights, trial_of

FORMAT = 1
_OF_TRAINING = ("steps", "broken", "broken_step", "broken_term", "label_n_drawn", "label_n_used", "labels_used")
_OF_THE_MACHINE = ("device", "cpu_capability", "threads", "git_commit")


@dataclass(frozen=True)
class Exported:
    """The files of one member."""

    weights: Path
    facts: Path


def export(
    name: str,
    member: int,
    results: store.Root,
    *,
    folder: Path | None = None,
    intervention: str | None = None,
    allow_imports: bool = False,
) -> Exported:
    """Write a stored member's weights, and what they are, as `<trial>-<seed>.safetensors` and `.json`.

    Weights are float32, as they were trained, unless an edit needs float64 to be told without a loss.

    Args:
        name: the trial, or the beginning of its name.
        member: the seed.
        results: the store; nothing is written to its tables.
        folder: where to; by default `exports` in the store.
        intervention: label of the one that is done to the member; it ends the files' names.
        allow_imports: let the trial call its user's functions, from the working folder or where Python finds modules.

    Raises:
        PrepeError: no such trial, member or intervention, or a file cannot be written, or the trial calls its user's
            functions, and may not.
    """
    facts = store.trial_named(results, name)
    if not facts["spec"]:
        raise PrepeError(f"trial {facts['trial']}: it failed, so there is nothing to export; see: prepe show")
    stored = trial_of(facts, allow_imports)
    part = _chosen(stored, facts["trial"], intervention)
    seeds = seeds_of(facts, member)
    (row,), params = stored_weights(stored.training, seeds, results)
    task = data.task(stored.training.data)
    model = models.build(stored.training.model, task)
    plain = Edited(model, model.unpack(params.double()))
    if part and not _edits_weights(part):
        part = evaluate.pinned(stored, part, task, member, plain)
        kept = tuple(part if each.label == part.label else each for each in stored.interventions)
        stored = stored.model_copy(update={"interventions": kept})
    edited = evaluate.edit(stored, part, task, seeds, plain) if part else plain
    tensors = _tensors(edited)
    where = folder or store.local_folder(results) / "exports"
    stem = "-".join([facts["trial"], str(member), *([part.label] if part else [])])
    weights = to_safetensors(tensors, {"about": f"{stem}.json"})  # one entry: several are in no fixed order
    about = {
        "format": FORMAT,
        "trial": facts["trial"],
        "model": facts["model"],
        "seed": member,
        "intervention": part and {"label": part.label, "edits": "weights" if _edits_weights(part) else "activations"},
        "weights": {
            "file": f"{stem}.safetensors",
            "layout": [[key, list(each.shape)] for key, each in tensors.items()],
            "dtype": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            "sites": edited.model.part.sites(),
        },
        "output_range": list(task.output_range),
        "directions": {concept: each.tolist() for concept, each in directions_of(stored).items()},
        **stored.model_dump(mode="json", include={"training", "concepts", "interventions"}),
        "provenance": _provenance(row),
    }
    done = Exported(where / f"{stem}.safetensors", where / f"{stem}.json")
    _write(done.facts, json.dumps(about, indent=1).encode())
    _write(done.weights, weights)  # the last, so that weights always have their JSON beside them
    return done


def load(path: str | Path, allow_imports: bool = False) -> Loaded:
    """Return an exported member as a module, in evaluation mode, with the directions that its concepts were pinned to.

    An intervention that it was exported with is done: to its weights when they were written, or to its activations at
    every call. After a pruning the directions are still those of the whole model.

    Args:
        path: either of the two files.
        allow_imports: let the training call its user's functions, from the working folder or where Python finds
            modules.

    Raises:
        PrepeError: a file is missing, not of this format, or does not fit the other; or the training calls its user's
            functions, and may not.
    """
    path = Path(path)
    about = _facts(path.with_suffix(".json"))
    try:
        stored = spec.trial_from_json(
            json.dumps({key: about[key] for key in ("training", "concepts", "interventions")} | {"twin": None})
        )
        label = None if about["intervention"] is None else about["intervention"]["label"]
        weights = about["weights"]
        file, widths, layout = path.parent / weights["file"], weights["sites"], weights["layout"]
    except (KeyError, TypeError) as error:
        fault = custom.in_a_line(error)
        raise PrepeError(f"{path.with_suffix('.json')}: not as prepe export writes it: {fault}") from None
    calls = stored.training.imports()
    custom.check_allowed(calls, allow_imports, path)
    custom.look_in([Path.cwd()] if calls else [])
    tensors = _read(file)
    task = data.task(stored.training.data)
    model = models.build(stored.training.model, task)
    for site, width in stored.training.model.sites().items():
        if widths[site] != width:
            model = model.narrowed(site, widths[site])
            break  # sites of one width with it are narrowed along
    shapes = {name: list(shape) for name, shape in model.layout}
    if shapes != dict(layout) or {name: list(each.shape) for name, each in tensors.items()} != shapes:
        raise PrepeError(f"{file}: its weights are not those of {path.with_suffix('.json')}; allowed: files that fit")
    part = _chosen(stored, about["trial"], label)
    places = [place for place in stored.places(part) if not isinstance(place, Fitted)] if part else []
    done_at_calls = (part, places) if part and not _edits_weights(part) else None
    module = Member(model, packed(tensors, model.layout), task.output_range, done_at_calls)
    return Loaded(module.eval(), directions_of(stored))


def _chosen(stored: spec.Trial, name: str, label: str | None) -> Intervention | None:
    parts = {each.label: each for each in stored.interventions}
    if label is not None and label not in parts:
        raise PrepeError(f"trial {name}: {unknown(label, parts, 'intervention')}")
    return None if label is None else parts[label]


def _edits_weights(part: Intervention) -> bool:
    return isinstance(part, Deletion)


def _tensors(edited: Edited) -> dict[str, Tensor]:
    """Return parameters by name, in the narrowest type that holds every one of them."""
    params = {name: edited.params[name][0].cpu() for name, _ in edited.model.layout}
    exact = all(torch.equal(each.float().double().nan_to_num(), each.nan_to_num()) for each in params.values())
    return {name: (each.float() if exact else each.double()).contiguous() for name, each in params.items()}


def _provenance(row: dict[str, Any]) -> dict[str, Any]:
    """Say where a member was trained, and what came of it, from its row in `models`."""
    return {
        **{key: row[key] for key in (*_OF_TRAINING, *_OF_THE_MACHINE)},
        "labels_used": dict(row["labels_used"] or ()),
        "created": row["created"].isoformat(),
        "versions": json.loads(row["versions"]),
    }


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _facts(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrepeError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PrepeError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise PrepeError(f"{path}: its format is {found!r}; allowed: {FORMAT}, as prepe export writes it")
    return about


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return from_safetensors(path.read_bytes())
    except OSError as error:
        raise PrepeError(f"{path}: cannot be read: {error.strerror}") from None
    except SafetensorError as error:
        raise PrepeError(f"{path}: not a safetensors file: {error}") from None
