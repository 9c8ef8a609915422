"""A verb loads what it needs, and no more: to start takes longer than what most verbs do."""

import subprocess
import sys
from pathlib import Path

import pytest

import prepe
from prepe import store

CODE = """
import sys
sys.argv = ["prepe", *{words}]
from prepe.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print("loaded", *sys.modules)
{then}
"""


def loaded(*words: str, then: str = "") -> set[str]:
    """Return the modules that a fresh Python has loaded after a verb, and check that it went well."""
    environment = {"PYTHONPATH": str(Path(prepe.__file__).parents[1]), "PATH": ""}
    code = CODE.format(words=list(words), then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("loaded ")]
    return set(line.split()[1:])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = tmp_path_factory.mktemp("start") / "results"
    row = {"sweep": "s", "number": 0, "trial": "abcd", "state": "complete", "members": 1, "first_seed": 0}
    store.write(found, "proposals", "s-abcd", [row])
    return str(found)


def test_to_list_a_store_loads_neither_duckdb_nor_pandas_nor_the_other_verbs(root: str) -> None:
    pandas = "import pyarrow; assert list(pyarrow.table({'a': [1]}).to_pandas()['a']) == [1]"
    modules = loaded("top", "s", "--results", root, then=pandas)
    assert "pyarrow" in modules
    assert not modules & {"duckdb", "pandas", "torch", "ray", "prepe.cli.run", "prepe.sweep", "prepe.store.sql"}


def test_a_query_loads_duckdb_but_not_pandas(root: str) -> None:
    modules = loaded("query", "SELECT count(*) FROM proposals", "--results", root)
    assert "duckdb" in modules
    assert not modules & {"pandas", "torch", "ray", "prepe.cli.run", "prepe.sweep"}
