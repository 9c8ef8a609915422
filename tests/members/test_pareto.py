"""The front over seeds and the member that is chosen: laws, and the verb."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from command import Said
from conftest import TinyStore

import prepe
from prepe import members, store
from prepe.errors import PrepeError
from prepe.figures import stacked
from prepe.members import Members, front, ranked, shown, undominated

Make = Callable[..., Members]
Cli = Callable[..., Said]


def test_the_front_is_what_no_other_row_dominates() -> None:
    costs = np.random.default_rng(0).integers(0, 5, size=(60, 3)).astype(float)

    def dominated(row: np.ndarray) -> bool:
        return any((other <= row).all() and (other < row).any() for other in costs)

    expected = [not dominated(row) for row in costs]
    assert 0 < sum(expected) < 60
    assert undominated(costs).tolist() == expected


def test_of_equal_rows_all_are_on_the_front_or_none() -> None:
    assert undominated(np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_the_order_of_the_members_does_not_matter() -> None:
    costs = np.random.default_rng(1).normal(size=(30, 2))
    order = np.random.default_rng(2).permutation(30)
    np.testing.assert_array_equal(undominated(costs[order]), undominated(costs)[order])


SCORES = [0.2, 0.9, 0.5, 0.9, 0.1, 0.7, 0.6, 0.3]
ERRORS = [8e-3, 7e-3, 3e-3, 9e-3, 9e-3, 5e-3, 4e-3, 2e-3]


def of_scores(make: Make, broken: tuple[int, ...] = (), **more: Any) -> Members:
    return make(seeds=list(range(10, 18)), broken=broken, recon_mse=ERRORS, ablate={"score_r2": SCORES, **more})


def test_the_best_scores_of_the_front_are_shown_and_the_first_is_chosen(make: Make) -> None:
    found = front(of_scores(make))
    assert found.front == [11, 15, 16, 12, 17]  # 13 scores as 11 does and errs more
    assert found.chosen == found.best[0] == 11
    assert "highest score_r2 of ablate among 8 members" in found.rule
    assert [row["score_r2"] for row in found.rows()] == [0.9, 0.7, 0.6, 0.5, 0.3]
    assert found.minimized == ("recon_mse",)


def test_five_are_shown_at_most(make: Make) -> None:
    found = front(make(seeds=list(range(9)), recon_mse=range(9), ablate={"score_r2": range(9)}))
    assert (len(found.front), found.best) == (9, [8, 7, 6, 5, 4])


def test_a_broken_member_is_never_chosen_and_never_dropped(make: Make) -> None:
    found = front(of_scores(make, broken=(11, 13)))
    assert found.chosen == 15
    assert found.columns["score_r2"][1] == 0
    assert len(found.columns["recon_mse"]) == 8
    worst = make(seeds=[0, 1], broken=(0,), recon_mse=[1.0, 1.0], ablate={"score_r2": [0.0, 0.0]})
    assert front(worst).chosen == 1
    with pytest.raises(PrepeError, match="every member broke"):
        front(make(seeds=[0], broken=(0,), recon_mse=[1.0], ablate={"score_r2": [0.0]}))


def test_a_metric_that_is_better_low_chooses_the_lowest(make: Make) -> None:
    found = front(of_scores(make, collateral=SCORES), by="collateral")
    assert found.chosen == 14
    assert found.rule.startswith("the lowest collateral")


@pytest.mark.parametrize(
    ("terms", "minimized"),
    [
        (["anchor", "separate", "subspace"], ["val:anchor"]),  # as in 2.4.1
        (["anchor", "anti_anchor", "anti_subspace"], ["val:anchor", "val:anti_anchor"]),  # 2.9.1
        (["separate", "subspace"], ["val:subspace"]),  # 2.7.1
        (["separate", "unit_norm"], []),
    ],
)
def test_terms_that_place_a_concept_are_minimized_by_default(
    terms: list[str], minimized: list[str], make: Make
) -> None:
    one = make(
        seeds=[0, 1], recon_mse=[1.0, 2.0], terms={each: [1.0, 2.0] for each in terms}, ablate={"score_r2": [1, 0]}
    )
    assert front(one).minimized == ("recon_mse", *minimized)


def test_of_equal_scores_the_first_seed_comes_first_and_no_score_is_last() -> None:
    assert ranked([4, 3, 2, 1], np.array([0.5, np.nan, 0.9, 0.9])) == [1, 2, 4, 3]
    assert ranked([4, 3, 2, 1], np.array([0.5, np.nan, 0.9, 0.9]), lowest=True) == [4, 1, 2, 3]


def test_validation_terms_are_minimized_unless_something_else_is_asked_for(make: Make) -> None:
    one = make(
        seeds=[0, 1, 2],
        recon_mse=[2.0, 2.0, 2.0],
        terms={"anchor": [3.0, 2.0, 1.0]},
        ablate={"score_r2": [0.9, 0.8, 0.7], "collateral": [1.0, 1.0, 1.0]},
    )
    assert front(one).front == [0, 1, 2]
    assert front(one).minimized == ("recon_mse", "val:anchor")
    assert front(one, minimize=["recon_mse", "collateral"]).front == [0]


def test_the_shown_member_is_the_chosen_one_whatever_is_minimized(make: Make) -> None:
    one = of_scores(make)
    assert shown(one) == front(one).chosen == front(one, minimize=["broken"]).chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "score_r3"}, "--by score_r3: unknown metric 'score_r3' (did you mean 'score_r2'?)"),
        ({"by": "damage"}, "--by damage: neither more nor less of it is better"),
        ({"by": "recover_auc"}, "'recover_auc' was not measured; allowed: score_r2"),
        ({"intervention": "ablated"}, "unknown intervention 'ablated' (did you mean 'ablate'?)"),
        ({"minimize": ["val:anker"]}, "unknown metric 'val:anker'"),
        ({"minimize": ["recon_mze"]}, "--minimize recon_mze: unknown metric 'recon_mze' (did you mean 'recon_mse'?)"),
        ({"minimize": ["task_cost"]}, "'task_cost' was not measured; allowed: recon_mse, broken"),
    ],
)
def test_what_cannot_be_ranked_is_refused(options: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(PrepeError) as error:
        front(of_scores(make), **options)
    assert message in str(error.value)


def test_a_trial_without_interventions_has_no_front(make: Make) -> None:
    with pytest.raises(PrepeError, match="it has no intervention to score"):
        front(make(seeds=[0], recon_mse=[0.1]))


# --- on stored members ------------------------------------------------------------------------------------------------


def test_the_summary_is_of_all_members(tiny_store: TinyStore) -> None:
    found = members.find(tiny_store.root, tiny_store.trials[0])
    rows = {row["quantity"]: row for row in members.summary(found, front(found), tiny_store.root)}
    scores = found.values("score_r2", "suppress")
    assert rows["score_r2"]["mean"] == pytest.approx(scores.mean())
    assert rows["score_r2"]["sd"] == pytest.approx(scores.std(ddof=1))
    assert (rows["seed"]["min"], rows["seed"]["max"]) == (0, 2)
    used = store.query(tiny_store.root, f"FROM models WHERE model = '{found.spec.training.digest()}'").to_pylist()
    assert rows["labels_used:red"]["max"] == max(dict(row["labels_used"])["red"] for row in used)
    assert rows["train_s"]["mean"] > 0
    assert {"recon_mse", "val:anchor", "val:separate", "label_n_drawn"} <= rows.keys()


def test_figures_show_the_chosen_member(tiny_store: TinyStore) -> None:
    for trial in tiny_store.trials:
        found = members.find(tiny_store.root, trial)
        effects = store.read(tiny_store.root, "effects", names=f"{trial}-*")
        assert stacked.shown(effects) == front(found).chosen == shown(found)


def test_a_sweep_of_several_trials_is_no_trial(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    said = prepe_cli("front", "tiny", "--results", tiny_store.root)
    assert (said.code, said.out) == (2, "")
    assert "tiny: 3 trials; allowed: one of " in said.err
    assert tiny_store.trials[0] in said.err


def test_the_verb_prints_the_front_the_choice_and_the_summary(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    trial = tiny_store.trials[0]
    found = prepe.front(trial, tiny_store.root, by="score_ccc", intervention="ablate", minimize=["val:anchor"])
    options = ("--by", "score_ccc", "--intervention", "ablate", "--minimize", "val:anchor")
    said = prepe_cli("front", trial[:6], *options, "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    assert f"chosen: member {found.chosen}, the highest score_ccc of ablate among 3 members" in said.out
    first = said.out.splitlines()[2].split()
    assert first[:2] == [str(found.best[0]), f"{found.columns['score_ccc'][found.best[0]]:.4g}"]
    assert "label_n_drawn" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0000",), "none of the 3 trials"),
        (("tiny:left",), "unknown variant 'left'; allowed: none"),
        (("TRIAL", "--intervention", "erase"), "unknown intervention 'erase'; allowed: suppress, ablate"),
        (("TRIAL", "--by", "score"), "--by score: unknown metric"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    given = [tiny_store.trials[0] if each == "TRIAL" else each for each in arguments]
    said = prepe_cli("front", *given, "--results", tiny_store.root)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
