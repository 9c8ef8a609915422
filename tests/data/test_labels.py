"""Labels: their chances on both recurring lattices, and users' own concepts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prepe import data
from prepe.catalog import HUES, NAMED_COLORS, HsvCube, Label, RgbGrid
from prepe.data.hsv import rgb_to_hsv
from prepe.errors import PrepeError

ON_GRID = {  # of experiments 2.4.1 and 2.7.1
    "red": Label(concept="redness", power=8, rate=0.08),
    "vibrant": Label(concept="vibrancy", power=10, rate=0.01),
    "vivid": Label(concept="vibrancy", power=8, rate=0.008),
}
ON_CUBE = {  # of experiment 1.7
    "red": Label(concept="redness", power=10, rate=0.5),
    "vibrant": Label(concept="vibrancy", power=100, rate=0.5),
}


@pytest.fixture(scope="module")
def task() -> data.Task:
    return data.task(RgbGrid(kind="rgb_grid", size=8, labels=ON_GRID))


@pytest.fixture(scope="module")
def full() -> data.Task:
    return data.task(HsvCube(kind="hsv_cube", labels=ON_CUBE))


def labelled(label: Label) -> data.Task:
    return data.task(RgbGrid(kind="rgb_grid", size=3, labels={"mine": label}))


def chance_at(task: data.Task, label: str, hsv: tuple[float, float, float]) -> float:
    where = np.abs(rgb_to_hsv(task.train.inputs) - [hsv[0] / 360, *hsv[1:]]).max(-1) < 1e-9
    (chance,) = set(task.label_probability[label][where].round(12).tolist())
    return chance


def test_label_probabilities_have_the_worked_means(task: data.Task) -> None:
    means = {name: chance.mean() for name, chance in task.label_probability.items()}
    assert means["red"] == pytest.approx(8.99e-4, abs=5e-7)
    assert means["vibrant"] == pytest.approx(1.189e-3, abs=5e-7)
    assert means["vivid"] == pytest.approx(1.098e-3, abs=5e-7)


def test_pure_red_is_labelled_most_often(task: data.Task) -> None:
    chance = task.label_probability["red"]
    assert chance.max() == pytest.approx(0.08)
    assert task.train.inputs[chance.argmax()].tolist() == [1, 0, 0]


def test_validation_labels_are_exact_prototypes(task: data.Task) -> None:
    labels = {name: task.validation.inputs[values == 1] for name, values in task.validation_labels.items()}
    assert labels["red"].tolist() == [[1, 0, 0]]
    assert sorted(labels["vibrant"].sum(-1)) == [1, 1, 1, 2, 2, 2]
    assert all(set(np.unique(values)) == {0, 1} for values in task.validation_labels.values())


def test_validation_labels_on_the_training_set_are_exact_for_every_concept() -> None:
    labels = {name: Label(concept=f"hue:{name}", rate=0.5) for name in HUES}
    labels |= {"vibrant": Label(concept="vibrancy", rate=0.5), "pale": Label(concept="desaturated", rate=0.5)}
    task = data.task(HsvCube(kind="hsv_cube", hues=12, labels=labels, validation="train"))
    hsv = rgb_to_hsv(task.validation.inputs)
    for name in HUES:
        found = task.validation.inputs[task.validation_labels[name] == 1]
        np.testing.assert_allclose(found, [NAMED_COLORS[name]], atol=1e-12)
    assert task.validation_labels["vibrant"].sum() == 12
    assert (task.validation_labels["pale"] == (hsv[:, 1] * hsv[:, 2] == 0)).all()


def test_the_label_rate_counts_a_draw_with_two_labels_once(task: data.Task) -> None:
    chances = np.array(list(task.label_probability.values()))
    assert task.label_rate() == pytest.approx((1 - np.prod(1 - chances, axis=0)).mean())
    assert chances.mean(1).max() < task.label_rate() < chances.mean(1).sum()
    assert data.task(RgbGrid(kind="rgb_grid")).label_rate() == 0


@pytest.mark.parametrize(
    ("label", "share", "a_batch", "none"), [("red", 0.0024, 0.16, 0.86), ("vibrant", 0.019, 1.24, 0.29)]
)
def test_the_published_share_of_draws_is_labelled(
    full: data.Task, label: str, share: float, a_batch: float, none: float
) -> None:
    expected = np.average(full.label_probability[label], weights=full.weights)
    assert expected == pytest.approx(share, rel=0.03)
    assert 64 * expected == pytest.approx(a_batch, abs=0.005)
    assert (1 - expected) ** 64 == pytest.approx(none, abs=0.005)


def test_red_labels_fall_on_red_and_its_neighbours(full: data.Task) -> None:
    share = full.weights * full.label_probability["red"]
    share = share / share.sum()
    hue = rgb_to_hsv(full.train.inputs)[:, 0] * 360
    assert share[(full.train.inputs == [1, 0, 0]).all(-1)].sum() == pytest.approx(0.22, abs=0.005)
    assert share[np.minimum(hue, 360 - hue) < 10.5].sum() == pytest.approx(0.77, abs=0.005)


@pytest.mark.parametrize(
    ("label", "hsv", "chance"),
    [("red", (0, 1, 1), 0.5), ("red", (10, 1, 1), 0.209), ("red", (350, 1, 1), 0.209), ("red", (20, 1, 1), 0.081),
     ("red", (0, 8 / 9, 1), 0.154), ("red", (0, 1, 8 / 9), 0.154), ("red", (60, 1, 1), 0.0005),
     ("red", (300, 1, 1), 0.0005), ("red", (0, 0, 1), 0), ("red", (0, 0, 0), 0), ("red", (120, 1, 1), 0),
     ("red", (180, 1, 1), 0), ("red", (240, 1, 1), 0), ("vibrant", (70, 1, 1), 0.5),
     ("vibrant", (70, 8 / 9, 1), 4e-6), ("vibrant", (0, 0, 1), 0)],
)  # fmt: skip
def test_single_colours_have_the_published_chances(
    full: data.Task, label: str, hsv: tuple[float, float, float], chance: float
) -> None:
    assert chance_at(full, label, hsv) == pytest.approx(chance, rel=0.04, abs=5e-7)
    assert (chance_at(full, label, hsv) == 0) == (chance == 0)


def test_the_label_of_pale_colours_is_a_power_of_their_lack_of_vibrancy() -> None:
    task = labelled(Label(concept="desaturated", rate=0.5, power=10))
    spread = task.train.inputs.max(-1) - task.train.inputs.min(-1)
    np.testing.assert_allclose(task.label_probability["mine"], 0.5 * (1 - spread) ** 10)


def test_a_hue_by_name_is_labelled_as_red_is_by_redness() -> None:
    by_hue = labelled(Label(concept="hue:red", rate=0.5, power=10)).label_probability["mine"]
    by_redness = labelled(Label(concept="redness", rate=0.5, power=10)).label_probability["mine"]
    np.testing.assert_allclose(by_hue, by_redness, atol=1e-12)
    green = labelled(Label(concept="hue:green", rate=0.5, power=10))
    swapped = green.label_probability["mine"].reshape(3, 3, 3).swapaxes(0, 1).ravel()
    np.testing.assert_allclose(swapped, by_redness, atol=1e-12)


def test_labels_may_be_missed_and_given_falsely() -> None:
    label = {"concept": "redness", "rate": 0.5, "power": 2}
    p = labelled(Label(**label)).label_probability["mine"]
    noisy = labelled(Label(**label, missed=0.2, false=0.1)).label_probability["mine"]
    np.testing.assert_allclose(noisy, 0.8 * p + 0.1 * (1 - p))
    assert (labelled(Label(**label, missed=1)).label_probability["mine"] == 0).all()
    assert (labelled(Label(**label, missed=1)).validation_labels["mine"].sum()) == 1, "validation labels have no noise"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module with a user's concept, and return the concept's name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(module: str, body: str) -> str:
        (tmp_path / f"{module}.py").write_text(f"import numpy as np\ndef grade(inputs):\n    {body}\n")
        return f"{module}:grade"

    return write


def test_a_users_own_concept_grades_items_and_cannot_change_them(own: Callable[[str, str], str]) -> None:
    concept = own("own_blue", "assert inputs.dtype == np.float64; inputs[:, 0] = 0; return inputs[:, 2]")
    task = labelled(Label(concept=concept, rate=0.5, power=2))
    np.testing.assert_allclose(task.label_probability["mine"], 0.5 * task.train.inputs[:, 2] ** 2)
    assert task.train.inputs[:, 0].max() == 1
    assert (task.validation_labels["mine"] == (task.validation.inputs[:, 2] == 1)).all()


@pytest.mark.parametrize(
    ("module", "body", "said"),
    [
        ("own_wide", "return inputs", r"gave an array \(27, 3\); allowed here: \(27,\)"),
        ("own_scalar", "return 0.5", r"gave an array \(\); allowed here: \(27,\)"),
        ("own_nan", "return inputs[:, 0] * np.nan", "gave nan; allowed: finite numbers from 0 to 1"),
        ("own_infinite", "return inputs[:, 0] + np.inf", "gave inf; allowed: finite"),
        ("own_large", "return inputs[:, 0] * 1.5", r"gave 1\.5; allowed"),
        ("own_negative", "return -inputs[:, 0]", r"gave -0\.5; allowed"),
        ("own_text", "return ['a'] * len(inputs)", "failed on an array"),
        ("own_wordy", "raise ValueError('two\\nlines')", "failed on an array .* ValueError: two lines;"),
        ("own_failing", "return inputs[:, 7]", "failed on an array .* IndexError"),
        ("own_empty", "return None", "gave"),
    ],
)
def test_a_users_own_concept_is_held_to_its_promise(
    own: Callable[[str, str], str], module: str, body: str, said: str
) -> None:
    with pytest.raises(PrepeError, match=rf"data\.labels\.mine\.concept: '{module}:grade' {said}") as caught:
        labelled(Label(concept=own(module, body), rate=0.5))
    assert "\n" not in str(caught.value)


def test_a_concept_that_cannot_be_loaded_is_named_with_its_label(own: Callable[[str, str], str]) -> None:
    name = own("own_other", "return inputs[:, 0]").replace(":grade", ":grades")
    with pytest.raises(PrepeError, match=r"data\.labels\.mine\.concept: 'own_other:grades': .* no function 'grades'"):
        labelled(Label(concept=name, rate=0.5))
    with pytest.raises(PrepeError, match=r"data\.labels\.mine\.concept: 'no_such:thing': the module 'no_such'"):
        labelled(Label(concept="no_such:thing", rate=0.5))
