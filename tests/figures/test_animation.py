import sys
from pathlib import Path

import numpy as np
import pytest

from prepe.errors import PrepeError
from prepe.figures import animation, style
from prepe.figures.animation import Film
from prepe.figures.snapshots import Snapshots

from . import shelf


@pytest.fixture(scope="module")
def film() -> Film:
    steps = [0, 3, 10]
    latents = np.stack([shelf.latents_at(step, 10, 4) for step in steps])
    shown = Snapshots(7, steps, shelf.LATTICE, latents, np.repeat(shelf.LATTICE[None], 3, 0), shelf.LATTICE)
    line = (np.arange(11.0), np.linspace(1, 0, 11))
    return Film(shown, {"anchor": line}, {"total": line, "recon": line, "anchor": line}, "Trial 0f, seed 7")


def test_frames_are_the_published_ones() -> None:
    steps = animation.frames(10_000)
    strides = np.diff(steps)
    assert len(steps) == 987
    assert (steps[0], steps[-1]) == (0, 10_000)
    assert np.all(strides[:21] == 1)
    assert strides[21] > 1
    assert strides.max() == 15
    assert strides[-1] == 1


@pytest.mark.parametrize("last", [0, 1, 10, 499, 1500, 20_000])
def test_frames_go_from_the_first_step_to_the_last_each_once(last: int) -> None:
    steps = animation.frames(last)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, last)
    assert len(steps) <= 1000


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_picture_shows_three_sides_the_schedule_and_the_losses_with_a_line_at_the_step(
    film: Film, dark: bool
) -> None:
    with style.use(dark):
        figure = animation.draw(film, 1)
        figure.draw_without_rendering()
    assert len(figure.axes) == 5
    assert [axes.lines[-1].get_xdata() for axes in figure.axes[3:]] == [[3, 3], [3, 3]]
    order = np.argsort(film.shown.latents[1][:, 2], kind="stable")
    dots = figure.axes[0].collections[0]
    assert np.allclose(dots.get_offsets(), film.shown.latents[1][order][:, [1, 0]])
    assert np.allclose(dots.get_facecolors()[:, :3], shelf.LATTICE[order])
    assert "step 3 of 10, 3 steps a picture" in [text.get_text() for text in figure.texts]


def test_a_weight_and_its_loss_look_alike(film: Film) -> None:
    left, right = animation.draw(film).axes[3:]
    looks = [{line.get_label(): line.get_color() for line in axes.lines} for axes in (left, right)]
    assert looks[0]["anchor"] == looks[1]["anchor"]


def test_every_picture_differs_and_is_drawn_as_a_whole_figure_would_be(film: Film) -> None:
    pictures = list(animation.pictures(film))
    assert [picture.shape for picture in pictures] == [(720, 1280, 3)] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3
    again = list(animation.pictures(film))
    assert all(np.array_equal(a, b) for a, b in zip(pictures, again, strict=True))


def test_a_missing_encoder_is_answered_with_the_extra_that_brings_it(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PrepeError, match=r"prepe\[animation\]"):
        animation.write(film, tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_film_has_every_picture_and_its_text_beside_it(film: Film, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra `animation` is not installed")
    seen = []
    path = animation.write(
        film, tmp_path / "new" / "film.mp4", fps=5, report=lambda done, total: seen.append((done, total))
    )
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 3
    assert pictures[0].shape == (720, 1280, 3)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(each.name for each in path.parent.iterdir()) == ["film.mp4", "film.txt"]


def test_the_alt_text_counts_pictures_and_states_lengths(film: Film) -> None:
    text = animation.alt_text(film, 30)
    assert "Trial 0f, seed 7: 3 pictures" in text
    assert "from step 0 to 10; each of 64 items is a dot in its own colour" in text
    assert "Loss total: from 1 to 0." in text
