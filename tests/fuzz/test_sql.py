"""Whatever is asked in SQL: a store is read or the query is refused; nothing else is read, and nothing is written."""

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import strategies as st
from store.sample import Sample
from store.test_query import FORBIDDEN, SECRET

from fuzz.examples import MANY, holds, numbers
from prepe import store
from prepe.cli.printing import rows_of, to_json
from prepe.errors import PrepeError

SOURCES = (
    *("'canary.csv'", "'{here}/canary.parquet'", "read_csv('canary.csv')", "read_text('{here}/*')", "read_blob('*')"),
    *("parquet_scan('canary.parquet')", "read_json_auto('canary.csv')", "glob('*')", "visible", "_trials", "trials"),
    *("effects", "duckdb_settings()", "duckdb_secrets()", "duckdb_extensions()", "pragma_database_size()", "range(3)"),
    *("query('FROM ''canary.csv''')", "query_table('trials')", "sniff_csv('canary.csv')", "information_schema.tables"),
    *(
        "duckdb_logs()",
        "sqlite_scan('canary.csv', 'x')",
        "arrow_scan(1, 2, 3)",
        "test_all_types()",
        "'http://127.0.0.1/x'",
    ),
    *(
        "checkpoint()",
        "force_checkpoint()",
        "enable_profiling()",
        "read_duckdb('canary.csv')",
        "which_secret('x', 's3')",
    ),
)
VERBS = (
    *(
        "SELECT",
        "FROM",
        "WITH a AS (",
        ")",
        "COPY",
        "TO 'out.csv'",
        "ATTACH",
        "INSTALL",
        "LOAD",
        "PRAGMA",
        "SET",
        "RESET",
    ),
    *(
        "CREATE TABLE",
        "CREATE OR REPLACE VIEW trials AS",
        "INSERT INTO",
        "DELETE FROM",
        "UPDATE",
        "DROP",
        "EXPORT DATABASE",
    ),
    *(
        "EXPLAIN",
        "EXPLAIN ANALYZE",
        "DESCRIBE",
        "SUMMARIZE",
        "SHOW",
        "PIVOT",
        "UNPIVOT",
        "CALL",
        "EXECUTE",
        "PREPARE p AS",
    ),
    *(
        "*",
        "1",
        ",",
        ";",
        "(",
        "'",
        '"',
        "--",
        "/*",
        "*/",
        "AS",
        "ON state",
        "WHERE",
        "JOIN",
        "UNION ALL",
        "LIMIT 1",
        "$1",
        "?",
    ),
    *(
        "getenv('HOME')",
        "current_setting('secret_directory')",
        "write_log('x')",
        "nextval('x')",
        "\0",
        "ü",
        "\udc80",
        "e'\\xff'",
    ),
    *(
        "trials.params",
        "NULL::INTERVAL",
        "'x'::BLOB",
        "[1]",
        "{'a': 1}",
        "MAP {1: 2}",
        "1::BIT",
        "'1'::UHUGEINT",
        "TRY_CAST",
    ),
)
_words = st.sampled_from(SOURCES) | st.sampled_from(VERBS)
_sentences = st.lists(_words, max_size=8).map(" ".join)


@st.composite
def _queries(draw: st.DrawFn) -> str:
    """Write words in a row, put one source of rows in a query, or change a statement that is known to be refused."""
    form = draw(st.sampled_from(["words", "from", "join", "nested", "forbidden", "cut"]))
    source, other = draw(st.sampled_from(SOURCES)), draw(st.sampled_from(SOURCES))
    if form == "words":
        return draw(_sentences)
    if form == "from":
        return f"{draw(st.sampled_from(['', 'EXPLAIN ', 'EXPLAIN ANALYZE ', 'SUMMARIZE ', 'DESCRIBE ']))}FROM {source}"
    if form == "join":
        return f"SELECT {draw(_words)} FROM {source}, {other}"
    if form == "nested":
        return f"WITH a AS (FROM {source}) SELECT (SELECT count(*) FROM {other}), * FROM a {draw(_words)}"
    known = draw(st.sampled_from(FORBIDDEN))
    if form == "forbidden":
        return known + draw(st.sampled_from(["", ";", " --", " /*", "\n)", " UNION ALL FROM trials", "; FROM trials"]))
    return known[draw(st.integers(0, len(known))) :] + " " + draw(_words)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("sample") / "results")


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@numbers(25, 800)
def test_sql_reads_the_store_alone_and_writes_nothing(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary.csv").write_text(f"secret\n{SECRET}\n")
    duckdb.sql(f"SELECT '{SECRET}' AS secret").write_parquet(str(tmp_path / "canary.parquet"))
    before, answered = contents(tmp_path, sample.root), []
    visible = duckdb.sql(f"SELECT '{SECRET}' AS secret").to_arrow_table()

    def law(sql: str) -> None:
        assert visible.num_rows
        sql = sql.replace("{here}", str(tmp_path))
        try:
            said = json.dumps([to_json(row) for row in rows_of(store.query(sample.root, sql))])
            answered.append(sql)
        except PrepeError as error:
            said = str(error)
        assert SECRET not in said
        assert contents(tmp_path, sample.root) == before

    holds(law, examples, sql=_queries())
    assert answered or examples < MANY  # else only refusals were tried
