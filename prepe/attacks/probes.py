"""What is known of items, and what they are, in; how well linear probes tell the one from the other, out.

One member's at a time, so that it is fitted the same alone and among others; nothing here needs torch.

Source: Voita and Titov, arXiv:2003.12298, for the online code; Hewitt and Liang, arXiv:1909.03368, for control tasks.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

_RIDGE, _PRIOR = 1e-3, 1.0
_STEPS, _HALVINGS, _CONVERGED = 25, 8, 1e-6
_ROUNDING = 1e-6
"""A spread below this share of the largest one is rounding, not information."""


def standardized(x: np.ndarray, fit: np.ndarray | None = None) -> np.ndarray:
    """Return columns with mean 0 and spread 1, or 0 where all that differs is rounding.

    Args:
        x: `(items, width)`.
        fit: the items whose means and spreads are used, all by default.
    """
    known = x if fit is None else x[fit]
    spread = known.std(0)
    apart = spread > _ROUNDING * max(float(spread.max()), _ROUNDING * float(np.abs(known).max()))
    return np.asarray((x - known.mean(0)) * apart / np.where(apart, spread, 1.0))


def ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit y by a linear function, `(width + 1,)` with its offset last.

    argmin |y - x w - b|^2 + n r |w|^2, r = 0.001

    Args:
        x: standardized, `(items, width)`.
        y: `(items,)`.
    """
    mean = x.mean(0)
    centred = x - mean
    weights = np.linalg.solve(centred.T @ centred + _RIDGE * len(x) * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    return np.append(weights, y.mean() - mean @ weights)


def logistic(x: np.ndarray, y: np.ndarray, importance: np.ndarray | None = None, prior: float = 0.0) -> np.ndarray:
    """Fit labels by a logistic function, `(width + 1,)` with its offset last, by Newton's method.

    argmin sum_i a_i log(1 + exp(-(2 y_i - 1) f_i)) + |w|^2 / 2 + (b - prior)^2 / 2, f = x w + b

    Args:
        x: standardized, `(items, width)`.
        y: 0 or 1, `(items,)`.
        importance: a, `(items,)`; all 1 by default.
        prior: log odds where nothing is known.
    """
    design = np.column_stack([x, np.ones(len(x))])
    weights = np.append(np.zeros(x.shape[1]), prior)
    centre, a = weights.copy(), np.ones(len(x)) if importance is None else importance

    def loss(at: np.ndarray, logits: np.ndarray) -> float:
        return float((a * _nats(logits, y)).sum() + _PRIOR * ((at - centre) ** 2).sum() / 2)

    logits = design @ weights
    now = loss(weights, logits)
    for _ in range(_STEPS):
        chance = expit(logits)
        slope = design.T @ (a * (chance - y)) + _PRIOR * (weights - centre)
        curvature = (design * (a * chance * (1 - chance))[:, None]).T @ design + _PRIOR * np.eye(len(weights))
        step = np.linalg.solve(curvature, slope)
        for halved in range(_HALVINGS):
            there = weights - step / 2**halved
            further = design @ there
            if (value := loss(there, further)) <= now:
                break
        else:
            break
        done = now - value <= _CONVERGED * now
        weights, logits, now = there, further, value
        if done:
            break
    return weights


def balanced(y: np.ndarray) -> np.ndarray:
    """Return importances that give both labels half of the sum, which is the number of items, `(items,)`."""
    share = np.clip(y.mean(), 1 / len(y), 1 - 1 / len(y))
    return np.where(y > 0, 0.5 / share, 0.5 / (1 - share))


def predicted(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what a fitted function says of items, `(items, width) -> (items,)`."""
    return np.asarray(x @ weights[:-1] + weights[-1])


def r2(y: np.ndarray, guess: np.ndarray) -> float:
    """Return the share of the variance that is explained; 0, not less, where the mean would have explained more."""
    spread = ((y - y.mean()) ** 2).sum()
    return float(max(0.0, 1 - ((y - guess) ** 2).sum() / spread)) if spread > 0 else 0.0


def auroc(y: np.ndarray, guess: np.ndarray) -> float:
    """Return the chance that an item with the label is put above one without; ties count half."""
    ranks, positive = rankdata(guess), y > 0
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(y) - n)))


def balanced_accuracy(y: np.ndarray, logits: np.ndarray) -> float:
    """Return the mean of the shares of items with the label, and of those without, that are told right."""
    return float(((logits > 0)[y > 0].mean() + (logits <= 0)[y == 0].mean()) / 2)


def compression(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> float:
    """Return how much shorter labels become by an online code that sees the items: n H(y) / L.

    Items come in the order given, with the frequency that labels have (a natural stream), in blocks that end at 1, 2,
    4, ..., 64 and 100 per cent. Each block is coded by the logistic probe of those before it, and the first by the
    frequency alone, which H(y) knows too; so nothing is gained from noise but the chance of it.

    Args:
        x: `(items, width)`.
        y: 0 or 1, `(items,)`.
        order: a permutation of the items.
    """
    x, y = standardized(x)[order], y[order]
    share = y.mean()
    prior = float(np.log(share / (1 - share)))
    ends = [*(int(np.ceil(len(y) * 2**k / 100)) for k in range(7)), len(y)]
    weights, length = np.append(np.zeros(x.shape[1]), prior), 0.0
    for start, end in zip([0, *ends], ends, strict=False):
        length += float(_nats(predicted(x[start:end], weights), y[start:end]).sum())
        if end < len(y):
            weights = logistic(x[:end], y[:end], prior=prior)
    return float(_nats(np.full(len(y), prior), y).sum() / length)


def control_gap(
    x: np.ndarray, y: np.ndarray, fit: np.ndarray, test: np.ndarray, shuffled: Sequence[np.ndarray]
) -> float:
    """Return how much better held-out labels are told than labels that have nothing to do with the items.

    Balanced accuracy of a probe, less the mean of those of the same probe on shuffled labels; 0 where it only fits.

    Args:
        x: standardized, `(items, width)`.
        y: 0 or 1, `(items,)`.
        fit, test: items to fit and to test on.
        shuffled: permutations of the items, which mix the fitted among themselves, and the tested ones.
    """

    def accuracy(labels: np.ndarray) -> float:
        weights = logistic(x[fit], labels[fit], balanced(labels[fit]))
        return balanced_accuracy(labels[test], predicted(x[test], weights))

    return accuracy(y) - float(np.mean([accuracy(y[order]) for order in shuffled]))


def norm_channel(after: np.ndarray, aligned: np.ndarray) -> float:
    """Return how far the length of the edited latents tells how aligned they were before.

    corr(|z'|^2, max(0, cos)^2)^2; 0 where either is the same everywhere, but for rounding

    Args:
        after: `(items, width)`.
        aligned: cosines with the direction before the edit, `(items,)`.
    """
    energy, expected = (after**2).sum(-1), np.maximum(aligned, 0) ** 2
    if energy.std() <= _ROUNDING * energy.mean() or expected.std() <= _ROUNDING:
        return 0.0
    energy, expected = energy - energy.mean(), expected - expected.mean()
    return float((energy @ expected) ** 2 / ((energy @ energy) * (expected @ expected)))


def _nats(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, np.where(y > 0, -logits, logits))
