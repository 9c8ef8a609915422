"""A member is the same alone, among others, and in a pack of trainings of one shape."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from prepe import train
from prepe.spec import Training
from prepe.sweep import Record

from .same import assert_same_member, history, run

SCHEDULE = {
    "keyframes": [
        {"step": 0, "lr": 0.01, "separate": 0.01, "anchor": 0, "anti_subspace": 0.25, "unit_norm": 0.01},
        {"step": 8, "anchor": 0.1, "anti_anchor": 0.05, "subspace": 0.1},
        {"step": 20, "lr": 0.05, "separate": 0, "anti_anchor": 0, "subspace": 0},
        {"step": 23, "lr": 0.01},
    ]
}
SIZES = [(3, 8, 1), (3, 64, 3), (5, 16, 2), (6, 24, 1)]
MORE_SIZES = [(8, 8, 3), (8, 64, 1), (4, 40, 3)]
COMPANIES = [[7, 8], [5, 6, 7, 8, 9], list(range(60))]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def of_size(size: tuple[int, int, int], **changes: Any) -> Training:
    latent, hidden, depth = size
    model = {"kind": "autoencoder", "latent_dim": latent, "hidden_dim": hidden, "depth": depth}
    return tiny.training(**{"schedule": SCHEDULE, "model": model, **changes})


def assert_alike_in_any_company(training: Training, companies: list[list[int]] = COMPANIES) -> None:
    alone = run(training, [7])
    for seeds in companies:
        assert_same_member(alone, 0, run(training, seeds), seeds.index(7))


@pytest.mark.parametrize(
    "size", [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in MORE_SIZES)], ids=str
)
def test_member_seven_alone_is_member_seven_among_others(size: tuple[int, int, int]) -> None:
    assert_alike_in_any_company(of_size(size))


@pytest.mark.parametrize("size", [(3, 8, 1), (5, 16, 2), (6, 24, 3), (8, 64, 1)], ids=str)
def test_so_it_is_on_two_threads(size: tuple[int, int, int], two_threads: None) -> None:
    few = tiny.constant(steps=4, batch_size=64, **dict.fromkeys(tiny.TERMS, 0.1))
    # threads that share a busy processor wait for each other a long time
    assert_alike_in_any_company(of_size(size, **few))


@pytest.mark.parametrize(
    ("batch_size", "normalize"), [(1, "unit"), (6, "none"), (7, "unit"), (10, "none"), (16, "unit"), (33, "none")]
)
def test_so_it_is_in_batches_of_any_size_and_with_every_function_of_a_model(batch_size: int, normalize: str) -> None:
    """Batches that do not fill the processor's registers, and functions that it knows by two ways."""
    own = {"normalize": normalize, "output": "sigmoid", "latent_dim": 4, "hidden_dim": 10}
    weights = dict.fromkeys(tiny.TERMS, 0.05)
    training = tiny.training(
        **tiny.constant(steps=20, batch_size=batch_size, **weights), model={"kind": "autoencoder", **own}
    )
    assert_alike_in_any_company(training, [[7, 8], list(range(32))])


@pytest.mark.parametrize(("batch_size", "normalize"), [(7, "unit"), (33, "none")])
def test_so_it_is_with_terms_that_decode_in_batches_of_any_size(batch_size: int, normalize: str) -> None:
    terms = {name: MANY[name] for name in ("anchor", "fallback", "fallback_off", "fallback_plane")}
    training = tiny.training(
        model={"kind": "autoencoder", "normalize": normalize, "latent_dim": 4, "hidden_dim": 10},
        terms=terms,
        schedule={
            "batch_size": batch_size,
            "steps": 20,
            "keyframes": [{"step": 0, "lr": 0.01, **dict.fromkeys(terms, 0.05)}],
        },
    )
    assert_alike_in_any_company(training, [[7, 8], list(range(32))])


def test_so_it_is_with_a_short_last_batch_of_an_epoch() -> None:
    data_part = {**tiny.TABLE["data"], "epoch": 39}
    assert_alike_in_any_company(of_size((4, 10, 1), data=data_part), [[7, 8], list(range(20))])


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
    record = Record(history_stride=7, snapshots=(0, 30), shown_members=3)
    one, other = (run(tiny.training(), [0, 1, 2], record) for _ in range(2))
    assert len(one.snapshots) == 3
    for i in range(3):
        assert_same_member(one, i, other, i)


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


# --- packs -----------------------------------------------------------------------------------------------------------

RECORD = Record(history_stride=1, checkpoints=(4, 14), snapshots=(0, 9), shown_members=2)
CAPTURED = {"kind": "anchor_captured", "items": ["red", "blue"]}
VECTOR = [0.5, -0.5, 0.5, 0.5]
MANY: dict[str, dict[str, Any]] = {
    **tiny.TERMS,
    "anchor_off": {"kind": "anchor", "direction": VECTOR},
    "captured": CAPTURED,
    "euclidean": {"kind": "anchor_euclidean", "direction": {"axis": 1}},
    "euclidean_off": {"kind": "anchor_euclidean", "direction": VECTOR, "labels": {"red": 1}},
    "fallback": {"kind": "fallback", "direction": {"axis": 0}},
    "fallback_off": {"kind": "fallback", "direction": VECTOR, "output": [0.5, 0, 1]},
    "fallback_plane": {"kind": "fallback", "direction": {"axes": [0, 1]}, "labels": {"vibrant": 1}},
    "norm": {"kind": "unit_norm", "site": "bottleneck"},
    "norm_vibrant": {"kind": "unit_norm", "site": "bottleneck", "labels": {"vibrant": 1}},
    "plane": {"kind": "planarity"},
    "repel": {"kind": "repel_euclidean", "axes": [0, 1]},
    "spread": {"kind": "separate", "power": 10, "shift": False},
}
"""Terms that share what they ask of a batch, so that gradients could be added up in another order without some."""
IDLE = [
    (),
    tuple(MANY),
    ("anchor", "anchor_off", "anti_anchor", "spread"),
    ("anti_subspace", "captured", "euclidean", "fallback", "norm", "repel", "separate"),
    ("captured", "fallback_off", "fallback_plane", "norm", "norm_vibrant", "plane", "subspace"),
    tuple(name for name in MANY if name not in ("anchor_off", "captured")),
    tuple(name for name in MANY if name not in ("anchor_off", "captured", "repel")),
]
"""Terms without weight, a training each."""


def packed(idle: tuple[str, ...], lr: float, normalize: str, batch_size: int = 10) -> Training:
    weights = {name: 0.0 if name in idle else 1e-4 if name == "repel" else 0.02 for name in MANY}
    return tiny.training(
        model={"kind": "autoencoder", "latent_dim": 4, "hidden_dim": 16, "normalize": normalize, "output": "sigmoid"},
        terms=MANY,
        schedule={
            "batch_size": batch_size,
            "steps": 16,
            "keyframes": [
                {"step": 0, "phase": "A", "lr": lr, **weights},
                {"step": 8, "phase": "B", "actions": ["anchor"], "separate": weights["separate"] / 2},
            ],
        },
    )


def assert_each_alone(trainings: list[Training], seeds: list[int]) -> None:
    pack = train.train_pack(trainings, seeds, device="cpu", record=RECORD)
    assert [each.seeds for each in pack] == [seeds] * len(trainings)
    for training, together in zip(trainings, pack, strict=True):
        alone = run(training, seeds, RECORD)
        for i in range(len(seeds)):
            assert_same_member(alone, i, together, i)


@pytest.mark.parametrize(
    ("members", "batch_size", "normalize"),
    [
        (4, 10, "unit"),
        (5, 64, "none"),
        pytest.param(4, 10, "none", marks=pytest.mark.slow),
        pytest.param(5, 64, "unit", marks=pytest.mark.slow),
    ],
)
def test_each_training_of_a_pack_is_that_training_alone_bit_for_bit(
    members: int, batch_size: int, normalize: str
) -> None:
    trainings = [packed(idle, 0.01 * (1 + i), normalize, batch_size) for i, idle in enumerate(IDLE)]
    assert len({train.shape(each) for each in trainings}) == 1
    assert_each_alone(trainings, list(range(3, 3 + members)))


def test_trainings_of_a_pack_are_not_the_same() -> None:
    pack = train.train_pack([packed(idle, 0.01, "none") for idle in IDLE[:2]], [0], device="cpu")
    with pytest.raises(AssertionError):
        assert_same_member(pack[0], 0, pack[1], 0)
    terms = [{name for _, quantity, name in history(each) if quantity == "term"} for each in pack]
    assert terms == [set(MANY), set()]


def test_equal_trainings_of_a_pack_are_equal() -> None:
    training = packed(IDLE[2], 0.01, "none")
    one, other = train.train_pack([training, training], [0, 1], device="cpu", record=RECORD)
    for i in range(2):
        assert_same_member(one, i, other, i)
    assert_each_alone([training], [0, 1])


def test_trainings_of_a_pack_may_open_their_data_differently() -> None:
    def opening(fraction: float) -> Training:
        return tiny.training(
            data={**tiny.TABLE["data"], "opened_by": {"vivid": "vibrancy"}, "weigh": True},
            schedule={
                "batch_size": 16,
                "steps": 20,
                "keyframes": [{"step": 0, "lr": 0.01, "vivid": fraction}, {"step": 19, "vivid": 0.9}],
            },
            terms={},
        )

    assert_each_alone([opening(0.0), opening(0.5), opening(0.9)], [0, 1, 2])


RULE = {"kind": "move", "name": "m", "measure": "recon", "below": 0.1, "parameter": "lr", "to": 0.0, "steps": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {**SCHEDULE, "steps": 25}},
        {"schedule": {**SCHEDULE, "batch_size": 32}},
        {"schedule": {**SCHEDULE, "final_step": "repeat"}},
        {"schedule": {**SCHEDULE, "timing": "linear"}},
        {"schedule": {"keyframes": [*SCHEDULE["keyframes"][:-1], {"step": 24, "lr": 0.01}]}},
        {"schedule": {"keyframes": [*SCHEDULE["keyframes"][:-1], {"step": 23, "lr": 0.01, "anchor": 0.1}]}},
        {"schedule": {"keyframes": [*SCHEDULE["keyframes"][:-1], {"step": 23, "lr": 0.01, "phase": "end"}]}},
        {"schedule": {**SCHEDULE, "rules": [RULE]}},
        {"data": {**tiny.TABLE["data"], "size": 5}},
        {"model": {"kind": "autoencoder", "latent_dim": 3, "hidden_dim": 9}},
        {"terms": {**tiny.TERMS, "separate": {"kind": "separate", "power": 99}}},
    ],
    ids=str,
)
def test_trainings_of_another_shape_are_refused(changes: dict[str, Any]) -> None:
    one, other = of_size((3, 8, 1)), of_size((3, 8, 1), **changes)
    assert train.shape(one) != train.shape(other)
    with pytest.raises(ValueError, match="differ in more than their schedules' values"):
        train.train_pack([one, other], [0], device="cpu")


def test_a_training_with_rules_shares_a_pack_with_itself_alone() -> None:
    ruled = [of_size((3, 8, 1), schedule={**SCHEDULE, "rules": [{**RULE, "below": b}]}) for b in (0.1, 0.1, 0.2)]
    assert train.shape(ruled[0]) == train.shape(ruled[1]) != train.shape(ruled[2])
    keyframes = [{**SCHEDULE["keyframes"][0], "lr": 0.02}, *SCHEDULE["keyframes"][1:]]
    other = of_size((3, 8, 1), schedule={"keyframes": keyframes, "rules": [{**RULE, "below": 0.1}]})
    assert train.shape(other) != train.shape(ruled[0])
    assert_each_alone(ruled[:2], [0, 1])
