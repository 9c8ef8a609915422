"""Steps as they are written, some relative to others; steps as numbers out.

Source: the dopesheet of z0u/ex-preppy, experiment 1.4.
"""

import re

STEP_FORMS = "allowed: a step, '+10' or '-1' steps from, or '+0.5' of the way between, the nearest absolute ones"
_ABSOLUTE = re.compile(r"\d{1,18}", re.ASCII)
_COUNT = re.compile(r"([+-])([1-9]\d{0,17})", re.ASCII)
_SHARE = re.compile(r"([+-])(0?\.\d+)", re.ASCII)


def resolve(written: list[str]) -> list[int | None]:
    """Return the number of each step; None where it cannot be resolved.

    `N` is itself, an anchor. `+N` and `-N` count from the nearest anchor above and below, in the order given; `+F` and
    `-F`, 0 < F < 1 with a decimal point, are that share of the way from the one anchor to the other, rounded half to
    even. What falls below 0 is 0.
    """
    anchors = [int(step) if _ABSOLUTE.fullmatch(step) else None for step in written]
    return [anchor if anchor is not None else _relative(written, anchors, i) for i, anchor in enumerate(anchors)]


def _relative(written: list[str], anchors: list[int | None], i: int) -> int | None:
    before = next((anchor for anchor in reversed(anchors[:i]) if anchor is not None), None)
    after = next((anchor for anchor in anchors[i + 1 :] if anchor is not None), None)
    if match := _COUNT.fullmatch(written[i]):
        start, n = (before, int(match[2])) if match[1] == "+" else (after, -int(match[2]))
        return None if start is None else max(0, start + n)
    match = _SHARE.fullmatch(written[i])
    if not match or before is None or after is None or float(match[2]) == 0:
        return None
    share = float(match[2]) * (after - before)
    return max(0, round(before + share if match[1] == "+" else after - share))
