"""The training loop: against a plain one, alone and in company, and when members break."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor
from torch.nn.functional import gelu, normalize

from prepe import data, keyframes, models, train
from prepe.data import streams
from prepe.errors import PrepeError
from prepe.spec import Training
from prepe.sweep import Record
from prepe.train import Trained

EVERY_STEP = Record(history_stride=1)
Rows = dict[tuple[int, str, str], np.ndarray]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(training: Training, seeds: list[int], record: Record = EVERY_STEP) -> Trained:
    return train.train(training, seeds, device="cpu", record=record)


def history(trained: Trained) -> Rows:
    """Return the values over members of every row."""
    rows = {(step, quantity, name): values for step, quantity, name, values in trained.history}
    assert len(rows) == len(trained.history)
    return rows


def assert_same_member(one: Trained, i: int, other: Trained, j: int) -> None:
    """Compare everything that is known of one member and of another, bit for bit."""
    np.testing.assert_array_equal(one.params[i].numpy(), other.params[j].numpy())  # where NaN equals NaN
    assert (one.broken_step[i], one.broken_term[i]) == (other.broken_step[j], other.broken_term[j])
    for counts, others in ((one.labels_drawn, other.labels_drawn), (one.labels_used, other.labels_used)):
        assert {name: each[i] for name, each in counts.items()} == {name: each[j] for name, each in others.items()}
    rows, other_rows = history(one), history(other)
    assert set(rows) == set(other_rows)
    for key in rows:
        np.testing.assert_array_equal(rows[key][i], other_rows[key][j], err_msg=str(key))


# --- against a plain loop --------------------------------------------------------------------------------------------


def plain_terms(raw: Tensor, z: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the terms of `tiny.TERMS` for one batch, by their formulas."""
    cosine = (z / (z.norm(dim=-1, keepdim=True) + 1e-8)) @ (z / (z.norm(dim=-1, keepdim=True) + 1e-8)).T
    far = (cosine - 1).abs() > 1e-5

    def labelled(values: Tensor, label: str) -> Tensor:
        return (values * labels[label]).sum() / (labels[label].sum() + 1e-8)

    return {
        "anchor": labelled(1 - z[:, 0] / (z.norm(dim=-1) + 1e-8), "red"),
        "anti_anchor": (-z[:, 0] / (z.norm(dim=-1) + 1e-8)).clamp_min(0).mean(),
        "anti_subspace": (z[:, 0] ** 2).mean(),
        "separate": (far * ((cosine + 1) / 2) ** 100).sum(-1).mean(),
        "subspace": labelled((z[:, 2:] ** 2).sum(-1), "vibrant"),
        "unit_norm": ((raw.norm(dim=-1) - 1) ** 2).mean(),
    }


def plain_training(training: Training, seed: int) -> tuple[Tensor, Rows]:
    """Train one member in float64 with `torch.optim.Adam`, and keep every part of the loss."""
    task = data.task(training.data)
    model = models.build(training.model, task)
    flat = torch.nn.Parameter(model.init([seed])[0].double())
    optimizer = torch.optim.Adam([flat])
    steps, size = training.schedule.steps, training.schedule.batch_size
    at = np.arange(steps)
    values = {name: keyframes.values_at(training.schedule, name, at) for name in ["lr", *training.terms]}
    chunks = range(-(-steps // streams.CHUNK))
    draws = {
        stream: np.concatenate([streams.uniform([seed], stream, chunk, size)[:, 0] for chunk in chunks])
        for stream in ("items", *(f"label:{label}" for label in task.label_probability))
    }
    rows: Rows = {}
    for step in range(steps):
        index = streams.weighted(draws["items"][step], task.weights)
        labels = {
            label: torch.from_numpy(draws[f"label:{label}"][step] < chance.astype(np.float32)[index]).double()
            for label, chance in task.label_probability.items()
        }
        x = torch.from_numpy(task.train.inputs[index])
        layers = [
            (flat_part(model, flat, f"{half}.{i}.weight"), flat_part(model, flat, f"{half}.{i}.bias"))
            for half in ("encoder", "decoder")
            for i in (0, 1)
        ]
        (w0, b0), (w1, b1), (w2, b2), (w3, b3) = layers
        raw = gelu(x @ w0.T + b0) @ w1.T + b1
        z = normalize(raw, eps=1e-12)
        recon = ((gelu(z @ w2.T + b2) @ w3.T + b3 - x) ** 2).mean()
        terms = plain_terms(raw, z, labels)
        total = recon + sum(values[name][step] * terms[name] for name in training.terms)
        for quantity, name, value in (
            ("loss", "recon", recon),
            ("loss", "total", total),
            *(("term", name, terms[name]) for name in training.terms if values[name][step] != 0),
        ):
            rows[step, quantity, name] = value.detach().numpy()
        optimizer.zero_grad()
        total.backward()
        optimizer.param_groups[0]["lr"] = values["lr"][step]
        optimizer.step()
    return flat.detach(), rows


def flat_part(model: models.Autoencoder, flat: Tensor, name: str) -> Tensor:
    start = 0
    for each, shape in model.layout:
        size = int(np.prod(shape))
        if each == name:
            return flat[start : start + size].view(shape)
        start += size
    raise KeyError(name)


ONE_TERM_EACH = {name: tiny.constant(lr=0.01, **{name: 0.1}) for name in tiny.TERMS}


@pytest.mark.parametrize(
    "changes",
    [tiny.constant(lr=0.01), *ONE_TERM_EACH.values(), {}],
    ids=["no term", *ONE_TERM_EACH, "all terms on a schedule"],
)
def test_training_is_that_of_a_plain_loop_with_the_framework_adam(changes: dict[str, Any]) -> None:
    training = tiny.training(**changes)
    trained = run(training, [2, 5])
    rows = history(trained)
    for member, seed in enumerate(trained.seeds):
        params, parts = plain_training(training, seed)
        initial = models.build(training.model, data.task(training.data)).init([seed])[0]
        moved = (params - initial).abs().max()
        assert moved > 0.1
        difference = (trained.params[member].double() - params).abs().max()
        assert difference < 1e-5 * moved + 1e-5
        assert {key for key in rows if key[1] in ("loss", "term")} == set(parts)
        for key, value in parts.items():
            assert rows[key][member] == pytest.approx(float(value), rel=1e-4, abs=1e-6), key


def test_steps_go_on_from_one_chunk_of_draws_to_the_next() -> None:
    training = tiny.training(**tiny.constant(lr=0.003, steps=2 * streams.CHUNK + 10, anti_subspace=0.1))
    params, _ = plain_training(training, 4)
    assert (run(training, [4]).params[0].double() - params).abs().max() < 1e-4


def test_a_learning_rate_of_zero_leaves_the_initial_parameters() -> None:
    training = tiny.training(**tiny.constant(lr=0.0, steps=5, anti_subspace=0.1))
    trained = run(training, [3, 1])
    initial = models.build(training.model, data.task(training.data)).init([3, 1])
    assert torch.equal(trained.params, initial)
    assert not torch.equal(run(tiny.training(**tiny.constant(lr=1e-4, steps=1)), [3, 1]).params, initial)


# --- alone and in company --------------------------------------------------------------------------------------------

SCHEDULE = {
    "keyframes": [
        {"step": 0, "lr": 0.01, "separate": 0.01, "anchor": 0, "anti_subspace": 0.25, "unit_norm": 0.01},
        {"step": 8, "anchor": 0.1, "anti_anchor": 0.05, "subspace": 0.1},
        {"step": 20, "lr": 0.05, "separate": 0, "anti_anchor": 0, "subspace": 0},
        {"step": 23, "lr": 0.01},
    ]
}
SIZES = [(3, 8, 1), (3, 64, 3), (8, 8, 3), (8, 64, 1), (5, 16, 2), (6, 24, 1), (4, 40, 3)]
COMPANIES = [[7, 8], [5, 6, 7, 8, 9], list(range(60))]


def of_size(size: tuple[int, int, int], **changes: Any) -> Training:
    latent, hidden, depth = size
    model = {"kind": "autoencoder", "latent_dim": latent, "hidden_dim": hidden, "depth": depth}
    return tiny.training(**{"schedule": SCHEDULE, "model": model, **changes})


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_member_seven_alone_is_member_seven_among_others(size: tuple[int, int, int]) -> None:
    training = of_size(size)
    alone = run(training, [7])
    for seeds in COMPANIES:
        assert_same_member(alone, 0, run(training, seeds), seeds.index(7))


@pytest.mark.parametrize("size", [(3, 8, 1), (5, 16, 2), (6, 24, 3), (8, 64, 1)], ids=str)
def test_so_it_is_on_two_threads(size: tuple[int, int, int], two_threads: None) -> None:
    few = tiny.constant(steps=4, batch_size=64, **dict.fromkeys(tiny.TERMS, 0.1))
    training = of_size(size, **few)  # threads that share a busy processor wait for each other a long time
    alone = run(training, [7])
    for seeds in COMPANIES:
        assert_same_member(alone, 0, run(training, seeds), seeds.index(7))


def test_members_of_one_company_are_not_the_same() -> None:
    trained = run(tiny.training(), [0, 1, 2])
    assert not torch.equal(trained.params[0], trained.params[1])
    with pytest.raises(AssertionError):
        assert_same_member(trained, 0, trained, 1)


def test_the_order_of_seeds_is_the_order_of_members() -> None:
    forwards, backwards = run(tiny.training(), [0, 1, 2]), run(tiny.training(), [2, 1, 0])
    for i in range(3):
        assert_same_member(forwards, i, backwards, 2 - i)
    assert backwards.seeds == [2, 1, 0]


def test_the_same_specification_twice_gives_the_same_to_the_bit() -> None:
    record = Record(history_stride=7, snapshots=(0, 30), shown_members=2)
    one, other = (run(tiny.training(), [0, 1, 2], record) for _ in range(2))
    for i in range(3):
        assert_same_member(one, i, other, i)
    assert len(one.snapshots) == len(other.snapshots) == 3
    for a, b in zip(one.snapshots, other.snapshots, strict=True):
        assert a[0] == b[0]
        assert (a[1] == b[1]).all()
        assert (a[2] == b[2]).all()


def test_nothing_depends_on_a_global_seed_or_moves_it() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    one = run(tiny.training(), [0])
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    assert drawn == (torch.rand(1), np.random.rand())
    torch.manual_seed(1)
    assert torch.equal(one.params, run(tiny.training(), [0]).params)


def test_training_leaves_the_number_of_threads_as_it_was(two_threads: None) -> None:
    run(tiny.training(**tiny.constant(steps=1)), [0])
    assert torch.get_num_threads() == 2


# --- what is recorded ------------------------------------------------------------------------------------------------


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


# --- members that break ----------------------------------------------------------------------------------------------

SEEDS = list(range(12))
BREAKING: dict[str, dict[str, Any]] = {  # what overflows float32 depends on a member's weights and draws
    "a learning rate of a billion": tiny.constant(lr=1e9, steps=12),
    "the same beside a term": tiny.constant(lr=1e9, steps=12, unit_norm=1e-6),
}
PARTS = {
    "a learning rate of a billion": {"recon", None},
    "the same beside a term": {"recon", "unit_norm", None},
}
EACH_BREAKING = pytest.mark.parametrize("name", BREAKING)


@pytest.fixture(scope="module")
def breaking() -> Callable[[str], Trained]:
    kept: dict[str, Trained] = {}

    def get(name: str) -> Trained:
        if name not in kept:
            kept[name] = run(tiny.training(**BREAKING[name]), SEEDS)
        return kept[name]

    return get


@EACH_BREAKING
def test_a_member_that_breaks_names_its_step_and_the_part_of_the_loss(
    name: str, breaking: Callable[[str], Trained]
) -> None:
    trained = breaking(name)
    assert set(trained.broken_term) == PARTS[name]
    assert len(set(trained.broken_step.tolist())) >= 2
    for step, term, broken in zip(trained.broken_step, trained.broken_term, trained.broken, strict=True):
        assert broken == (step >= 0) == (term is not None)


@EACH_BREAKING
def test_the_others_go_on_as_if_they_were_alone(name: str, breaking: Callable[[str], Trained]) -> None:
    trained = breaking(name)
    for i, seed in enumerate(SEEDS):
        assert_same_member(run(tiny.training(**BREAKING[name]), [seed]), 0, trained, i)


@EACH_BREAKING
def test_history_ends_for_a_member_where_it_broke(name: str, breaking: Callable[[str], Trained]) -> None:
    trained = breaking(name)
    rows = history(trained)
    for i, at in enumerate(trained.broken_step):
        totals = np.array([rows[step, "loss", "total"][i] for step in range(12)])
        finite = np.isfinite(totals)
        assert finite.all() if at < 0 else (finite[:at].all() and not finite[at:].any())


def test_a_broken_member_stands_still_from_the_step_on_where_it_broke() -> None:
    tables = BREAKING["the same beside a term"]
    trained = run(tiny.training(**tables), SEEDS)
    assert trained.broken.any()
    for step in set(trained.broken_step[trained.broken].tolist()):
        shorter = {**tables, "schedule": {**tables["schedule"], "steps": step}}
        there = trained.broken_step == step
        np.testing.assert_array_equal(trained.params[there], run(tiny.training(**shorter), SEEDS).params[there])


def test_ordinary_training_breaks_nobody() -> None:
    trained = run(tiny.training(), SEEDS)
    assert trained.broken_step.tolist() == [-1] * 12
    assert trained.broken_term == [None] * 12
    assert torch.isfinite(trained.params).all()
