"""The history that a server writes, as Arrow tables; needs the extra `arrow`.

The folders are those of Parquet files under `--data`: `history/usage` and `history/requests`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow
import pyarrow.dataset as dataset


def usage(
    data: str | Path, since: datetime | None = None, until: datetime | None = None
) -> pyarrow.Table:
    """Samples of all entities, by time, from `since` up to and without `until`."""
    return _rows(Path(data) / "history" / "usage", since, until)


def requests(
    data: str | Path, since: datetime | None = None, until: datetime | None = None
) -> pyarrow.Table:
    """Requests for pools, by time, those that have not ended included."""
    return _rows(Path(data) / "history" / "requests", since, until)


def _rows(folder: Path, since: datetime | None, until: datetime | None) -> pyarrow.Table:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there; give the folder of `serve --data`")
    files = dataset.dataset(folder, format="parquet")
    if "timestamp" not in files.schema.names:
        return pyarrow.table({})
    time = dataset.field("timestamp")
    kept = dataset.scalar(True)
    if since is not None:
        kept = kept & (time >= pyarrow.scalar(since, files.schema.field("timestamp").type))
    if until is not None:
        kept = kept & (time < pyarrow.scalar(until, files.schema.field("timestamp").type))
    return files.to_table(filter=kept).sort_by("timestamp")
