"""Where a store is when nobody says."""

import os
from pathlib import Path


def default_root(results: str | Path | None = None) -> Path:
    """Return the folder named, else the one in the variable PREPE_RESULTS, else `results` in the working directory."""
    return Path(results or os.environ.get("PREPE_RESULTS") or "results")
