"""Many small files give the rows that a dataset of them gives, and are read anew where one goes meanwhile."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store import views
from prepe.store.parts import held
from prepe.store.scan import of_files
from prepe.store.small import Small

from .sample import SHARED, Sample, effect_rows

WANTED = (
    None,
    [],
    ["score_ccc", "trial"],
    ["recover_curve"],
    {"twice": pc.field("seed") * 2, "name": pc.binary_join_element_wise(pc.field("trial"), pc.field("block"), "-")},
)
WHERE = (None, pc.field("seed") > 5, (pc.field("trial") == SHARED) & pc.field("score_ccc").is_valid())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[ds.FileSystemDataset, ds.FileSystemDataset]:
    """Files of which one lacks columns, as they are read, and as Arrow reads them."""
    root = tmp_path_factory.mktemp("small") / "results"
    Sample(root)
    path = root / "effects" / f"{SHARED}-0-5.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["score_ccc", "block"]), path)
    ours = of_files(root, "effects", held(root, "effects")[0])
    theirs = ds.FileSystemDataset(list(ours.get_fragments()), ours.schema, ours.format, ours.filesystem)
    assert isinstance(ours, Small)
    return ours, theirs


@pytest.mark.parametrize("where", WHERE, ids=str)
@pytest.mark.parametrize("columns", WANTED, ids=str)
def test_small_files_give_what_a_dataset_of_them_gives(
    both: tuple[ds.FileSystemDataset, ds.FileSystemDataset],
    columns: list[str] | dict[str, pc.Expression] | None,
    where: pc.Expression | None,
) -> None:
    ours, theirs = (each.to_table(columns=columns, filter=where) for each in both)
    assert ours.schema.equals(theirs.schema)
    assert len(ours) == len(theirs) == both[1].count_rows(filter=where) == both[0].count_rows(filter=where)
    assert repr(ours.to_pylist()) == repr(theirs.to_pylist())


def test_small_files_of_which_some_rows_count_give_these_alone(
    both: tuple[ds.FileSystemDataset, ds.FileSystemDataset],
) -> None:
    for where in (None, pc.field("trial") == SHARED):
        ours, theirs = (
            each.filter(pc.field("seed") > 5).filter(pc.field("seed") < 9).to_table(columns=["trial"], filter=where)
            for each in both
        )
        assert ours.equals(theirs)
        assert 0 < len(ours) < both[1].count_rows()
    kept = both[0].filter(pc.field("seed") > 5)
    assert kept.count_rows() == both[1].count_rows(filter=pc.field("seed") > 5)


def test_duckdb_reads_small_files_as_it_reads_a_dataset(
    both: tuple[ds.FileSystemDataset, ds.FileSystemDataset],
) -> None:
    for sql in ("SELECT count(*) FROM e", "SELECT trial, max(seed) FROM e WHERE seed < 9 GROUP BY ALL ORDER BY ALL"):
        found = []
        for each in both:
            con = duckdb.connect()
            con.register("e", each.filter(pc.field("seed") > 2))
            found.append(con.sql(sql).to_arrow_table().to_pylist())
        assert found[0] == found[1]


@pytest.mark.parametrize("few", [0, 50])
def test_a_query_gives_the_same_whether_it_reads_many_files_or_knows_their_rows(
    few: int, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_FEW_FILES", few)
    rows = store.query(sample.root, "FROM effects JOIN members USING (sweep, trial, seed) ORDER BY ALL")
    assert (len(rows), rows.schema.names[:3]) == (44, ["sweep", "trial", "variant"])
    total = store.query(sample.root, "SELECT sum(score_ccc) AS s FROM effects WHERE NOT isnan(score_ccc)")
    connected = store.select(store.connect(sample.root), "SELECT sum(score_ccc) AS s FROM effects WHERE seed >= 0")
    assert total["s"][0].as_py() == pytest.approx(
        pc.sum(pc.if_else(pc.is_nan(rows["score_ccc"]), 0.0, rows["score_ccc"])).as_py()
    )
    assert connected.schema.equals(pa.schema([("s", pa.float64())]))


def test_a_file_that_goes_before_a_query_reads_it_is_not_missed_and_a_damaged_one_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_FEW_FILES", 0)
    for trial in "ab":
        rows = [{**row, "trial": trial} for row in effect_rows()]
        store.write(root, "effects", f"{trial}-0-3", rows)
        row = {"sweep": "s", "number": 0, "trial": trial, "members": 3, "first_seed": 0}
        store.write(root, "proposals", f"s-{trial}", [row])
    create, gone = views.create, [root / "effects" / "a-0-3.parquet"]

    def late(*args: object, **named: object) -> None:
        create(*args, **named)  # type: ignore[arg-type]
        while gone:
            gone.pop().unlink()

    monkeypatch.setattr(views, "create", late)
    sql = "SELECT trial, count(*) AS n FROM effects GROUP BY ALL"
    assert store.query(root, sql).to_pylist() == [{"trial": "b", "n": 3}]
    path = root / "effects" / "b-0-3.parquet"
    content = bytearray(path.read_bytes())
    content[4:300] = bytes(296)
    path.write_bytes(content)
    with pytest.raises(PrepeError, match=r"b-0-3\.parquet: its rows cannot be read"):
        store.query(root, "SELECT max(trial) FROM effects")
