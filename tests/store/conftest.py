from pathlib import Path

import pytest

from .sample import Sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """One store for all tests that only read."""
    return Sample(tmp_path_factory.mktemp("sample") / "results")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a test may make a store of its own."""
    return tmp_path / "results"
