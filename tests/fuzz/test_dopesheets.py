"""Whatever stands in a CSV file: it is refused in one line, or it is a schedule that comes back from its own CSV."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from fuzz.examples import MANY, holds, numbers, refused
from prepe import keyframes
from prepe.errors import PrepeError

STEPS = ("0", "10", "99", "+10", "-1", "+0.5", "-.25", "+.0", "9999999", "10000000", "-0", " 5", "٣", "1e3", "0x10")
ENDLESS = ("9" * 5000, "+" + "9" * 5000, "-" + "9" * 400, "9" * 400, "+0." + "9" * 5000)
HEADS = (
    *("STEP", "PHASE", "ACTION", "lr", "lr:log", "lr:log:step", "w::linear", "w:linear:minjerk"),
    *("w:x", ":", "", "a b", "step"),
)
VALUES = ("", "0", "1", "0.01", "-1", "nan", "inf", "1e400", "1_0", "0x1", "٣", " 2 ", "one", "1e-320", "-0.0")
NAMES = ("", "A", "a, b", ",", "a,,b", " c", "tail ", "line\nbreak", "return\rhere", '"', "STEP", "\0", "\ufeff")

_cells = st.sampled_from(STEPS * 3 + ENDLESS) | st.sampled_from(VALUES + NAMES)
_heads = st.lists(st.sampled_from(HEADS) | st.text(max_size=3), max_size=5).map(lambda heads: ["STEP", *heads])
_any_text = st.text(st.sampled_from("STEP,lr:\n\r\"'01.+-e \0ü\ufeff;|\t"), max_size=60)


@st.composite
def _sheets(draw: st.DrawFn) -> str:
    """Write a CSV file that has a header, and in its rows mostly what belongs there."""
    heads = draw(_heads)
    kinds = {"STEP": STEPS, "PHASE": NAMES, "ACTION": NAMES}
    fitting = [st.sampled_from(kinds.get(head, VALUES)) for head in heads]
    rows = draw(st.lists(st.tuples(*(each | each | each | _cells for each in fitting)), max_size=5))
    return "\n".join(",".join(map(_quoted, row)) for row in (heads, *rows))


@st.composite
def _good_sheets(draw: st.DrawFn) -> str:
    """Write a CSV file that should be read, whatever phases and actions are called."""
    steps = draw(st.lists(st.integers(0, 5000), min_size=1, max_size=5, unique=True))
    name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    lines = [["STEP", "PHASE", "ACTION", "lr:log", draw(st.sampled_from(["w", "w::step", "w:linear:linear"]))]]
    for i, step in enumerate(steps):
        value = draw(st.floats(0, 1e6))
        lines.append([str(step), draw(name), draw(name), repr(value), "0.5" if i == 0 else ""])
    return "\n".join(",".join(map(_quoted, line)) for line in lines)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell


def check_sheet(path: Path, text: str | bytes) -> bool:
    """Read a file, check what came of it, and say whether it was accepted."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    said, schedule = refused(lambda: keyframes.read_dopesheet(path))
    if schedule is None:
        assert said is not None
        assert said.startswith(f"{path}: ")
        return False
    assert 1 <= schedule.steps <= keyframes.MAX_STEPS
    at = np.unique(np.linspace(0, schedule.steps - 1, 5).astype(int))
    for name in schedule.names():
        moved = keyframes.values_at(schedule, name, at)
        assert np.isfinite(moved).all()
        assert (moved >= 0).all()
    again = path.with_name("again.csv")
    again.write_text(keyframes.to_csv(schedule), encoding="utf-8", newline="")
    back = keyframes.read_dopesheet(again)
    assert (back.keyframes, back.steps) == (schedule.keyframes, schedule.steps)
    assert keyframes.to_csv(back) == keyframes.to_csv(schedule)
    for name in schedule.names():
        assert np.array_equal(keyframes.values_at(back, name, at), keyframes.values_at(schedule, name, at))
    return True


@numbers(25, 2500)
def test_a_dopesheet_is_refused_in_one_line_or_comes_back_from_its_own_csv(tmp_path: Path, examples: int) -> None:
    holds(lambda text: check_sheet(tmp_path / "x.csv", text), examples, text=_sheets())


@numbers(20, 1500)
def test_a_dopesheet_of_any_text_or_bytes_is_refused_in_one_line(tmp_path: Path, examples: int) -> None:
    holds(lambda text: check_sheet(tmp_path / "x.csv", text), examples, text=_any_text | st.binary(max_size=40))


@numbers(20, 500)
def test_phases_and_actions_may_be_called_anything(tmp_path: Path, examples: int) -> None:
    accepted = []
    holds(lambda text: accepted.append(check_sheet(tmp_path / "x.csv", text)), examples, text=_good_sheets())
    assert any(accepted) or examples < MANY  # else only refusals were tried


@pytest.mark.parametrize("file", ["/dev/zero", ".", "none.csv", "a\0b"])
def test_what_is_no_file_is_refused_as_a_dopesheet(tmp_path: Path, file: str) -> None:
    with pytest.raises(PrepeError) as caught:
        keyframes.expand_dopesheets({"schedule": {"dopesheet": file}}, tmp_path)
    assert "\n" not in str(caught.value)
