"""Invented rows that several tests draw, in the light look."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from prepe.figures import style

from . import rows


@pytest.fixture(autouse=True, scope="package")
def look() -> Iterator[None]:
    with style.use():
        yield


@pytest.fixture(scope="session")
def trial_rows() -> dict[str, pa.Table]:
    return rows.trial()


@pytest.fixture(scope="session")
def small_rows() -> dict[str, pa.Table]:
    return rows.trial(n=7, shown=1, broken=(), snapshots=False)
