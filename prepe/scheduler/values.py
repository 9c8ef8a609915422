"""A schedule without rules as a table."""

import numpy as np

from prepe import keyframes
from prepe.keyframes import Schedule


def table(schedule: Schedule, names: list[str]) -> np.ndarray:
    """Return the value of each named parameter at each update, `(updates, names)`, in float64.

    The last update uses the last step's values, or those of the step before it when `final_step` is `"repeat"`.
    """
    steps = keyframes.update_steps(schedule)
    return np.stack([keyframes.values_at(schedule, name, steps) for name in names], axis=-1)
