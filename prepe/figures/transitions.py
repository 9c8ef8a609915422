"""How a hyperparameter moves: states over steps in; value, velocity and acceleration, and a value retargeted, out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from prepe.figures import style
from prepe.keyframes import Property, State, Transition

Curves = Mapping[str, np.ndarray]
TITLE = "Minimum-jerk transitions"
_SAYS = "Wherever a value is and however fast it moves, it comes to rest at its target when the duration is over."
STARTS = {
    "low, at rest": State(0.0),
    "high, at rest": State(2.0),
    "low, rising": State(0.0, 3.0),
    "high, falling": State(2.0, -2.0),
    "at the target, rising fast": State(1.0, 5.0),
}
"""Where the published example's curves start; velocities by duration."""
TARGETS = ((0, 0.5), (40, 0.75), (60, 0.0), (120, 1.0))
"""The published example of a retargeted value: at a step, a new target."""


def published_curves(duration: int = 100, steps: int = 120) -> dict[str, np.ndarray]:
    """Return the states of curves to 1, name -> `(steps, 3)`: value, and velocity and acceleration by duration."""
    scale = np.array([1.0, duration, duration**2])
    return {
        name: np.array(
            [Transition(State(start.value, start.velocity / duration), 1.0, duration).at(step) for step in range(steps)]
        )
        * scale
        for name, start in STARTS.items()
    }


def published_moves(duration: int = 50, steps: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets and the values of a property that starts at 0.1, `(steps,)` each: set, one step on, noted."""
    moving, targets = Property(0.1, duration), dict(TARGETS)
    wanted, values = np.empty(steps), np.empty(steps)
    for step in range(steps):
        moving.set(targets.get(step))
        moving.step()
        wanted[step], values[step] = moving.target, moving.value
    return wanted, values


def draw(curves: Curves, duration: int, targets: np.ndarray, values: np.ndarray) -> Figure:
    """Draw transitions to one target above, and a value that is given new targets on its way below.

    Args:
        curves: name -> value, velocity and acceleration at each step, `(steps, 3)`.
        duration: of every curve, in steps.
        targets: at each step, `(steps,)`.
        values: at each step, `(steps,)`.
    """
    figure, parts = style.page(TITLE, _SAYS, [6.0, 2.7])
    style.panel(parts[0], "a", f"From five states to 1, in {duration} steps")
    _curves(parts[0], curves, duration)
    style.panel(parts[1], "b", "A value whose target changes before it has arrived keeps its momentum")
    _moves(parts[1].subplots(), targets, values)
    return figure


def alt_text(curves: Curves, duration: int, targets: np.ndarray, values: np.ndarray) -> str:
    """Say in words and numbers what `draw` shows of the same curves."""
    what = "value, velocity and acceleration, by duration"
    lines = [f"{TITLE}. {_SAYS}", f"{len(curves)} curves to 1 in {duration} steps: {what}."]
    for name, states in curves.items():
        on = states[: duration + 1, 0]
        lines.append(
            f"{name}: starts at {on[0]:g}, is {on[duration // 2]:.3f} half-way, lies between {on.min():.3f} and "
            f"{on.max():.3f}, ends at {states[-1, 0]:g} with velocity {states[-1, 1]:g}."
        )
    changes = [0, *(np.flatnonzero(np.diff(targets)) + 1)]
    lines.append(
        "Below, a value with new targets: "
        + "; ".join(f"{targets[at]:g} from step {at}, when it is {values[at]:.3f}" for at in changes)
        + f"; at the end it is {values[-1]:g}."
    )
    return "\n".join(lines)


def _curves(figure: FigureBase, curves: Curves, duration: int) -> None:
    panels: Sequence[Axes] = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (2, 1.4, 1.4)})
    for i, (axes, what) in enumerate(zip(panels, ("value", "velocity", "acceleration"), strict=True)):
        axes.axhline(1.0 if i == 0 else 0.0, color=style.muted(), ls="--", lw=1)
        axes.axvline(1.0, color=style.muted(), ls="--", lw=1)
        for (name, states), (color, dash) in zip(curves.items(), style.marks(list(curves)).values(), strict=True):
            axes.plot(np.arange(len(states)) / duration, states[:, i], color=color, ls=dash, label=name)
        axes.set_ylabel(what)
        axes.locator_params(axis="y", nbins=5)
    panels[-1].set_xlabel("time, by duration")
    panels[0].legend(loc="upper right", borderaxespad=0, frameon=True, facecolor=style.paper(), edgecolor="none")


def _moves(axes: Axes, targets: np.ndarray, values: np.ndarray) -> None:
    steps = np.arange(len(values))
    axes.step(steps, targets, where="post", color=style.muted(), ls="--", lw=1.3, label="target")
    axes.plot(steps, values, color=style.palette()[0], label="value")
    axes.set(xlabel="step", ylabel="value")
    axes.legend(loc="upper left", ncols=2)
    axes.set_ylim(-0.08, 1.25)
