"""Makes the stubs in src/foreshadow/v1 from the proto files whenever the package is built."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Stubs(BuildHookInterface):
    """From `proto` beside this file in a source distribution, from the repository's otherwise."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the modules that Python, type checkers and gRPC read."""
        here = Path(self.root)
        proto = here / "proto"
        if not proto.is_dir():
            proto = here.parent.parent / "proto"
        services = sorted(str(path) for path in (proto / "foreshadow" / "v1").glob("*.proto"))
        if not services:
            raise FileNotFoundError(f"{proto} has no proto files; build from a whole checkout")
        out = here / "src"
        arguments = [
            "protoc",
            f"--proto_path={proto}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *services,
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc failed")
