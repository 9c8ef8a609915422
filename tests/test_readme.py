"""The README against the project: its map, its commands, its figures of speech."""

import re
from pathlib import Path

import module_map
import pytest
import typer

from prepe import catalog, cli

VERBS = typer.main.get_command(cli.application()).commands  # type: ignore[attr-defined]
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_map_says_what_every_module_is_for():
    written = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    assert written == module_map.text(), "python -m tests.module_map > docs/map.md"
    assert len(re.findall(r"^ +- `", written, re.M)) == len(
        [p for p in (ROOT / "prepe").rglob("*.py") if p.name != "__init__.py"]
    )


def test_the_readme_names_every_package_and_module_at_the_top():
    block = README.split("## Map")[1].split("## Words")[0]
    named = set(re.findall(r"^ {6}(\S+)", block, re.M))
    top = {p.name for p in (ROOT / "prepe").glob("*.py")} - {"__init__.py"}
    assert named == top | {f"{p.parent.name}/" for p in (ROOT / "prepe").glob("*/__init__.py")}


def test_every_command_of_the_readme_is_one_that_prepe_has():
    verbs = set(re.findall(r"^ +prepe (\w+)", README, re.M)) | set(re.findall(r"`prepe (\w+) ", README))
    assert {"run", "top", "show", "reproduce", "query", "ls"} <= verbs <= set(VERBS)


def test_every_option_of_the_readme_is_one_that_its_verb_has():
    for verb, rest in re.findall(r"^ +prepe (\w+)(.*)$", README, re.M):
        known = {option for param in VERBS[verb].params for option in (*param.opts, *param.secondary_opts)}
        given = set(re.findall(r"(--[a-z-]+)", rest.split("#")[0]))
        assert given <= known, verb


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
