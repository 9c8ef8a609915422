"""Named numbers about members, and about what an intervention did to them."""

from dataclasses import dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Metric:
    """A named number: its meaning, which way is better, and what a broken member counts as."""

    doc: str
    goal: Literal["max", "min", "gate"]
    worst: float


EFFECT_METRICS: dict[str, Metric] = {
    "score_r2": Metric("pearson(s^p, E1)^2 on the reference's grid; reported, never optimised alone", "max", 0.0),
    "score_ccc": Metric("concordance of the damage with the ideal response D* s^p (Lin 1989)", "max", -1.0),
    "score_ccc_other": Metric("score_ccc by another similarity of the same items", "max", -1.0),
    "damage": Metric("mean damage on target items", "gate", 0.0),
    "damage_frac": Metric("damage as a share of the ideal damage", "gate", 0.0),
    "damage_min": Metric("damage of the least damaged target item", "max", 0.0),
    "collateral": Metric("mean damage on bystanders", "min", 1.0),
    "collateral_p95": Metric("95th percentile of damage over bystanders", "min", 1.0),
    "collateral_max": Metric("largest damage of a bystander", "min", 1.0),
    "sel_log": Metric("log10 of damage over collateral, each plus 1e-4", "max", -4.0),
    "cause_isolate": Metric("mean of bounded damage and bounded absence of collateral", "max", 0.0),
    "falloff_cal": Metric("mean distance to the ideal response, in units of D*", "min", 4.0),
    "falloff_slope": Metric("slope of damage on s^p, in units of D*", "gate", 0.0),
    "falloff_offset": Metric("damage where s = 0, by the same regression", "min", 1.0),
    "anchor_cos": Metric("cosine of the concept's latent with its direction", "max", -1.0),
    "axis_purity": Metric("mean squared alignment of bystanders with the direction", "min", 1.0),
    "bound_ccc": Metric(
        "concordance of the damage with D* max(0, cos)^2, predicted before the intervention", "max", -1.0
    ),
    "bound_gap": Metric("largest excess of an item's damage over that prediction", "min", 1.0),
    "dir_cos": Metric("absolute cosine of a direction found afterwards with the prescribed one", "max", 0.0),
    "dir_skill": Metric("dir_cos beyond a random direction's: 1 is best, 0 chance", "max", -1.0),
    "leak_lin": Metric("what a linear probe reads of s after, beyond bystanders, as a share of before", "min", 1.0),
    "leak_mlp": Metric("what a perceptron reads of s after, beyond bystanders, as a share of before", "min", 1.0),
    "leak_lin_auroc": Metric("held-out AUROC of a linear probe for target items after", "min", 1.0),
    "leak_mlp_auroc": Metric("held-out AUROC of a perceptron for target items after", "min", 1.0),
    "leak_ctrl": Metric("balanced accuracy of the linear probe, less that on shuffled labels", "min", 1.0),
    "leak_mdl": Metric(
        "compression of the target labels by a linear probe that learns as it codes; 1 is none", "min", 100.0
    ),
    "leak_cert": Metric("1 - error of a new decoder on target items, in units of D*; 0 at least", "min", 1.0),
    "leak_norm": Metric("squared correlation of the length that is left with the alignment before", "min", 1.0),
    "recover_steps": Metric("updates of the attack until target items err less than D*/10; at most all", "max", 0.0),
    "recover_auc": Metric("mean error on target items during the attack, in units of D*", "max", 0.0),
    "rebound": Metric("share of the error on target items that the attack undoes", "min", 1.0),
}

MEMBER_METRICS: dict[str, Metric] = {
    "recon_mse": Metric("reconstruction error on validation items, clamped output", "min", 1.0),
    "task_cost": Metric("log10 of reconstruction error over that of the unregularised twin", "min", 6.0),
    "anchor_cos": Metric("smallest cosine of a concept's latent with its prescribed direction", "max", -1.0),
    "anchor_fail": Metric("1 if a concept is not where it was pinned: 1 - cos > 0.3", "min", 1.0),
    "recon_fail": Metric("1 if reconstruction is broken: MSE > 0.01", "min", 1.0),
    "isolation_fail": Metric("1 if an isolated axis is not reserved: axis_purity^0.5 > 0.3", "min", 1.0),
    "broken": Metric("1 if training stopped on a non-finite loss", "min", 1.0),
    "anchor_distance": Metric("largest distance of a concept's latent from the end of its direction", "min", 4.0),
    "norm_deviation": Metric("mean of (|z| - 1)^2 over validation items", "min", 4.0),
    "norm_mean": Metric("mean of |z| over validation items", "gate", 0.0),
    "bunching": Metric("length of the mean of z/|z| over validation items; 1 when all lie on one spot", "min", 1.0),
    "ring_order": Metric("share of steps around the cycle that go its way round; 1 when in order", "max", 0.0),
    "ring_winding": Metric("turns that the cycle's angles make, without sign", "gate", 0.0),
    "ring_spacing_rad": Metric("largest deviation of an angle from its place, from the first item", "min", 3.142),
    "ring_gap_rad": Metric("largest angle between neighbours on the cycle", "min", 6.284),
    "ring_line": Metric("absolute correlation of unwrapped angles with places on the cycle", "max", 0.0),
    "ring_radius": Metric("mean distance of the cycle's items from the middle, in its plane", "gate", 0.0),
    "ring_radius_min": Metric("the least of these", "max", 0.0),
    "off_plane": Metric("mean energy of the cycle's items outside its plane", "min", 4.0),
    "off_plane_all": Metric("mean energy of validation items outside the cycle's plane", "gate", 4.0),
    "grade_radius": Metric("rank correlation of the cycle's grade with the radius in its plane", "max", -1.0),
    "grade_off_plane": Metric("rank correlation of the cycle's grade with the length outside its plane", "min", 1.0),
    "loss_final": Metric("mean weighted loss over the last 200 updates", "min", 1e6),
    "spike_max": Metric("peak loss of 60 updates from a phase start over the median of the 50 before", "min", 1e6),
    "label_rate": Metric("expected share of draws that carry a label", "min", 1.0),
    "label_n_drawn": Metric("draws that carried a label", "min", float("inf")),
    "label_n_used": Metric("labelled draws seen while a term that uses the label had weight", "min", float("inf")),
}

Statistic = Literal["median", "q25", "q75", "mean", "sd", "worst_decile", "rate", "min", "max"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)

STAGE_METRICS = (
    "recon_mse",
    "anchor_cos",
    "anchor_distance",
    "norm_deviation",
    "norm_mean",
    "bunching",
    "ring_order",
    "ring_winding",
    "ring_spacing_rad",
    "ring_gap_rad",
    "ring_line",
    "ring_radius",
    "ring_radius_min",
    "off_plane",
    "off_plane_all",
    "grade_radius",
    "grade_off_plane",
)
"""Metrics of members that are measured at checkpoints too: those that a model's weights alone decide."""
