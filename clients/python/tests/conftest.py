"""A real server for each test module, with pools of real processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "correct-horse-battery-staple"

POOLS = """
tick = "1s"

[[pool]]
name = "notebook"
provider = "process"
command = ["{binary}", "demo-worker", "--port", "{{port}}", "--startup-ms", "50"]
ready = {{ http = "/" }}
shape = {{ vcpus = 1, memory = "256MiB" }}
min = 2
max = 4

[[pool]]
name = "single"
provider = "process"
command = ["{binary}", "demo-worker", "--port", "{{port}}", "--startup-ms", "50"]
ready = {{ http = "/" }}
labels = {{ zone = "a" }}
shape = {{ vcpus = 8, memory = "1GiB" }}
min = 1
max = 1
"""


@dataclass(frozen=True)
class Server:
    address: str
    token: str
    data: Path


def binary() -> Path:
    path = Path(os.environ.get("FORESHADOW_BINARY", ROOT / "target" / "debug" / "foreshadow"))
    if not path.exists():
        pytest.fail(f"{path} is not there; build it, or name another in FORESHADOW_BINARY")
    return path.resolve()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    config = folder / "foreshadow.toml"
    config.write_text(POOLS.format(binary=binary()))
    data = folder / "data"
    command = [binary(), "serve", "--listen", "127.0.0.1:0", "--config", config, "--data", data]
    with subprocess.Popen(
        command,
        env={**os.environ, "FORESHADOW_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield Server(line.removeprefix("listening on ").strip(), TOKEN, data)
        process.terminate()
        assert process.wait(timeout=30) == 0
