"""Many small files of a table in; their rows out, five times as fast as a dataset of them gives these.

A dataset opens every file for its footer, its schema and its pages one after another. Small files are better read
whole, and then only the columns that somebody asks for are decoded.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from prepe.store.footer import check_digest

MEAN_BYTES = 1 << 18
"""Files on a disk are read so if they are no larger than this on average."""


class Small(ds.FileSystemDataset):
    """A dataset of small Parquet files on a local disk, with other means than its fragments to read rows.

    Attributes:
        kept: what is true of its rows, if they are not all that the files have.
    """

    kept: pc.Expression | None = None

    def filter(self, expression: pc.Expression) -> "Small":
        """Return a dataset of the rows for which a condition is true, too."""
        fewer = Small(list(self.get_fragments()), self.schema, self.format, self.filesystem)
        fewer.kept = both(self.kept, expression)
        return fewer

    def count_rows(self, filter: pc.Expression | None = None, **options: Any) -> int:
        """Return how many rows there are for which a condition is true."""
        return int(self.scanner([], filter, **options).count_rows())

    def scanner(
        self,
        columns: list[str] | dict[str, pc.Expression] | None = None,
        filter: pc.Expression | None = None,  # as Arrow and DuckDB call it
        **options: Any,
    ) -> ds.Scanner:
        """Read the columns that are wanted, or stand in a condition, of every file; return a scanner of these rows."""
        condition = both(self.kept, filter)
        names = _needed(self.schema, columns, condition)
        schema = pa.schema([self.schema.field(name) for name in names], self.schema.metadata)
        rows = pa.concat_tables([schema.empty_table(), *(_rows(path, schema) for path in self.files)])
        whole = list(self.schema.names) if columns is None else columns
        return ds.InMemoryDataset(rows).scanner(columns=whole, filter=condition, **options)


def both(a: pc.Expression | None, b: pc.Expression | None) -> pc.Expression | None:
    """Return what is true where two conditions are, of which None is always true."""
    return b if a is None else a if b is None else a & b


def _needed(
    schema: pa.Schema, columns: Collection[str] | dict[str, pc.Expression] | None, condition: pc.Expression | None
) -> list[str]:
    """Return which columns are wanted or may stand in expressions, of which only the text is to be had."""
    if columns is None:
        return list(schema.names)
    told = [*columns.values()] if isinstance(columns, dict) else []
    text = " ".join(str(each) for each in (*told, condition) if each is not None)
    plain = () if isinstance(columns, dict) else columns
    return [name for name in schema.names if name in plain or name in text] or schema.names[:1]


def _rows(path: str, schema: pa.Schema) -> pa.Table:
    """Return columns of a file; those that it lacks are null."""
    content = Path(path).read_bytes()
    check_digest(content)
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    found = file.read(columns=schema.names, use_threads=False)
    held = set(found.column_names)
    columns = [
        found[field.name].cast(field.type) if field.name in held else pa.nulls(len(found), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
