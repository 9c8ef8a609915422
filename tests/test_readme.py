"""The README against the project: its map, its commands, its figures of speech."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from prepe import catalog

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _map() -> set[str]:
    """Return the modules that the README's map names, as paths below prepe/."""
    block = README.split("## Map")[1].split("## Words")[0]
    found, folder = set(), ""
    for line in block.splitlines():
        match = re.match(r"^( +)(\S+)", line)
        if not match or not line.startswith("      "):
            continue
        depth, name = len(match[1]), match[2]
        if name.endswith("/"):
            folder = name
        elif name.endswith(".py"):
            found.add(name if depth == 6 else folder + name)
    return found


def test_the_map_names_every_module_and_no_other():
    modules = {str(path.relative_to(ROOT / "prepe")) for path in (ROOT / "prepe").rglob("*.py")}
    assert _map() == {name for name in modules if not name.endswith("__init__.py")}


def test_every_command_of_the_readme_is_one_that_prepe_has():
    verbs = set(re.findall(r"^ +prepe (\w+)", README, re.M)) | set(re.findall(r"`prepe (\w+) ", README))
    assert {"run", "top", "show", "reproduce", "query", "ls"} <= verbs
    for verb in verbs:
        done = subprocess.run([sys.executable, "-m", "prepe.cli", verb, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_option_of_the_readme_is_one_that_its_verb_has():
    for verb, rest in re.findall(r"^ +prepe (\w+)(.*)$", README, re.M):
        options = re.findall(r"(--[a-z-]+)", rest.split("#")[0])
        usage = subprocess.run([sys.executable, "-m", "prepe.cli", verb, "--help"], capture_output=True, text=True)
        assert all(option in usage.stdout for option in options), (verb, options)


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("file", re.findall(r"sweeps/[\w.-]+\.toml", README))
def test_every_sweep_file_of_the_readme_exists(file: str):
    assert (ROOT / file).is_file()


def test_every_shipped_sweep_file_is_in_the_table_of_experiments():
    table = README.split("## Experiments")[1].split("## Speed")[0]
    assert all(f"`{path.name}`" in table for path in (ROOT / "sweeps").glob("*.toml"))


def test_operators_and_metrics_that_the_readme_names_exist():
    text = README.split("## What is measured")[1].split("## Experiments")[0]
    known = {*catalog.EFFECT_METRICS, *catalog.MEMBER_METRICS}
    for name in re.findall(r"`([a-z]+_[a-z0-9_]+)`", text):
        assert name in known, name
