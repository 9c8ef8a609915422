"""prepe: sweeps over neural networks whose concepts sit where they were told to sit.

The verbs of the command line, one call each, under the same names; and `load`, which gives a trained member as a module
with the directions of its concepts, and `load_export`, which does so from exported files. They import what they need
when they are called.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prepe.errors import PrepeError

if TYPE_CHECKING:
    import pyarrow as pa

    from prepe.claims import Checked
    from prepe.confirmation import Confirmed
    from prepe.evaluate import Measured
    from prepe.launch import Queue
    from prepe.launch.rescore import Rescored
    from prepe.members import Curve, Front, ItemTable, Paired
    from prepe.planning import Plan
    from prepe.publication import Published
    from prepe.reproduction import Loaded, Reproduction
    from prepe.store.compact import Compacted
    from prepe.store.doctor import Finding
    from prepe.weights import Exported

try:
    __version__ = version("prepe")
except PackageNotFoundError:
    __version__ = "0+unknown"

Results = str | Path | None
Files = str | Path | Sequence[str | Path]


def run(
    file: str | Path,
    *,
    trials: int | None = None,
    members: int | None = None,
    results: Results = None,
    **options: Any,
) -> "Queue":
    """Do what a sweep file asks for and the store does not have yet; see `prepe.launch.Session` for the options.

    `trials` and `members` override the file. The rows of all ended proposals are in the result's `done`.
    """
    from prepe import launch, store, sweep

    loaded = sweep.load(file, trials=trials, members=members)
    return launch.run(loaded, store.default_root(results), folder=Path(file).parent, **options)


def ls(results: Results = None) -> list[dict[str, Any]]:
    """List a store's sweeps; see `prepe.report.ls`."""
    from prepe import report, store

    return report.ls(store.default_root(results))


def top(sweep: str, n: int = 10, results: Results = None) -> list[dict[str, Any]]:
    """Return a sweep's best trials; see `prepe.report.top`."""
    from prepe import report, store

    return report.top(store.default_root(results), sweep, n)


def show(trial: str, results: Results = None) -> dict[str, Any]:
    """Return what is known of a trial; see `prepe.report.show`."""
    from prepe import report, store

    return report.show(store.default_root(results), trial)


def query(sql: str, results: Results = None) -> "pa.Table":
    """Run SQL over a store; see `prepe.store.query`."""
    from prepe import store

    return store.query(store.default_root(results), sql)


def reproduce(trial: str, results: Results = None, **options: Any) -> "Reproduction":
    """Make a stored trial again and compare; see `prepe.reproduction.reproduce` for the options."""
    from prepe import store
    from prepe.reproduction import reproduce as again

    return again(trial, store.default_root(results), **options)


def rescore(file: str | Path, *, members: int | None = None, results: Results = None, **options: Any) -> "Rescored":
    """Measure stored weights as a sweep file says today; see `prepe.launch.rescore` for the options."""
    from prepe import store, sweep
    from prepe.launch.rescore import rescore as again

    loaded = sweep.load(file, members=members)
    return again(loaded, store.default_root(results), folder=Path(file).parent, **options)


def confirm(sweep: str, results: Results = None, **options: Any) -> "Confirmed":
    """Train a search's best trials on fresh seeds, and compare; see `prepe.confirmation.confirm` for the options."""
    from prepe import confirmation, store

    return confirmation.confirm(sweep, store.default_root(results), **options)


def diff(a: str, b: str, metrics: list[str] | None = None, results: Results = None) -> "list[Paired]":
    """Compare two trials, or variants as `SWEEP:VARIANT`, on equal seeds; see `prepe.members.diff`."""
    from prepe import members, store

    root = store.default_root(results)
    return members.diff(members.find(root, a), members.find(root, b), metrics)


def front(trial: str, results: Results = None, **options: Any) -> "Front":
    """Return the Pareto front over a trial's members, and the chosen one; see `prepe.members.front` for the options."""
    from prepe import members, store

    return members.front(members.find(store.default_root(results), trial), **options)


def colors(trial: str, member: int | None = None, best: bool = False, results: Results = None) -> "ItemTable":
    """Return the errors of a trial's named items: of a member, the best one, or means; see `prepe.members.ItemTable`.

    Raises:
        PrepeError: a member and the best one are both asked for; or there is no such trial or member.
    """
    from prepe import members, store

    if best and member is not None:
        raise PrepeError("member and best: both are given; allowed: at most one")
    root = store.default_root(results)
    found = members.find(root, trial)
    return members.item_table(found, root, members.shown(found) if best else member)


def labels(sweep: str, results: Results = None, **options: Any) -> "list[Curve]":
    """Return how few and how noisy labels keep a score; see `prepe.members.curves` for the options."""
    from prepe import members, store

    return members.curves(members.of_sweep(store.default_root(results), sweep), **options)


def measure(
    trial: str,
    member: int | None = None,
    results: Results = None,
    *,
    out: str | Path | None = None,
    allow_imports: bool = False,
) -> "Measured":
    """Look closely at a stored member, by default the shown one, and draw it; see `prepe.evaluate.dense`.

    The figure goes to `out`, by default `figures` in the store.

    Raises:
        PrepeError: no such trial or member, or no weights of it are stored; or it calls its user's functions, and may
            not.
    """
    from prepe import evaluate, members, store
    from prepe.figures import response, style
    from prepe.reproduction import seeds_of, stored_weights, trial_of

    root = store.default_root(results)
    found = members.find(root, trial)
    spec = trial_of({"trial": found.trial, "spec": found.spec.to_json()}, allow_imports)
    (seed,) = seeds_of({"trial": found.trial, "seeds": found.seeds}, members.shown(found) if member is None else member)
    _, params = stored_weights(spec.training, [seed], root)
    rows, responses = evaluate.dense(spec, seed, params[0])
    figure = None
    if responses:
        stem = Path(out or store.local_folder(root) / "figures") / f"{found.trial}-member-{seed}-response"
        arguments = (responses, f"Response of member {seed} of trial {found.trial}")
        figure = style.save(lambda: response.draw(*arguments), stem, response.alt_text(*arguments))
    return evaluate.Measured(found.trial, seed, rows, responses, figure)


def export(trial: str, member: int, results: Results = None, **options: Any) -> "Exported":
    """Write a stored member's weights and what they are to two files; see `prepe.weights.export` for the options."""
    from prepe import store, weights

    return weights.export(trial, member, store.default_root(results), **options)


def load_export(path: str | Path, allow_imports: bool = False) -> "Loaded":
    """Return an exported member as a module with its concepts' directions; see `prepe.weights.load`."""
    from prepe import weights

    return weights.load(path, allow_imports)


def check(files: Files | None = None, results: Results = None) -> "list[Checked]":
    """Check sweep files' claims on stored rows, all of the folder `sweeps` by default; see `prepe.claims.check`."""
    from prepe import claims

    return claims.check(None if files is None else [Path(each) for each in _list(files)], results)


def publish(sweeps: Files, to: str | Path, results: Results = None, **options: Any) -> "list[Published]":
    """Copy sweeps to another store, as few small files; see `prepe.publication.publish` for the options."""
    from prepe import publication, store

    return publication.publish(
        [str(each) for each in _list(sweeps)], store.default_root(to), store.default_root(results), **options
    )


def compact(results: Results = None, **options: Any) -> "list[Compacted]":
    """Fold a store's small files into a few large ones; see `prepe.store.compact.compact` for the options."""
    from prepe import store
    from prepe.store.compact import compact

    return compact(store.default_root(results), **options)


def doctor(results: Results = None, repair: bool = False) -> "list[Finding]":
    """Return what is wrong with a store, and mend it if asked to; see `prepe.store.doctor.examine`."""
    from prepe import store
    from prepe.store.doctor import examine

    return examine(store.default_root(results), repair)


def rm(name: str, results: Results = None) -> dict[str, int]:
    """Remove a sweep or a trial from a store, and return how many rows went, by table; see `prepe.store.removal`."""
    from prepe import store
    from prepe.store.removal import plan, remove

    root = store.default_root(results)
    return remove(root, plan(root, name))


def plan(
    file: str | Path, cluster: str | Path | None = None, results: Results = None, allow_imports: bool = False
) -> "Plan":
    """Say what a sweep takes here, or on a cluster that a file describes; see `prepe.planning.plan`."""
    from prepe import custom, launch, planning, store, sweep
    from prepe.launch.processors import processors

    loaded = sweep.load(Path(file))
    custom.check_allowed(loaded.imports(), allow_imports, file)
    custom.look_in([Path.cwd(), Path(file).resolve().parent] if loaded.imports() else [])
    cpus = loaded.resources.cpus
    where = planning.here(processors() // cpus) if cluster is None else planning.cluster(Path(cluster), cpus)
    done, members = launch.to_do(loaded, store.default_root(results))
    return planning.plan(loaded, where, stored=done, members=members)


def watch(sweep: str, results: Results = None, every_s: float = 2.0) -> Iterator[dict[str, Any]]:
    """Give a sweep's proposals as their trials end, until its driver has; see `prepe.launch.presence.follow`."""
    from prepe import store
    from prepe.launch import presence

    return presence.follow(store.default_root(results), sweep, every_s)


def stop(sweep: str, results: Results = None, wait_s: float = 60.0) -> str:
    """Stop a running sweep, wherever its driver runs; see `prepe.launch.presence.stop`."""
    from prepe import store
    from prepe.launch import presence

    return presence.stop(store.default_root(results), sweep, wait_s)


def cluster(files: Files, results: str | None = None) -> dict[Path, list[str]]:
    """Check files for Ray's cluster launcher, and return what is found in each; see `prepe.launch.cluster_file`."""
    from prepe.launch import cluster_file

    return {Path(file): cluster_file.check(Path(file), results) for file in _list(files)}


def draw(name: str, out: str | Path | None = None, results: Results = None) -> list[Path]:
    """Draw every figure that makes sense for a name; see `prepe.report.draw`."""
    from prepe import report, store

    return report.draw(name, store.default_root(results), Path(out) if out is not None else None)


def animate(trial: str, results: Results = None, **options: Any) -> Path:
    """Write a film of one member's latents through its training; see `prepe.replay.animate` for the options."""
    from prepe import replay, store

    return replay.animate(trial, store.default_root(results), **options)


def schedule(file: str | Path, at: int | None = None, variant: str | None = None) -> list[dict[str, Any]]:
    """Return a row for each keyframe of a sweep file or dopesheet, or one for step `at`; see `prepe.timeline`."""
    from prepe import timeline

    loaded = timeline.load(file, variant)
    return timeline.keyframes(loaded) if at is None else [timeline.at(loaded, at, file)]


def new(file: str | Path, kind: Literal["search", "fixed"] = "search", force: bool = False) -> Path:
    """Write a sweep file to begin with; see `prepe.scaffold.write`."""
    from prepe import scaffold

    return scaffold.write(file, kind, force)


def schema() -> dict[str, Any]:
    """Return the JSON schema of sweep files; see `prepe.sweep_schema`."""
    from prepe.sweep_schema import sweep_schema

    return sweep_schema()


def load(trial: str, member: int, results: Results = None, allow_imports: bool = False) -> "Loaded":
    """Return a stored member as a module with its concepts' directions; see `prepe.reproduction.load`."""
    from prepe.reproduction import load as stored

    return stored(trial, member, results, allow_imports)


def _list(files: Files) -> Sequence[str | Path]:
    return [files] if isinstance(files, str | Path) else files


__all__ = [
    "PrepeError",
    "animate",
    "check",
    "cluster",
    "colors",
    "compact",
    "confirm",
    "diff",
    "doctor",
    "draw",
    "export",
    "front",
    "labels",
    "load",
    "load_export",
    "ls",
    "measure",
    "new",
    "plan",
    "publish",
    "query",
    "reproduce",
    "rescore",
    "rm",
    "run",
    "schedule",
    "schema",
    "show",
    "stop",
    "top",
    "watch",
]
