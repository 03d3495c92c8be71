from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Server

from foreshadow import Client, Sample, history


def test_what_was_asked_for_and_measured_is_read_from_the_files(server: Server) -> None:
    client = Client(server.address, token=server.token)
    with client, client.lease("notebook", user="ada"):
        client.report([Sample("cpu_usage_pct", 7.0, user="ada")])
    for _ in range(120):
        usage, requests = history.usage(server.data), history.requests(server.data)
        if usage.num_rows and requests.num_rows:
            break
        time.sleep(1)
    (row,) = usage.to_pylist()
    assert row["entity_id"] == "ada"
    assert row["cpu_usage_pct"] == 7.0
    (request,) = requests.to_pylist()
    assert (request["user_id"], request["pool"]) == ("ada", "notebook")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert history.usage(server.data, until=later).num_rows == 1
    assert history.usage(server.data, since=later).num_rows == 0


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--data"):
        history.usage(tmp_path)
