from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe import sweep, timeline
from prepe.figures import schedule, style
from prepe.keyframes import Schedule, keys_of

ROOT = Path(__file__).parents[2]
SWEEPS = [ROOT / "sweeps" / f"{name}.toml" for name in ("delete-red", "ex-1.2", "ex-1.3", "ex-1.5", "reactions")]
SMOOTH = timeline.load(ROOT / "sweeps" / "ex-1.6.toml", "smooth")
STEPPED = timeline.load(ROOT / "sweeps" / "ex-1.6.toml", "stepped")
OPENERS = ["data-hues", "data-vibrancies"]


def panels(figure: Figure, kind: str) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_ylabel() == kind]


def lines(axes: Axes, least: int = 13) -> list[np.ndarray]:
    """Return the lines that have a value at every step."""
    return [line for line in axes.lines if len(line.get_xdata()) >= least]


@pytest.mark.parametrize("file", SWEEPS, ids=lambda path: path.stem)
def test_schedules_of_all_kinds_can_be_drawn(file: Path) -> None:
    loaded = sweep.load(file)
    names = list(loaded.variants) or [""]
    trainings = [loaded.trial(loaded.start() | ({"variant": name} if name else {})).training for name in names]
    shown = {name: each.schedule for name, each in zip(names, trainings, strict=True)}
    with style.use(dark=len(names) > 1):
        figure = schedule.draw(shown, trainings[0].openers(), file.stem)
        figure.draw_without_rendering()
    assert len(panels(figure, "lr")) == len(shown)
    assert f"{trainings[0].schedule.steps} updates" in schedule.alt_text(shown, [], file.stem)


def test_weights_stand_above_and_the_learning_rate_below() -> None:
    figure = schedule.draw({"": SMOOTH}, OPENERS, "A schedule")
    figure.draw_without_rendering()
    (above,), (below,) = (panels(figure, kind) for kind in ("weight", "lr"))
    assert above.get_position().y0 > below.get_position().y1
    assert len(lines(above)) == len(SMOOTH.names()) - 1
    assert np.max(lines(below)[0].get_ydata()) == pytest.approx(0.02)


def test_every_keyframe_of_a_parameter_is_a_dot() -> None:
    (above,) = panels(schedule.draw({"": SMOOTH}, OPENERS, "A schedule"), "weight")
    dots = {tuple(line.get_xdata()) for line in above.lines if line.get_marker() == "o"}
    assert dots == {tuple(keys_of(SMOOTH, name)[0]) for name in SMOOTH.names() if name != "lr"}


def test_what_opens_the_data_is_wide_and_behind() -> None:
    (above,) = panels(schedule.draw({"": SMOOTH}, OPENERS, "A schedule"), "weight")
    widths = [line.get_linewidth() for line in lines(above)]
    assert widths[:2] == [5.5, 5.5]
    assert max(widths[2:]) < 2


def test_an_action_is_a_triangle_with_its_name() -> None:
    (above,) = panels(schedule.draw({"": SMOOTH}, OPENERS, "A schedule"), "weight")
    (triangle,) = [line for line in above.lines if line.get_marker() == "^"]
    assert list(triangle.get_xdata()) == [500]
    assert "anchor" in [text.get_text() for text in above.texts]


def test_several_schedules_share_their_scales() -> None:
    figure = schedule.draw({"smooth": SMOOTH, "stepped": STEPPED}, OPENERS, "Schedules")
    for kind in ("weight", "lr"):
        assert len({axes.get_ylim() for axes in panels(figure, kind)}) == 1


def test_weights_far_apart_are_all_seen() -> None:
    wide = timeline.load(ROOT / "sweeps" / "ex-1.7.toml")
    (above,) = panels(schedule.draw({"": wide}, [], "A schedule"), "weight")
    assert above.get_yscale() == "symlog"
    assert panels(schedule.draw({"": SMOOTH}, OPENERS, "A schedule"), "weight")[0].get_yscale() == "linear"


def test_phases_of_one_name_that_follow_on_each_other_are_named_once() -> None:
    assert [tuple(span) for span in schedule.spans(STEPPED)] == [
        ("Primary & secondary", 0, 499),
        ("All hues", 500, 4999),
        ("Full color space", 5000, 10000),
    ]


@pytest.mark.parametrize("inches", [3.0, 4.2, 9.0])
def test_no_phase_name_stands_over_another_or_outside(inches: float) -> None:
    phases = [
        schedule.Span(f"phase number {i}", int(first), int(after) - 1)
        for i, (first, after) in enumerate(pairwise([0, 5, 30, 31, 400, 900, 990, 1000]))
    ]
    extents = []
    for label in schedule.place(phases, 1000, inches):
        width = len(label.name) * schedule.LETTER_INCHES / inches
        start = label.x - width / 2 if label.align == "center" else label.x
        extents.append((label.line, start, start + width))
        assert start >= 0
        assert start + width <= 1 + 1e-9 or width > 1
    for (line, a, b), (other, c, d) in combinations(extents, 2):
        assert line != other or b <= c or d <= a


def test_rules_are_said_in_words() -> None:
    release = timeline.load(ROOT / "sweeps" / "reactions.toml", "release")
    text = schedule.alt_text({"release": release, "fixed": SMOOTH}, [], "Schedules")
    assert "when reg-polar comes below 0.15, move reg-polar to 0.0002 in 500 steps" in text
    assert "none has acted yet" in text


def test_the_alt_text_names_every_move_once_where_schedules_agree() -> None:
    text = schedule.alt_text({"smooth": SMOOTH, "stepped": STEPPED}, OPENERS, "Schedules")
    assert text.count("loss-recon: 1 at 0.") == 1
    assert "reg-norm, stepped: 0.01 at 0, 0.25 at 100, 0.4 at 1000, 0.25 at 5000." in text
    assert "data-hues (opens the data)" in text


def test_a_sheet_without_a_learning_rate_has_no_empty_panel() -> None:
    sheet = Schedule.model_validate({"keyframes": [{"step": 0, "x": 1.0}, {"step": 20, "x": 0.5}]})
    figure = schedule.draw({"": sheet}, [], "A sheet")
    figure.draw_without_rendering()
    assert [axes.get_ylabel() for axes in figure.axes] == ["weight"]
