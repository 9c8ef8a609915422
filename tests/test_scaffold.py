"""The sweep file that a user begins with: it is valid, whole, and so is everything that it offers."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Said
from jsonschema import Draft7Validator

import prepe
from prepe import catalog, scaffold, sweep, trial
from prepe.errors import PrepeError
from prepe.keyframes import Schedule
from prepe.scaffold import Kind
from prepe.spec import Training, Trial

KINDS: tuple[Kind, ...] = ("search", "fixed")
ALTERNATIVE = re.compile(r"#(?=\S)")


def alternatives(text: str) -> Iterator[tuple[str, str]]:
    """Give the text with one alternative taken, after the first line of that, for each of them."""
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and ALTERNATIVE.match(lines[end]):
            end += 1
        if end > start:
            taken = [line.removeprefix("#") for line in lines[start:end]]
            yield taken[0], "\n".join([*lines[:start], *taken, *lines[end:]])
        start = end + 1


EACH = pytest.mark.parametrize(
    ("kind", "first", "text"),
    [
        pytest.param(kind, first, text, id=f"{kind}:{first}")
        for kind in KINDS
        for first, text in alternatives(scaffold.text("mine.toml", kind))
    ],
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_a_sweep_of_its_kind_named_as_the_file(kind: Kind, tmp_path: Path) -> None:
    loaded = sweep.load(prepe.new(tmp_path / "my-own.toml", kind=kind))
    assert loaded.name == "my-own"
    assert bool(loaded.search) == (kind == "search")
    assert loaded.question.endswith("?")


def of_two_steps(part: Any) -> Any:
    """Return a trial whose trainings are cut short."""
    if isinstance(part, Schedule):
        return part.model_copy(update={"steps": 2})
    if isinstance(part, Trial | Training):
        return part.model_copy(update={name: of_two_steps(each) for name, each in part})
    return part


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_trains(kind: Kind) -> None:
    swept = sweep.from_table("mine", tomllib.loads(scaffold.text("mine.toml", kind)))
    for point in swept.points() or [swept.start()]:
        outcome = trial.run(of_two_steps(swept.trial(point)), [0, 1], device="cpu", record=swept.record)
        assert np.isfinite([row["recon_mse"] for row in outcome.tables["members"]]).all()
        assert len(outcome.tables["effects"]) == 2


def test_running_it_takes_few_steps() -> None:
    for kind in KINDS:
        swept = sweep.from_table("mine", tomllib.loads(scaffold.text("mine.toml", kind)))
        steps = swept.trial(swept.start()).training.schedule.steps
        assert steps * swept.trials * swept.members <= 10_000


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    return Draft7Validator(prepe.schema())


@EACH
def test_everything_that_it_offers_may_be_taken(kind: Kind, first: str, text: str, validator: Draft7Validator) -> None:
    table = tomllib.loads(text)
    assert table != tomllib.loads(scaffold.text("mine.toml", kind)), "nothing is changed by it"
    sweep.from_table("mine", table)
    assert not list(validator.iter_errors(table))


@pytest.mark.parametrize("kind", KINDS)
def test_its_lists_name_every_member_of_the_open_sets_and_no_name_is_left_open(kind: Kind) -> None:
    text = scaffold.text("mine.toml", kind)
    listed = set(re.findall(r"[\w.:-]+", "\n".join(line for line in text.splitlines() if line.startswith("#   "))))
    for members in (
        catalog.DATA,
        catalog.MODELS,
        catalog.TERMS,
        catalog.OPERATORS,
        catalog.HUES,
        catalog.EFFECT_METRICS,
        catalog.MEMBER_METRICS,
        catalog.STATISTICS,
    ):
        assert set(members) <= listed
    assert {"move", "ratio", "extend"} <= listed
    assert "minjerk, linear, step-end" in text
    assert "<" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_table_of_a_sweep_file_is_in_it_or_offered_by_it() -> None:
    offered = {
        key
        for kind in KINDS
        for _, text in alternatives(scaffold.text("mine.toml", kind))
        for key in tomllib.loads(text)
    }
    assert offered == set(prepe.schema()["properties"])


def test_a_file_that_is_there_stays_unless_it_is_forced(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    said = prepe_cli("new", file)
    assert said == Said(2, "", f"prepe: {file}: it is there already; allowed: another name, or --force to replace it\n")
    assert file.read_text() == "mine"
    said = prepe_cli("new", file, "--force", "--kind", "fixed")
    assert said.code == 0
    assert f"prepe run {file}" in said.out
    assert file.read_text() == scaffold.text("mine.toml", "fixed")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my sweep.toml", "the file's stem 'my sweep' is the sweep's name, and part of others; allowed: letters"),
        ("mine", "a sweep file is TOML; allowed: a name that ends in .toml"),
        ("no/mine.toml", "cannot be written: No such file or directory"),
    ],
)
def test_a_name_that_no_sweep_can_have_is_refused_and_nothing_is_written(
    name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PrepeError, match=re.escape(f"{tmp_path / name}: {message}")):
        prepe.new(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrepeError, match=r"kind: unknown kind 'serach'.*did you mean 'search'.*allowed: search, fixed"):
        prepe.new(tmp_path / "mine.toml", kind="serach")  # type: ignore[arg-type]
