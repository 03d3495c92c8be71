"""What both clients need to reach a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from foreshadow.models import Allocation

DEFAULT_TARGET = "127.0.0.1:7070"
DEFAULT_TIMEOUT_S = 10.0
SHORTEST_PAUSE_S = 0.1

Metadata = tuple[tuple[str, str], ...]


def metadata(token: str | None) -> Metadata:
    """The token on every call, if there is one."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def options() -> list[tuple[str, int]]:
    """Connections that went dead are noticed."""
    return [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]


def pause_s(held: Allocation, lease_duration: timedelta | None) -> float:
    """How long to wait before a lease is renewed: a third of what is left of it, in seconds."""
    left = lease_duration
    if left is None and held.lease_expires_at is not None:
        left = held.lease_expires_at - datetime.now(UTC)
    if left is None:
        return SHORTEST_PAUSE_S
    return max(left.total_seconds() / 3, SHORTEST_PAUSE_S)
