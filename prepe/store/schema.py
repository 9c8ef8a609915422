"""The tables of a store: one declared, typed, versioned schema for each.

A model's rows are keyed by (model, seed), a trial's by (trial, seed); `block` names the run of seeds that was written
at once, in one file, and never again. A member is named by its seed.
"""

import pyarrow as pa

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, STAGE_METRICS

VERSION = 1

_text, _int, _real, _flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_by_name = pa.map_(_text, _int)
_reals_by_name = pa.map_(_text, _real)

_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    # one row a trained member
    "models": {
        "model": _text,
        "block": _text,
        "seed": _int,
        "spec": _text,  # canonical JSON of the training
        "weights": pa.list_(pa.float32()),  # all parameters, end to end
        "layout": _text,  # JSON: [[name, shape], ...] in the order of `weights`
        "broken": _flag,
        "broken_step": _int,
        "broken_term": _text,
        "labels_drawn": _by_name,  # label -> draws that carried it
        "labels_used": _by_name,  # label -> the same, while a term that uses it had weight
        "label_n_drawn": _int,
        "label_n_used": _int,
        "final_parts": _reals_by_name,  # recon, total, term -> its mean over the last 200 updates
        "phase_spikes": _reals_by_name,  # step of a phase's start -> peak of the loss after over its median before
        "steps": _int,
        "wall_s": _real,  # of the whole block
        "cpu_s": _real,  # of the whole block
        "members_in_block": _int,
        "device": _text,
        "cpu_capability": _text,
        "threads": _int,
        "versions": _text,  # JSON: package -> version
        "git_commit": _text,
        "created": pa.timestamp("us", tz="UTC"),
    },
    # one row a step of the stride and a quantity, over the members of a block
    "history": {
        "model": _text,
        "block": _text,
        "step": _int,
        "quantity": _text,  # "loss" | "term" | "hyperparameter" | "label" | "rule" (how often it has acted)
        "name": _text,  # recon, total, or the name of a term, hyperparameter or label
        "members": _int,  # how many have a finite value
        "mean": _real,
        "q05": _real,
        "q25": _real,
        "median": _real,
        "q75": _real,
        "q95": _real,
    },
    # weights of all members on the way, after so many updates; phase: the one that ended there, if one did
    "checkpoints": {
        "model": _text,
        "block": _text,
        "seed": _int,
        "step": _int,
        "phase": _text,
        "weights": pa.list_(pa.float32()),
    },
    # latents of shown members at chosen steps, before that step's update; the last is after training
    "snapshots": {
        "model": _text,
        "block": _text,
        "seed": _int,
        "step": _int,
        "item": _text,
        "x": pa.list_(pa.float32()),  # the item itself
        "y": pa.list_(pa.float32()),  # its reconstruction
        "latent": pa.list_(pa.float32()),
    },
    # one row a trial and block of seeds: what was evaluated and what it cost
    "trials": {
        "trial": _text,
        "block": _text,
        "model": _text,
        "twin": _text,
        "spec": _text,  # canonical JSON of the trial
        "seeds": pa.list_(_int),
        "train_s": _real,
        "twin_train_s": _real,
        "evaluate_s": _real,
        "wall_s": _real,
        "cpu_s": _real,
        "peak_mb": _real,
        "device": _text,
        "cpu_capability": _text,
        "versions": _text,
        "git_commit": _text,
        "created": pa.timestamp("us", tz="UTC"),
    },
    "members": {
        "trial": _text,
        "block": _text,
        "model": _text,
        "seed": _int,
        **dict.fromkeys(MEMBER_METRICS, _real),
        "twin_mse": _real,
        "final_parts": _reals_by_name,
        "phase_spikes": _reals_by_name,
        "val_terms": _reals_by_name,  # term -> its value on the validation items
        "broken_step": _int,
        "broken_term": _text,
    },
    # one row a member and checkpoint: what its weights were worth there
    "stages": {
        "trial": _text,
        "block": _text,
        "model": _text,
        "seed": _int,
        "step": _int,
        "phase": _text,
        **dict.fromkeys(STAGE_METRICS, _real),
    },
    "effects": {
        "trial": _text,
        "block": _text,
        "model": _text,
        "seed": _int,
        "intervention": _text,
        "concept": _text,
        "direction": _text,
        "operator": _text,
        "parameters": _text,  # JSON of the operator's own parameters
        "site": _text,
        "power": _real,
        "similarity": _text,
        "other_similarity": _text,  # the one of score_ccc_other
        "ideal_damage": _real,  # D*
        "source": _text,  # of the direction: "prescribed", "given" for this intervention alone, or how it was found
        **dict.fromkeys(EFFECT_METRICS, _real),
        "recover_curve": pa.list_(_real),  # mean error on held-out target items during the attack, in units of D*
        "recover_at": pa.list_(_int),  # after so many updates
    },
    # named items of every member; every item of the reference grid and of the task's views for shown members
    "items": {
        "trial": _text,
        "block": _text,
        "seed": _int,
        "intervention": _text,
        "set": _text,  # "named" | "reference" | the name of a view
        "item": _text,
        "x": pa.list_(pa.float32()),
        "similarity": _real,
        "other_similarity": _real,
        "error_before": _real,
        "error_after": _real,
        "y_before": pa.list_(pa.float32()),
        "y_after": pa.list_(pa.float32()),
        "latent_before": pa.list_(pa.float32()),
        "latent_after": pa.list_(pa.float32()),
    },
    # one row a configuration that a sweep asked for; written last, so its existence means that the trial is done
    "proposals": {
        "sweep": _text,
        "digest": _text,  # of the sweep file's version that it was judged by; null where written before there were any
        "number": _int,
        "trial": _text,
        "params": _text,  # JSON: parameter -> value
        "generation": _int,  # how many trials had ended when it was proposed
        "state": _text,  # "complete" | "failed"
        "feasible": _flag,
        "members": _int,
        "first_seed": _int,
        "objectives": _reals_by_name,
        "goals": pa.map_(_text, _text),  # objective -> "maximize" | "minimize"; the first is the one to sort by
        "constraints": _reals_by_name,  # by how much each bound is broken; zero or less holds
        "error": _text,
        "busy_s": _real,  # of the worker, from taking the proposal to writing this row
        "created": pa.timestamp("us", tz="UTC"),
        # what it was worth with fewer members, where halving chooses who gets more: one a rung that it has reached
        "rungs": pa.list_(pa.struct({"members": _int, "measure": _text, "value": _real, "feasible": _flag})),
    },
}

SCHEMAS: dict[str, pa.Schema] = {
    table: pa.schema(columns, metadata={"prepe_schema": str(VERSION), "prepe_table": table})
    for table, columns in _COLUMNS.items()
}
