"""What mattered in a search: laws of importance, on points whose outcome a test can choose."""

import numpy as np
import pytest

from prepe.metrics.importance import importance

N = 60


@pytest.fixture(scope="module")
def points() -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.1, 1, N).tolist() for name in ("a", "b", "c")}


def test_what_drives_the_outcome_explains_it_and_comes_first(points: dict[str, list[float]]) -> None:
    found = importance(points, np.array(points["b"]) ** 3)
    assert next(iter(found)) == "b"
    assert found["b"].share == pytest.approx(1)
    assert not found["a"].is_more_than_chance


def test_an_optimum_in_the_middle_is_seen(points: dict[str, list[float]]) -> None:
    found = importance(points, -np.abs(np.array(points["c"]) - 0.55))
    assert found["c"].share > 0.7


def test_neither_scales_nor_an_outlier_change_anything(points: dict[str, list[float]]) -> None:
    outcome = np.array(points["a"]) + np.array(points["b"])
    plain = importance(points, outcome)
    logs = {name: np.log(values).tolist() for name, values in points.items()}
    stretched = np.where(outcome == outcome.max(), 1e9, np.exp(outcome))
    assert importance(logs, stretched) == plain
    for name, each in importance(points, -outcome).items():
        assert each.share == pytest.approx(plain[name].share)


def test_noise_is_more_than_chance_about_once_in_twenty() -> None:
    rng = np.random.default_rng(1)
    points = {str(i): rng.uniform(size=30).tolist() for i in range(200)}
    found = importance(points, rng.normal(size=30))
    assert 0.01 < np.mean([each.is_more_than_chance for each in found.values()]) < 0.11


def test_names_have_no_order_and_failed_trials_are_left_out() -> None:
    names = ["x", "y", "z"] * 10
    outcome = np.array([{"x": 1.0, "y": 0.0, "z": 2.0}[name] for name in names])
    assert importance({"kind": names}, outcome)["kind"].share == pytest.approx(1)
    longer = importance({"kind": [*names, "x"]}, np.append(outcome, np.nan))
    assert longer == importance({"kind": names}, outcome)


def test_what_cannot_matter_is_left_out(points: dict[str, list[float]]) -> None:
    outcome = np.array(points["a"])
    assert "same" not in importance({**points, "same": [1.0] * N}, outcome)
    assert "each" not in importance({**points, "each": [str(i) for i in range(N)]}, outcome)
    assert importance(points, np.ones(N)) == {}
    assert importance({"a": [1.0, 2.0, 3.0]}, np.array([1.0, 2.0, 3.0])) == {}
