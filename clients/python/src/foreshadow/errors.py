"""What can go wrong, one class for each kind of refusal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


class ForeshadowError(Exception):
    """A call was refused or failed; `code` is gRPC's."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class InvalidRequest(ForeshadowError):
    """The request cannot be understood; the message names the field."""


class NotFound(ForeshadowError):
    """There is no such pool, allocation, user or metric."""


class Refused(ForeshadowError):
    """It cannot be done as things stand: a stale token, an ended lease, nothing that ever fits."""


class KeyMisused(ForeshadowError):
    """The idempotency key was used before with another request."""


class Changed(ForeshadowError):
    """Somebody changed it meanwhile; read it again."""


class Unauthenticated(ForeshadowError):
    """The token is missing or wrong."""


class PermissionDenied(ForeshadowError):
    """The caller is known and may not do this."""


class Unavailable(ForeshadowError):
    """The server cannot be reached, or is starting or ending."""


class DeadlineExceeded(ForeshadowError):
    """There was no answer in time."""


class Exhausted(ForeshadowError):
    """Nothing is free; `retry_after` is when a place is expected, if that is known."""

    def __init__(
        self, message: str, code: grpc.StatusCode, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class NotGranted(ForeshadowError):
    """The allocation ended before it was granted."""


_KINDS: dict[grpc.StatusCode, type[ForeshadowError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.ALREADY_EXISTS: KeyMisused,
    grpc.StatusCode.ABORTED: Changed,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turns gRPC's errors into those of this module."""
    try:
        yield
    except grpc.RpcError as error:
        raise of_rpc(error) from error


def of_rpc(error: grpc.RpcError) -> ForeshadowError:
    """The error of this module for one of gRPC's."""
    code = error.code()
    message = error.details() or code.name
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Exhausted(message, code, _retry_after(error))
    return _KINDS.get(code, ForeshadowError)(message, code)


def _retry_after(error: grpc.RpcError) -> timedelta | None:
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in pairs:
        if key == _DETAILS and isinstance(value, bytes):
            return _delay_in(value)
    return None


def _delay_in(details: bytes) -> timedelta | None:
    retry = error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Unpack(retry):
            delay: timedelta = retry.retry_delay.ToTimedelta()
            return delay
    return None
