"""Imports point one way, and what needs neither torch nor Ray does not load them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import prepe

PACKAGE = Path(prepe.__file__).parent
LAYERS = (  # from the ground up: a part imports from the rows above it, and from itself
    ("errors",),
    ("catalog", "custom"),
    ("keyframes",),
    ("spec",),
    ("measures",),
    ("sweep",),
    ("store", "data", "scheduler", "timeline", "metrics", "scaffold", "sweep_schema"),
    ("members",),
    ("models", "figures"),
    ("regularizers", "interventions", "claims", "publication"),
    ("train",),
    ("attacks",),
    ("evaluate",),
    ("report",),
    ("rows",),
    ("trial",),
    ("reproduction", "launch"),
    ("weights", "replay", "planning", "confirmation"),
    ("",),  # the package itself, whose functions import what they need
    ("cli",),
)
"""The parts of the package: modules, and packages with all their modules that are not a part of their own."""
WITHOUT_TORCH = (
    "catalog",
    "custom",
    "keyframes",
    "spec",
    "measures",
    "sweep",
    "store",
    "data",
    "scheduler",
    "timeline",
    "scaffold",
    "sweep_schema",
    "metrics",
    "members",
    "figures",
    "report",
    "claims",
    "publication",
)
HEAVY = ("torch", "ray", "optuna", "matplotlib", "skimage", "pyarrow", "duckdb", "pydantic", "numpy", "typer", "rich")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(module: str) -> str:
    """Return the part that a module belongs to: the longest one that its name begins with."""
    parts = [part for layer in LAYERS for part in layer]
    own = [part for part in parts if module == part or (part and module.startswith(f"{part}."))]
    assert own, f"prepe/{module.replace('.', '/')} has no place in the layers"
    return max(own, key=len)


def height(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the full name of everything that a file imports, also inside functions, but not for types alone."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children: list[ast.AST] = list(node.orelse)
        else:
            children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for child in children:
            yield from visit(child)

    return tuple(visit(ast.parse(path.read_text(encoding="utf-8"))))


def own_imports(path: Path) -> Iterator[str]:
    """Give the modules of this package that a file imports, without the package's name."""
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "prepe":
            yield rest if rest in MODULES else rest.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_lower_layers_and_its_own_part_alone(module: str) -> None:
    part = part_of(module)
    for other in own_imports(MODULES[module]):
        assert part_of(other) == part or height(part_of(other)) < height(part), f"prepe.{module} imports prepe.{other}"


def test_the_rule_sees_imports_inside_functions_but_not_those_for_types(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "from prepe import store, sweep as sweeps\n"
        "if TYPE_CHECKING:\n    from prepe import launch\n"
        "def f():\n    from prepe.launch.tune import run\n    import prepe.cli\n"
    )
    assert list(own_imports(file)) == ["store", "sweep", "launch.tune", "cli"]
    assert height("launch") > height("store")


def importing(*packages: str) -> set[str]:
    """Return the modules that import some packages."""
    return {
        module
        for module, path in MODULES.items()
        if {name.partition(".")[0] for name in imports(path)}.intersection(packages)
    }


def test_ray_and_optuna_are_imported_in_launch_alone() -> None:
    assert {part_of(module) for module in importing("ray", "optuna")} == {"launch"}


def test_what_needs_no_torch_does_not_import_it() -> None:
    assert not {module for module in importing("torch") if part_of(module) in WITHOUT_TORCH}


def loaded(statement: str) -> set[str]:
    """Return which modules a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(done.stdout.split())


def test_what_needs_no_torch_does_not_load_it_by_way_of_others() -> None:
    modules = [f"prepe.{name}" for name in MODULES if part_of(name) in (*WITHOUT_TORCH, "cli")]
    assert not loaded(f"import {', '.join(modules)}") & {"torch", "ray", "optuna", "matplotlib.pyplot"}


def test_importing_prepe_alone_loads_nothing_heavy() -> None:
    assert not loaded("import prepe") & set(HEAVY)
