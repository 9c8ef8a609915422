from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from prepe.figures import style


def plain() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], color=style.palette()[0])
    return figure


def test_both_looks_and_the_alt_text_are_written_and_nothing_else(tmp_path: Path) -> None:
    path = style.save(plain, tmp_path / "new" / "folder" / "ex-2.9.1", "A line from 0 to 1.")
    assert path == tmp_path / "new" / "folder" / "ex-2.9.1.png"
    assert sorted(each.name for each in path.parent.iterdir()) == ["ex-2.9.1-dark.png", "ex-2.9.1.png", "ex-2.9.1.txt"]
    assert path.with_name("ex-2.9.1.txt").read_text() == "A line from 0 to 1.\n"


def test_the_light_page_is_light_and_the_dark_page_dark(tmp_path: Path) -> None:
    path = style.save(plain, tmp_path / "line", "A line.")
    corners = [image.imread(path.with_name(name))[0, 0, :3].mean() for name in ("line.png", "line-dark.png")]
    assert corners[0] == 1
    assert corners[1] < 0.15


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (style.save(plain, tmp_path / name, "A line.") for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_the_callers_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    expected = style.save(plain, tmp_path / "a", "A line.").read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        assert style.save(plain, tmp_path / "b", "A line.").read_bytes() == expected
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_a_figure_that_fails_leaves_the_older_files_whole(tmp_path: Path) -> None:
    path = style.save(plain, tmp_path / "line", "A line.")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fails() -> Figure:
        if style.paper() == style.DARK["figure.facecolor"]:
            raise RuntimeError("halfway")
        return plain()

    with pytest.raises(RuntimeError, match="halfway"):
        style.save(fails, tmp_path / "line", "Another line.")
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


@pytest.mark.parametrize("look", [style.LIGHT, style.DARK])
def test_text_and_palette_stand_out_from_the_page(look: dict[str, str]) -> None:
    def luminance(color: str) -> float:
        rgb = np.array(matplotlib.colors.to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    def contrast(color: str) -> float:
        low, high = sorted((luminance(color), luminance(look["figure.facecolor"])))
        return (high + 0.05) / (low + 0.05)

    assert contrast(look["text.color"]) > 12
    assert contrast(look["xtick.color"]) > 4.5
    assert min(contrast(color) for color in look["axes.prop_cycle"].by_key()["color"][:3]) > 3  # type: ignore[attr-defined]


def test_a_long_heading_is_broken_and_the_page_grows() -> None:
    short, _ = style.page("A page", "A line.", [1.0])
    long, parts = style.page("A page", "word " * 200, [1.0])
    assert long.get_figheight() > short.get_figheight() + 1
    assert len(parts) == 1
    long.draw_without_rendering()
    assert long.get_tightbbox().x1 <= long.get_figwidth()
