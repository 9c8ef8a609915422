"""Speed and memory of prepe, measured in one run beside the same job done otherwise.

``make bench`` prints a table and writes results/bench.json. It takes about ten minutes on two idle cores;
``--part training`` or ``--part sweep`` does half of it and keeps the other half's numbers. ``--part tune`` is in
neither: 100 and 1 000 trials that take no time, or as many as ``--trials`` says. ``--part cluster`` prints a model of a
large cluster in seconds, of costs that ``--part costs`` measures in minutes; see docs/scale.md.

Seconds are CPU seconds of one process kept to one thread, but for names with ``wall``. Comparators run in turn with
prepe, each in a process of its own, so that a drift of the machine's speed meets all of them.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prepe import store
from tests.bench import big_store

OUTPUT = Path("results/bench.json")
ROUNDS = 3
TRIALS, MEMBERS = 40, 32
PARTS = ["training", "sweep", "tune", "store", "costs", "cluster", "all"]
MEANINGS = {
    "cpu_s_per_member": "CPU seconds of one member of 2.9.1 among 60",
    "plain_s_per_member": "the same, plain nn.Module loop, one seed",
    "jax_s_per_member": "the same, JAX vmap + jit + scan, without compiling",
    "jax_tuned_s_per_member": "the same, after a search for JAX's fastest form",
    "jax_compile_s": "CPU seconds that JAX compiles first",
    "plain_over_ours": "plain loop over ours; wanted: at least 25",
    "jax_over_ours": "JAX over ours; wanted: at least 0.91",
    "jax_tuned_over_ours": "tuned JAX over ours",
    "sweep_wall_s": "60-member sweep of 2.9.1 through Ray, command to table; wanted: at most 35",
    "empty_sweep_wall_s": "the same with 1 member and 1 step: what starting and ending costs",
    "training_share": f"training's share of workers' busy time, {TRIALS} trials of {MEMBERS}; wanted: at least 0.8",
    "two_worker_speedup": "trials a second with two workers over one; wanted: at least 1.6",
    "peak_mb": "largest memory of a worker, MB; wanted: under 1000",
    "store_top_s": "prepe top, 10^6 trials and 10^7 effects, compacted; wanted: under 1",
    "store_ls_s": "prepe ls of the same; wanted: under 1",
    "store_show_s": "prepe show of the same; wanted: under 1",
    "store_group_by_s": "prepe query, effects by intervention, of the same; wanted: under 2",
    "store_group_by_sweep_s": "prepe query, effects by sweep, of the same; wanted: under 2",
    "small_files_group_by_s": "prepe query, a thousand trials in files of their own; wanted: under 3",
    "small_files_ls_s": "prepe ls of the same; wanted: under 3",
    "tune_100_ms": "wall ms of a trial without work through Tune, of 100",
    "tune_1000_ms": "the same, of 1 000",
    "tune_10000_ms": "the same, of 10 000; wanted: at most 1.3 times that of 1 000",
    "tune_1000_kb": "driver's memory for each of 1 000 trials, kB; wanted: under 20",
    "tune_10000_kb": "the same, of 10 000",
    "sampler_1000_ms": "wall ms that proposing takes at the 1 000th trial",
    "sampler_10000_ms": "the same at the 10 000th",
}


def comparator(module: str, *arguments: str) -> dict[str, float]:
    """Run a comparator in a process of its own and return what it printed."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def training() -> dict[str, float]:
    """Measure training beside the comparators."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": [], "jax_idiomatic": [], "jax_ensemble": []}
    compile_s: list[float] = []
    for round_number in range(ROUNDS):
        for module in seconds:
            try:
                made = comparator(module, *(["--members", "2"] if module == "plain" else []))
            except subprocess.CalledProcessError as error:
                if module.startswith("jax") and "No module named 'jax'" in error.stderr:
                    continue
                raise SystemExit(f"{module} failed:\n{error.stderr}") from None
            seconds[module].append(made.get("run_cpu_s_per_member", made.get("cpu_s_per_member", 0.0)))
            if module == "jax_idiomatic":
                compile_s.append(made["compile_s"])
            print(f"round {round_number + 1}/{ROUNDS}: {module} {seconds[module][-1]:.4f} s", flush=True)
    median = {module: statistics.median(values) for module, values in seconds.items() if values}
    ours = median["ours"]
    result = {
        "cpu_s_per_member": ours,
        "plain_s_per_member": median["plain"],
        "plain_over_ours": median["plain"] / ours,
    }
    if compile_s:
        result |= {
            "jax_s_per_member": median["jax_idiomatic"],
            "jax_tuned_s_per_member": median["jax_ensemble"],
            "jax_compile_s": statistics.median(compile_s),
            "jax_over_ours": median["jax_idiomatic"] / ours,
            "jax_tuned_over_ours": median["jax_ensemble"] / ours,
        }
    return result


def sweep() -> dict[str, float]:
    """Measure whole sweeps through Ray, from command to table."""
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        result["empty_sweep_wall_s"] = run(_empty(root), root / "empty")
        print(f"empty sweep {result['empty_sweep_wall_s']:.1f} s", flush=True)
        result["sweep_wall_s"] = run(Path("sweeps/ex-2.9.1.toml"), root / "sweep")
        print(f"ex-2.9.1 {result['sweep_wall_s']:.1f} s", flush=True)
        walls = {}
        for workers in (2, 1):
            walls[workers] = run(_random_search(root, workers), root / f"workers-{workers}")
            print(f"{TRIALS} trials on {workers} worker{'s' * (workers > 1)} {walls[workers]:.1f} s", flush=True)
        spent = store.query(root / "workers-2", "SELECT sum(train_s + twin_train_s) AS s FROM trials").to_pylist()
        busy = store.query(root / "workers-2", "SELECT sum(busy_s) AS s FROM proposals").to_pylist()
        peak = store.query(root / "workers-2", "SELECT max(peak_mb) AS mb FROM trials").to_pylist()
        result["training_share"] = spent[0]["s"] / busy[0]["s"]
        result["two_worker_speedup"] = walls[1] / walls[2]
        result["peak_mb"] = peak[0]["mb"]
    return result


def tune(sizes: list[int]) -> dict[str, float]:
    """Measure what a trial costs the driver, for sweeps of so many."""
    result: dict[str, float] = {}
    for trials in sizes:
        made = comparator("scale", str(trials))
        result |= {
            f"tune_{trials}_ms": made["ms_per_trial"],
            f"tune_{trials}_kb": made["kb_per_trial"],
            f"sampler_{trials}_ms": made["sampler_ms_at_end"],
        }
        print(f"{trials} trials: {made['ms_per_trial']:.1f} ms each", flush=True)
    return result


def stores() -> dict[str, float]:
    """Measure what reading large stores costs."""
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("store", big_store.make), ("small_files", big_store.make_small_files)):
            root = Path(folder) / name
            trial = make(root)
            print(f"{name}: made", flush=True)
            seconds = big_store.measure(root, trial)
            result |= {f"{name}_{verb}_s": wall_s for verb, (wall_s, _) in seconds.items()}
    return result


def run(file: Path, results: Path) -> float:
    """Run a sweep by the command line and return its wall seconds."""
    prepe = Path(sys.executable).with_name("prepe")
    command = [str(prepe)] if prepe.exists() else [sys.executable, "-m", "prepe.cli"]
    start = time.perf_counter()
    done = subprocess.run([*command, "run", str(file), "--results", str(results)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{file} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def _empty(root: Path) -> Path:
    """Write ex-2.9.1 with one member and one step."""
    text = Path("sweeps/ex-2.9.1.toml").read_text(encoding="utf-8").partition("[record]")[0]  # claims follow
    text = text.replace("members = 60", "members = 1").replace("[schedule]", "[schedule]\nsteps = 1")
    text = re.sub(r"(?m)^ *\{ step = [1-9].*\n", "", text).replace("{ step = 0,", "{ step = 0, separate = 0,")
    return _checked(root / "empty.toml", text, members=1)


def _random_search(root: Path, workers: int) -> Path:
    """Write delete-red with a sampler that proposes the same trials whatever the number of workers."""
    text = Path("sweeps/delete-red.toml").read_text(encoding="utf-8")
    for old, new in (
        ("members = 16", f"members = {MEMBERS}"),
        ('sampler = "tpe"', 'sampler = "random"'),
        ("trials = 24", f"trials = {TRIALS}"),
        ("concurrency = 2", f"concurrency = {workers}"),
    ):
        text = text.replace(old, new)
    return _checked(root / f"workers-{workers}.toml", text, members=MEMBERS)


def _checked(path: Path, text: str, members: int) -> Path:
    if tomllib.loads(text)["members"] != members:
        raise SystemExit(f"{path.name}: the sweep file that it is made from has changed; mend tests/bench/__main__.py")
    path.write_text(text, encoding="utf-8")
    return path


def main() -> None:
    """Measure, print a table, and write results/bench.json."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--part", choices=PARTS, default="all")
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000], help="sizes for --part tune")
    options = parser.parse_args()
    os.environ.pop("PREPE_RESULTS", None)
    if options.part in ("costs", "cluster"):
        command = {"costs": ["costs"], "cluster": ["cluster_report", "docs/scale.md"]}[options.part]
        module, *arguments = command
        raise SystemExit(subprocess.run([sys.executable, "-m", f"tests.bench.{module}", *arguments]).returncode)
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    if options.part in ("training", "all"):
        result |= training()
    if options.part in ("sweep", "all"):
        result |= sweep()
    if options.part == "tune":
        result |= tune(options.trials)
    if options.part in ("store", "all"):
        result |= stores()
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table("key", "value", "meaning", box=None, title="bench", title_justify="left")
    for key, meaning in MEANINGS.items():
        if key in result:
            table.add_row(key, f"{result[key]:.4g}", meaning)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    main()
