"""SQL reads the store, and reaches nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store.views import NEEDS

from .sample import SHARED, Sample

SECRET = "canary-2718"
VISIBLE = pa.table({"secret": [SECRET]})  # a Python variable that a query must not see

# Every way out that DuckDB is known to have, with the kind of statement that it is hidden in.
FORBIDDEN = [
    "FROM 'canary.csv'",
    "FROM '{here}/canary.csv'",
    "FROM read_csv('canary.csv')",
    "FROM read_csv_auto('{here}/*.csv')",
    "FROM read_text('canary.csv')",
    "FROM read_blob('file://{here}/canary.csv')",
    "FROM read_json('canary.csv')",
    "FROM read_parquet('canary.parquet')",
    "FROM 'canary.parquet'",
    "FROM parquet_schema('canary.parquet')",
    "FROM parquet_metadata('canary.parquet')",
    "FROM sniff_csv('canary.csv')",
    "FROM glob('*')",
    "FROM query('FROM read_text(''canary.csv'')')",
    "FROM query_table('canary.csv')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''canary.csv'')'))",
    "SELECT (SELECT content FROM read_text('canary.csv')) FROM trials",
    "DESCRIBE FROM 'canary.csv'",
    "SUMMARIZE FROM 'canary.csv'",
    "EXPLAIN ANALYZE FROM 'canary.csv'",
    "PIVOT 'canary.csv' ON secret",
    "FROM VISIBLE",
    "FROM visible",
    "COPY trials TO 'out.csv'",
    "COPY (FROM trials) TO 'out.parquet'",
    "COPY (PIVOT trials ON state) TO 'out.csv'",
    "EXPLAIN ANALYZE COPY trials TO 'out.csv'",
    "WITH out AS (COPY trials TO 'out.csv') FROM out",
    "COPY trials FROM 'canary.csv'",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "ATTACH 'out.db'",
    "ATTACH '{here}/canary.csv' AS other",
    "EXPLAIN ANALYZE ATTACH 'out.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{here}/canary.csv'",
    "CREATE TABLE mine AS FROM trials",
    "CREATE TABLE mine AS PIVOT trials ON state",
    "CREATE VIEW trials AS SELECT 1",
    "CREATE OR REPLACE VIEW trials AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO _trials (trial) VALUES ('mine')",
    "WITH gone AS (DELETE FROM _trials RETURNING *) FROM gone",
    "UPDATE _trials SET trial = 'mine'",
    "DELETE FROM _trials",
    "DROP VIEW trials",
    "ALTER VIEW trials RENAME TO mine",
    "SET enable_external_access = true",
    "SET GLOBAL lock_configuration = false",
    "RESET lock_configuration",
    "SET allowed_paths = ['{here}']",
    "SET temp_directory = '{here}/out'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = 'out.json'",
    "CALL enable_logging(storage = 'file', storage_path = 'out')",
    "FROM enable_logging(storage = 'file', storage_path = 'out')",
    "USE temp",
    "BEGIN",
    "PREPARE mine AS SELECT 1",
    "EXECUTE mine",
    "CHECKPOINT",
    "VACUUM",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY trials TO 'out.csv'",
    "SELECT 1) COPY (SELECT 1",
    "SELECT getenv('HOME')",
    "",
    " ; -- nothing",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files that a query must neither read nor change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary.csv").write_text(f"secret\n{SECRET}\n")
    duckdb.sql(f"SELECT '{SECRET}' AS secret").write_parquet(str(tmp_path / "canary.parquet"))
    return tmp_path


@pytest.fixture(scope="module")
def connection(sample: Sample) -> duckdb.DuckDBPyConnection:
    return store.connect(sample.root)


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_a_query_reaches_nothing_outside_the_store(sample: Sample, here: Path, sql: str) -> None:
    before = contents(here, sample.root)
    visible = VISIBLE  # noqa: F841
    with pytest.raises(PrepeError) as caught:
        store.query(sample.root, sql.format(here=here))
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("query: ")
    assert contents(here, sample.root) == before


def test_the_canaries_can_be_reached_by_an_open_connection(here: Path) -> None:
    for sql in ("FROM 'canary.csv'", "FROM 'canary.parquet'", "SELECT content AS secret FROM read_text('canary.csv')"):
        assert SECRET in duckdb.connect().execute(sql).fetchall()[0][0]


LOCKED = [sql for sql in FORBIDDEN if sql.startswith(("FROM '", "FROM read", "COPY", "SET ", "ATTACH", "EXPORT"))]


@pytest.mark.parametrize("sql", LOCKED)
def test_a_connection_is_locked_even_without_the_check_of_statements(
    connection: duckdb.DuckDBPyConnection, here: Path, sql: str
) -> None:
    before = contents(here)
    with pytest.raises(duckdb.Error):
        connection.execute(sql.format(here=here))
    assert contents(here) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM trials",
        "FROM trials",
        "from TRIALS;",
        "WITH those AS (FROM trials) SELECT count(*) FROM those",
        "VALUES (1), (2)",
        "TABLE trials",
        "DESCRIBE trials",
        "SHOW trials",
        "SHOW TABLES",
        "SUMMARIZE trials",
        "EXPLAIN FROM trials",
        "EXPLAIN ANALYZE FROM trials",
        "PIVOT effects ON intervention USING median(score_ccc) GROUP BY trial",
        "PIVOT effects ON intervention USING median(score_ccc) GROUP BY trial -- with a remark\n;",
        "WITH wide AS (PIVOT effects ON intervention USING median(damage) GROUP BY trial) FROM wide",
        "UNPIVOT (SELECT trial, damage FROM effects) ON damage",
        "FROM query('FROM tri' || 'als')",
        "SELECT a.trial, b.trial FROM trials a JOIN trials b ON a.trial = b.trial",
        "SELECT count(*) FROM members, query('FROM ' || 'effects')",
    ],
)
def test_every_form_of_query_is_allowed(sample: Sample, sql: str) -> None:
    assert store.query(sample.root, sql).num_rows > 0


@pytest.mark.parametrize("view", NEEDS)
def test_every_view_can_be_queried_and_described(sample: Sample, view: str) -> None:
    columns = store.query(sample.root, f"DESCRIBE {view}")["column_name"].to_pylist()
    assert store.query(sample.root, f"FROM {view}").column_names == columns


def test_every_view_is_listed(sample: Sample) -> None:
    assert set(NEEDS) <= set(store.query(sample.root, "SHOW TABLES")["name"].to_pylist())


def test_every_view_of_a_store_without_rows_is_empty(root: Path) -> None:
    (root / "proposals").mkdir(parents=True)
    for view in NEEDS:
        assert store.query(root, f"FROM {view}").num_rows == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", ['syntax error at or near "SELEC"']),
        ("SELECT nonsense FROM trials", ["nonsense", "LINE 1: SELECT nonsense FROM trials\n", "^"]),
        ("FROM tirals", ["tirals does not exist", "^"]),
        ("FROM read_text('canary.csv')", ["disabled by configuration"]),
        ("SELECT 'x'::INT FROM trials", ["Could not convert string 'x' to INT32"]),
        ("DROP VIEW trials", ["DROP is not a query; allowed: one query: SELECT"]),
        ("SELECT 1; SELECT 2", ["there are 2 statements; allowed: one query"]),
        ("-- nothing", ["there are 0 statements"]),
    ],
)
def test_broken_sql_gives_the_reason_the_place_and_the_views(sample: Sample, sql: str, said: list[str]) -> None:
    with pytest.raises(PrepeError) as caught:
        store.query(sample.root, sql)
    message = str(caught.value)
    for part in said:
        assert part in message
    if "allowed: one query" not in message:
        assert message.endswith(f"\nviews: {', '.join(NEEDS)}")


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch], ids=["nothing", "empty", "file"])
def test_no_store_is_said_with_how_to_make_one(root: Path, make: object) -> None:
    make(root)  # type: ignore[operator]
    for call in (
        lambda: store.query(root, "FROM trials"),
        lambda: store.connect(root),
        lambda: store.trial_named(root, "abcd"),
        lambda: store.sweep_named(root, "x"),
    ):
        with pytest.raises(PrepeError, match="results: no store here; make one with: prepe run FILE"):
            call()


def test_a_connection_of_ones_own_sees_rows_that_come_later_when_opened_again(sample: Sample) -> None:
    con = store.connect(sample.root, ["effects"])
    rows = con.execute("SELECT count(*) FROM effects WHERE trial = ?", [SHARED]).fetchall()
    assert rows == [(34,)]
    with pytest.raises(duckdb.CatalogException):
        con.execute("FROM trials")


def test_many_queries_over_one_connection_give_what_each_gives_alone(sample: Sample) -> None:
    con = store.connect(sample.root)
    for sql in ("SELECT count(*) AS n FROM effects", "SELECT trial FROM trials ORDER BY ALL", "SHOW TABLES"):
        assert store.select(con, sql).equals(store.query(sample.root, sql))
    with pytest.raises(PrepeError, match="DROP is not a query"):
        store.select(con, "DROP VIEW trials")


def test_broken_sql_over_a_connection_gives_the_columns_of_the_views_that_it_mentions(sample: Sample) -> None:
    con = store.connect(sample.root)
    with pytest.raises(PrepeError) as caught:
        store.select(con, "SELECT nonsense FROM members JOIN Trials USING (sweep, trial)")
    lines = str(caught.value).splitlines()
    assert 'Referenced column "nonsense" not found' in lines[0]
    for view in ("trials", "members"):
        columns = store.query(sample.root, f"FROM {view} LIMIT 0").column_names
        assert f"columns of {view}: {', '.join(columns)}" in lines
    assert not any(line.startswith("columns of effects") for line in lines)


def test_declared_parameters_are_there_before_any_trial_has_them(sample: Sample, root: Path) -> None:
    store.write(root, "proposals", "none", [])
    sql = "SELECT params.depth + 1 AS deeper, params.variant AS variant FROM trials"
    for store_root, count in ((root, 0), (sample.root, 4)):
        with pytest.raises(PrepeError, match="params"):
            store.select(store.connect(store_root), sql)
        declared = store.connect(store_root, declared=[{"depth": 2, "variant": "plain"}])
        assert store.select(declared, sql).to_pydict() == {"deeper": [None] * count, "variant": [None] * count}
    known = store.connect(sample.root, declared=[{"depth": 2}])
    assert store.select(known, "SELECT max(params.lr) AS lr FROM trials")["lr"].to_pylist() == [1.0]


@pytest.mark.slow
def test_neither_torch_nor_ray_is_imported() -> None:
    code = "import json, sys, prepe.store; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "optuna", "matplotlib"} & set(json.loads(done.stdout))


def test_a_slow_query_prints_nothing_beside_its_rows(sample: Sample) -> None:
    rows = store.query(sample.root, "SELECT current_setting('enable_progress_bar') AS shown").to_pylist()
    assert rows == [{"shown": False}]
