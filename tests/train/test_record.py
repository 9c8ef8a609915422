"""What is kept of training: history, label counts, snapshots, checkpoints, final losses, spikes; and costs."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch

from prepe import data, keyframes, models, train
from prepe.data import streams
from prepe.errors import PrepeError
from prepe.spec import Training
from prepe.sweep import Record
from prepe.train import Trained

from .same import history, run


@pytest.mark.parametrize(
    "record",
    [Record(history_stride=1000), Record(history_stride=4, snapshots=(0, 10, 59), shown_members=3), Record()],
)
def test_what_is_recorded_changes_no_result(record: Record) -> None:
    plain = run(tiny.training(), [0, 1, 2])
    assert torch.equal(run(tiny.training(), [0, 1, 2], record).params, plain.params)


def test_history_has_every_part_of_the_loss_hyperparameter_and_label() -> None:
    rows = history(run(tiny.training(), [0, 1]))
    assert {step for step, _, _ in rows} == set(range(60))
    names = {quantity: {name for _, kind, name in rows if kind == quantity} for _, quantity, _ in rows}
    assert names == {
        "loss": {"recon", "total"},
        "term": set(tiny.TERMS),
        "hyperparameter": {"lr", *tiny.TERMS},
        "label": {"red", "vibrant", "any"},
    }
    assert all(values.shape == (2,) for values in rows.values())


def test_history_is_kept_at_its_stride_and_at_the_last_step() -> None:
    rows = history(run(tiny.training(), [0], Record(history_stride=25)))
    assert {step for step, _, _ in rows} == {0, 25, 50, 59}
    every = history(run(tiny.training(), [0]))
    for key, values in rows.items():
        np.testing.assert_array_equal(values, every[key])


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    rows = history(run(tiny.training(), [0, 1]))
    for step in range(60):
        terms = [name for name in tiny.TERMS if (step, "term", name) in rows]
        weighed = sum(rows[step, "hyperparameter", name] * rows[step, "term", name] for name in terms)
        np.testing.assert_allclose(rows[step, "loss", "total"], rows[step, "loss", "recon"] + weighed, rtol=1e-5)


def test_a_term_has_a_row_only_while_it_has_weight() -> None:
    rows = history(run(tiny.training(), [0]))
    for name in tiny.TERMS:
        for step in range(60):
            weight = rows[step, "hyperparameter", name][0]
            assert ((step, "term", name) in rows) == (weight != 0)
    assert (0, "term", "anchor") not in rows
    assert (30, "term", "anchor") in rows
    assert (59, "term", "separate") not in rows


def test_a_term_whose_weight_is_zero_throughout_is_as_good_as_none() -> None:
    without = run(tiny.training(**tiny.constant(anti_subspace=0.1)), [0, 1])
    idle = run(tiny.training(**tiny.constant(anti_subspace=0.1, anchor=0.0, separate=0.0)), [0, 1])
    assert torch.equal(without.params, idle.params)
    assert not torch.equal(run(tiny.training(**tiny.constant(anti_subspace=0.2)), [0, 1]).params, without.params)


def draws_of(label: str, seed: int, training: Training) -> np.ndarray:
    """Return how many samples of each step carry a label, `(steps, batch)`."""
    task, size = data.task(training.data), training.schedule.batch_size
    index = streams.weighted(streams.uniform([seed], "items", 0, size)[:60, 0], task.weights)
    drawn = streams.uniform([seed], f"label:{label}", 0, size)[:60, 0]
    return drawn < task.label_probability[label].astype(np.float32)[index]


def test_labels_are_counted_as_they_are_drawn_and_as_they_are_used() -> None:
    training = tiny.training()
    trained = run(training, [3, 4])
    rows = history(trained)
    for member, seed in enumerate(trained.seeds):
        drawn = {label: draws_of(label, seed, training) for label in ("red", "vibrant")}
        used = {}
        for label, term in (("red", "anchor"), ("vibrant", "subspace")):
            weights = keyframes.values_at(training.schedule, term, np.arange(60))
            used[label] = drawn[label] & (weights != 0)[:, None]
        for counts, carried in ((trained.labels_drawn, drawn), (trained.labels_used, used)):
            carried = carried | {"any": carried["red"] | carried["vibrant"]}
            assert {label: each[member] for label, each in counts.items()} == {
                label: each.sum() for label, each in carried.items()
            }
        assert 0 < used["red"].sum() < drawn["red"].sum()
        assert rows[59, "label", "any"][member] == trained.labels_drawn["any"][member]
        assert rows[30, "label", "red"][member] == drawn["red"][:31].sum()


def test_a_label_that_no_term_listens_to_is_drawn_and_not_used() -> None:
    trained = run(tiny.training(**tiny.constant(anti_subspace=0.1, anchor=0.0)), [0, 1])
    assert (trained.labels_drawn["vibrant"] > 0).all()
    for label in ("red", "vibrant", "any"):
        assert trained.labels_used[label].tolist() == [0, 0]


def test_without_labels_nothing_is_counted() -> None:
    changes = tiny.constant(anti_subspace=0.1) | {"data": {"kind": "rgb_grid", "size": 4}}
    trained = run(tiny.training(**changes), [0, 1])
    assert {name: each.tolist() for name, each in trained.labels_drawn.items()} == {"any": [0, 0]}
    assert {name: each.tolist() for name, each in trained.labels_used.items()} == {"any": [0, 0]}


def test_labels_do_not_change_what_a_model_without_labelled_terms_learns() -> None:
    changes = tiny.constant(anti_subspace=0.1)
    bare = run(tiny.training(**changes, data={"kind": "rgb_grid", "size": 4}), [0, 1])
    assert torch.equal(run(tiny.training(**changes), [0, 1]).params, bare.params)


def test_snapshots_are_taken_before_the_chosen_steps_and_after_the_last() -> None:
    training = tiny.training()
    trained = run(training, [5, 6, 7], Record(snapshots=(0, 20), shown_members=2))
    assert [step for step, _, _ in trained.snapshots] == [0, 20, 60]
    task = data.task(training.data)
    model = models.build(training.model, task)
    rgb = torch.from_numpy(task.reference.inputs).float().expand(2, 512, 3)
    for at, params in ((0, model.init([5, 6])), (2, trained.params[:2])):
        forward = model(model.unpack(params), rgb)
        _, latents, outputs = trained.snapshots[at]
        np.testing.assert_allclose(latents, forward.sites["bottleneck"], atol=1e-6)
        np.testing.assert_allclose(outputs, forward.outputs.clamp(0, 1), atol=1e-6)
    assert not np.allclose(trained.snapshots[0][1], trained.snapshots[1][1], atol=1e-3)


def test_without_chosen_steps_there_are_no_snapshots() -> None:
    assert run(tiny.training(), [0]).snapshots == []


@pytest.mark.parametrize(("final_step", "lr"), [("reach", 0.02), ("repeat", None)])
def test_the_last_update_reaches_the_last_keyframe_or_repeats_the_step_before(
    final_step: str, lr: float | None
) -> None:
    tables = tiny.constant(steps=11)
    frames = [{"step": 0, "lr": 0.01}, {"step": 10, "lr": 0.02}]
    trained = run(tiny.training(**tables | {"schedule": {"keyframes": frames, "final_step": final_step}}), [0])
    rates = [history(trained)[step, "hyperparameter", "lr"][0] for step in range(11)]
    assert rates[10] == (rates[9] if lr is None else lr)
    assert rates[9] < 0.02


def test_the_way_the_last_step_is_meant_changes_the_last_update_alone() -> None:
    schedule = tiny.TABLE["schedule"]
    record = Record(snapshots=(59,), history_stride=1000)
    repeat, reach = (
        run(tiny.training(schedule={**schedule, "final_step": way}), [0], record) for way in ("repeat", "reach")
    )
    np.testing.assert_array_equal(repeat.snapshots[0][1], reach.snapshots[0][1])
    assert not torch.equal(repeat.params, reach.params)


def test_progress_is_reported_in_order() -> None:
    seen: list[tuple[int, int]] = []
    train.train(tiny.training(), [0], device="cpu", report=lambda done, total: seen.append((done, total)))
    assert seen
    assert seen == sorted(seen)
    assert all(0 <= done <= total == 60 for done, total in seen)


def test_costs_are_measured() -> None:
    trained = run(tiny.training(), [0])
    assert trained.wall_s > 0
    assert trained.cpu_s > 0
    assert trained.device == "cpu"


@pytest.mark.parametrize("device", ["tpu", "gpu", "", "cuda:x" if not torch.cuda.is_available() else "tpu"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(PrepeError, match=r"device: '.*' is not to be had here; allowed: auto, cpu"):
        train.train(tiny.training(), [0], device=device)


# --- checkpoints and snapshots ---------------------------------------------------------------------------------------

PHASES: dict[str, Any] = {
    **tiny.constant(anti_subspace=0.1, anchor=0.1),
    "schedule": {
        "batch_size": 16,
        "steps": 300,
        "keyframes": [
            {"step": 0, "lr": 0.003, "anti_subspace": 0.1, "anchor": 0.0},
            {"step": 30, "phase": "B", "anchor": 0.0},
            {"step": 31, "anchor": 0.4},
            {"step": 140, "phase": "C"},
            {"step": 141, "lr": 0.03},
            {"step": 250, "phase": "B", "anchor": 0.1},
            {"step": 251, "anchor": 0.0},
        ],
        "phases": {"C": {"batch_size": 32}},
    },
}


def shorter(training: Training, steps: int) -> Training:
    return training.model_copy(update={"schedule": training.schedule.model_copy(update={"steps": steps})})


@pytest.fixture(scope="module")
def in_phases() -> Trained:
    record = Record(history_stride=1, checkpoints=(0, 30, 31, 200, 300), snapshots=(31, 200), shown_members=2)
    return run(tiny.training(**PHASES), [5, 6, 7], record)


def test_checkpoints_are_the_weights_of_shorter_trainings_at_ends_of_phases_and_where_they_are_asked_for(
    in_phases: Trained,
) -> None:
    kept = {each.step: each for each in in_phases.checkpoints}
    ended = {step: each.phase for step, each in kept.items()}
    assert ended == {0: None, 30: None, 31: None, 140: "B", 200: None, 250: "C", 300: "B"}
    assert len(in_phases.checkpoints) == len(kept)
    assert all(each.reached.tolist() == [True] * 3 for each in kept.values())
    training = tiny.training(**PHASES)
    assert torch.equal(kept[0].params, models.build(training.model, data.task(training.data)).init([5, 6, 7]))
    for step in (30, 31, 140, 200, 250):
        assert torch.equal(kept[step].params, run(shorter(training, step), [5, 6, 7]).params)
    assert torch.equal(kept[300].params, in_phases.params)


def test_without_phases_and_wishes_there_are_no_checkpoints() -> None:
    assert run(tiny.training(), [0]).checkpoints == []


def test_snapshots_are_what_the_weights_of_their_step_make(in_phases: Trained) -> None:
    training = tiny.training(**PHASES)
    task = data.task(training.data)
    model = models.build(training.model, task)
    rgb = torch.from_numpy(task.reference.inputs).float().expand(2, 512, 3)
    kept = {each.step: each.params for each in in_phases.checkpoints}
    assert [step for step, _, _ in in_phases.snapshots] == [31, 200, 300]
    for step, latents, outputs in in_phases.snapshots:
        forward = model(model.unpack(kept[step][:2]), rgb)
        np.testing.assert_array_equal(latents, forward.sites["bottleneck"])
        np.testing.assert_array_equal(outputs, forward.outputs.clamp(0, 1))


# --- what is said of the loss at the end -----------------------------------------------------------------------------


def series(trained: Trained, quantity: str, name: str, steps: int = 300) -> np.ndarray:
    rows = history(trained)
    nothing = np.full(len(trained.seeds), np.nan)
    return np.array([rows.get((step, quantity, name), nothing) for step in range(steps)])


def test_final_parts_are_means_over_the_last_200_updates_in_which_a_term_had_weight(in_phases: Trained) -> None:
    assert set(in_phases.final_parts) == {"total", "recon", "anchor", "anti_subspace"}
    for name, mean in in_phases.final_parts.items():
        values = series(in_phases, "loss" if name in ("total", "recon") else "term", name)
        assert np.isnan(values).any() == (name == "anchor")
        np.testing.assert_allclose(mean, np.nanmean(values[100:], axis=0), rtol=1e-6)
        assert not np.allclose(mean, np.nanmean(values, axis=0), rtol=1e-4)


def test_final_parts_of_a_short_training_are_over_all_of_it_and_none_where_a_term_never_had_weight() -> None:
    trained = run(tiny.training(**tiny.constant(steps=20, anti_subspace=0.1, anchor=0.0)), [0, 1])
    np.testing.assert_allclose(trained.final_parts["total"], series(trained, "loss", "total", 20).mean(0), rtol=1e-6)
    assert np.isnan(trained.final_parts["anchor"]).all()


def test_spikes_are_the_peak_after_a_phase_began_over_what_was_usual_before(in_phases: Trained) -> None:
    total = series(in_phases, "loss", "total")
    assert set(in_phases.phase_spikes) == {30, 140, 250}
    for start, before in ((30, 0), (140, 90), (250, 200)):
        ratio = total[start : start + 60].max(0) / np.median(total[before:start], axis=0)
        np.testing.assert_allclose(in_phases.phase_spikes[start], ratio, rtol=1e-6)
    assert (in_phases.phase_spikes[140] != in_phases.phase_spikes[250]).all()


@pytest.mark.parametrize("record", [Record(), Record(history_stride=1000, checkpoints=(7,), snapshots=(3,))])
def test_neither_depends_on_what_is_recorded(record: Record, in_phases: Trained) -> None:
    other = run(tiny.training(**PHASES), [5, 6, 7], record)
    for name in ("final_parts", "phase_spikes"):
        for key, values in getattr(in_phases, name).items():
            np.testing.assert_array_equal(getattr(other, name)[key], values)
