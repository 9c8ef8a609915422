"""A store in a bucket is a store like any: the same rows, the same queries, the same errors, through a real server."""

import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

import prepe
from prepe import report, store
from prepe.errors import PrepeError
from prepe.store import compact, doctor, files, footer

from . import bucket
from .sample import Sample, effect_rows

QUERIES = (
    "SELECT * FROM trials ORDER BY ALL",
    "SELECT * FROM effects ORDER BY sweep, trial, seed, intervention",
    "SELECT set, item, count(*), sum(error_after) FROM items GROUP BY ALL ORDER BY ALL",
    "SELECT * FROM summaries ORDER BY sweep, trial, intervention, metric",
    "SELECT sweep, number, state, params FROM proposals ORDER BY ALL",
)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with bucket.serve() as port:
        yield port


@pytest.fixture
def uri(server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty store in the bucket."""
    for name, value in bucket.environment(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"s3://{bucket.BUCKET}/{uuid.uuid4().hex}?endpoint_override=http://127.0.0.1:{server}"


@pytest.mark.slow
def test_queries_and_tables_are_the_same_over_a_folder_and_a_bucket(uri: str, sample: Sample) -> None:
    Sample(uri)
    for sql in QUERIES:
        there = store.query(uri, sql)
        assert len(there)
        assert there.equals(store.query(sample.root, sql)) or repr(there.to_pylist()) == repr(
            store.query(sample.root, sql).to_pylist()
        )
    assert report.ls(uri) == report.ls(sample.root)
    assert report.top(uri, "narrow") == report.top(sample.root, "narrow")
    assert repr(report.show(uri, "aaaa1111")) == repr(report.show(sample.root, "aaaa1111"))


def test_a_file_in_a_bucket_is_replaced_found_listed_moved_and_removed(uri: str) -> None:
    assert not store.exists(uri, "effects", "a-0-3")
    assert store.write(uri, "effects", "a-0-3", effect_rows(2)) == f"{uri.replace('?', '/effects/a-0-3.parquet?')}"
    store.write(uri, "effects", "a-0-3", effect_rows(3))
    assert store.exists(uri, "effects", "a-0-3")
    assert len(store.read(uri, "effects")) == 3
    assert len(store.read(uri, "effects", names="b-*")) == 0
    files.move(uri, ("effects", "a-0-3.parquet"), ("_aside", "a-0-3.parquet"))
    assert files.listed(uri, "effects") == []
    assert set(files.sizes(uri, recursive=True)) == {"_aside/a-0-3.parquet"}
    files.remove(uri, "_aside", "a-0-3.parquet")
    files.remove(uri, "_aside", "a-0-3.parquet")
    assert files.get(uri, "_aside", "a-0-3.parquet") is None


def test_a_large_file_goes_up_in_parts_and_appears_when_all_are_there(uri: str) -> None:
    content = bytes(range(256)) * 4 * 10**4 + b"end"
    files.put(uri, ("large",), content)
    assert files.get(uri, "large") == content


def test_a_torn_file_in_a_bucket_is_named(uri: str) -> None:
    store.write(uri, "effects", "a-0-3", effect_rows())
    torn = files.get(uri, "effects", "a-0-3.parquet")
    assert torn is not None
    files.put(uri, ("effects", "b-0-3.parquet"), torn[:-9])
    with pytest.raises(PrepeError, match=r"s3://.*effects/b-0-3\.parquet.*not a readable Parquet file"):
        store.read(uri, "effects")


def test_a_file_that_goes_between_two_requests_for_it_is_not_called_damaged(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        store.write(uri, "effects", f"{name}-0-3", effect_rows())

    def late(system: fs.FileSystem, path: str) -> tuple[int, bytes]:
        with system.open_input_file(path) as opened:
            if "a-0-3" in path:
                files.remove(uri, "effects", "a-0-3.parquet")
            return opened.size(), opened.read()

    monkeypatch.setattr(footer, "tail", late)
    assert len(store.read(uri, "effects")) == 3


def test_the_marker_of_a_process_that_compacts_is_renewed_and_goes_with_it(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_RENEWED_S", 0.02)
    with compact.alone(uri):
        (name,) = files.sizes(uri, "_compacting")
        files.remove(uri, "_compacting", name)
        until = time.monotonic() + 30
        while not files.is_there(uri, "_compacting", name) and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(PrepeError, match="another process"), compact.alone(uri):
            pass
    assert not files.sizes(uri, "_compacting")


def test_what_is_no_store_is_said(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in (uri, uri.replace(bucket.BUCKET, "no-such-bucket")):
        assert len(store.read(root, "trials")) == 0
        with pytest.raises(PrepeError, match="no store here"):
            store.check_store(root)
    with pytest.raises(PrepeError, match=r"cannot be written: .*does not exist"):
        store.write(uri.replace(bucket.BUCKET, "no-such-bucket"), "effects", "a", effect_rows())
    for wrong in ("ftp://host/results", "s3://", "s3:///prefix", "s3://bucket/../other"):
        with pytest.raises(PrepeError, match=r"allowed: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"):
            store.default_root(wrong)
    with pytest.raises(PrepeError, match="no such option acl; allowed: endpoint_override, region, scheme"):
        store.read("s3://bucket/prefix?acl=public", "trials")
    for secret in (
        "s3://KEY:se/cret@bucket",
        "s3://KEY:secret",
        "s3://bucket?endpoint_override=http://KEY:secret@host",
    ):
        with pytest.raises(PrepeError, match="credentials in variables") as said:
            store.default_root(secret)
        assert "cret" not in str(said.value)
    with pytest.raises(PrepeError, match="no such option secret_key") as said:
        store.read("s3://bucket/prefix?secret_key=hidden", "trials")
    assert "hidden" not in str(said.value)
    monkeypatch.setenv("PREPE_RESULTS", "gs://bucket/prefix/")
    assert store.default_root() == "gs://bucket/prefix"


@pytest.mark.slow
def test_a_sweep_runs_into_a_bucket_is_read_drawn_and_resumed_there_and_brought_home(
    uri: str, tiny_store: Any, tmp_path: Path
) -> None:
    first = prepe.run(tiny_store.file, trials=2, results=uri, executor="serial")
    again = prepe.run(tiny_store.file, results=uri, executor="serial")
    assert [row["trial"] for row in first.done] == tiny_store.trials[:2]
    assert [row["trial"] for row in again.done[:2]] == tiny_store.trials[:2]
    assert len(again.done) == 3
    both = ", ".join(f"'{name}'" for name in tiny_store.trials[:2])
    sql = f"SELECT * FROM effects WHERE trial IN ({both}) ORDER BY trial, seed, intervention"
    assert store.query(uri, sql).equals(store.query(tiny_store.root, sql))
    stored = [name.split("/")[0] for name in files.sizes(uri, recursive=True)]
    assert stored.count("proposals") == stored.count("trials") == 3
    local = store.local_folder(uri)
    assert local.is_relative_to(tmp_path)
    assert [path.name for path in (local / "optuna").iterdir() if path.suffix == ".lock"]
    (drawn, *_) = prepe.draw(tiny_store.rows[0]["sweep"], results=uri)
    assert drawn.is_relative_to(local)
    assert drawn.stat().st_size > 0
    (copied,) = prepe.publish(tiny_store.rows[0]["sweep"], tmp_path / "home", results=uri, whole=True)
    assert copied.trials == 3
    assert store.query(tmp_path / "home", sql).equals(store.query(uri, sql))
    assert len(store.read(tmp_path / "home", "history")) == len(store.read(uri, "history")) > 0


WRITER = """
import sys
from prepe import store
from prepe.errors import PrepeError
from tests.store.sample import effect_rows

root, first = sys.argv[1], int(sys.argv[2])
for i in range(first, first + 40):
    row = {**effect_rows(1)[0], "trial": f"{i:04d}", "parameters": "x" * 3000 + str(i)}
    for _ in range(100):
        try:
            store.write(root, "effects", f"{i:04d}-0-3", [row] * 3)
            break
        except PrepeError as error:
            print(error, flush=True)
    else:
        sys.exit("no write went through")
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_server_that_is_slow_errs_and_breaks_off_loses_tears_and_doubles_nothing(
    server: int, uri: str, seed: int
) -> None:
    """Two processes write the same and different trials through a proxy that breaks half of all connections."""
    proxy = bucket.Proxy(server, seed, {"break": 0.2, "mute": 0.1, "error": 0.1, "slow": 0.1})
    plain = uri.partition("?")[0]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, plain, str(first)],
            env=bucket.environment(proxy.port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for first in (0, 20)
    ]
    looks = 0
    while any(each.poll() is None for each in writers):
        rows = store.read(uri, "effects").to_pylist()  # not through the proxy: any torn file is an error here
        assert all(count == 3 for count in Counter(row["trial"] for row in rows).values())
        looks += 1
    said = [each.communicate() for each in writers]
    proxy.close()
    assert [each.returncode for each in writers] == [0, 0], said
    assert all(line.startswith("s3://") for out, _ in said for line in out.splitlines()), "another error than ours"
    assert set(proxy.drawn) == {"break", "mute", "error", "slow"}
    rows = store.read(uri, "effects").to_pylist()
    assert Counter(row["trial"] for row in rows) == {f"{i:04d}": 3 for i in range(60)}
    print(f"seed {seed}: {Counter(proxy.drawn)}, {looks} looks, {sum(len(out.splitlines()) for out, _ in said)} errors")


@pytest.mark.slow
def test_what_went_through_without_an_answer_is_done_once(
    server: int, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = bucket.Proxy(server, 3, {"lose": 0.4})
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    faulty = uri.replace(str(server), str(proxy.port))
    for i in range(4):
        store.write(faulty, "effects", f"{i}-0-3", effect_rows())
        files.move(faulty, ("effects", f"{i}-0-3.parquet"), ("_aside", f"{i}-0-3.parquet"))
        if i % 2:
            files.remove(faulty, "_aside", f"{i}-0-3.parquet")
    proxy.close()
    assert "lose" in proxy.drawn
    assert files.listed(uri, "effects") == []
    assert files.listed(uri, "_aside") == ["0-0-3.parquet", "2-0-3.parquet"]


@pytest.mark.slow
def test_a_store_without_an_answer_is_not_called_damaged(
    server: int, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(uri, "items", "a-0-3", [])
    monkeypatch.setenv("PREPE_PATIENCE_S", "0")
    proxy = bucket.Proxy(server, 0)
    faulty = uri.replace(str(server), str(proxy.port))
    store.check_store(faulty)
    proxy.faults = {"fail": 0.9}
    for look in (
        lambda: doctor.examine(faulty, repair=True),
        lambda: store.read(faulty, "items"),
        lambda: store.query(faulty, "SELECT count(*) FROM items"),
    ):
        with pytest.raises(PrepeError, match=r"s3://.*cannot be .*HTTP status 500") as said:
            look()
        assert "move it away" not in str(said.value)
    proxy.close()
    assert {name for name in files.sizes(uri, recursive=True) if "_" not in name} == {"items/a-0-3.parquet"}


@pytest.mark.slow
def test_a_server_that_is_gone_is_an_error_that_can_be_read(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREPE_PATIENCE_S", "1")
    proxy = bucket.Proxy(1, 0)
    proxy.close()
    gone = f"s3://{bucket.BUCKET}/gone?endpoint_override=http://127.0.0.1:{proxy.port}"
    with pytest.raises(PrepeError, match=r"cannot be written: .*tried for \d s; .*run the same command again"):
        store.write(gone, "effects", "a-0-3", effect_rows())
    with pytest.raises(PrepeError, match="cannot be"):
        store.read(gone, "effects")
