"""The client for programs that wait for each answer."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self, Unpack

import grpc

from foreshadow import requests
from foreshadow.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, metadata, options, pause_s
from foreshadow.errors import (
    DeadlineExceeded,
    ForeshadowError,
    NotFound,
    NotGranted,
    Refused,
    Unavailable,
    translated,
)
from foreshadow.models import Allocation, Forecast, Reported, Sample, State
from foreshadow.requests import Ask
from foreshadow.v1 import (
    allocations_pb2,
    allocations_pb2_grpc,
    forecasts_pb2_grpc,
    shadows_pb2,
    shadows_pb2_grpc,
    telemetry_pb2_grpc,
)


class Client:
    """A connection to a server; threads may share it.

    With `credentials` the connection is encrypted, see `grpc.ssl_channel_credentials`. `channel` is
    there for the stubs of `foreshadow.v1` that this class does not wrap.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options=options())
        else:
            self.channel = grpc.secure_channel(target, credentials, options=options())
        self.metadata = metadata(token)
        self.timeout_s = timeout_s
        self._allocations = allocations_pb2_grpc.AllocationsStub(self.channel)
        self._forecasts = forecasts_pb2_grpc.ForecastsStub(self.channel)
        self._shadows = shadows_pb2_grpc.ShadowsStub(self.channel)
        self._telemetry = telemetry_pb2_grpc.TelemetryStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self.channel.close()

    def allocate(self, pool: str | None = None, **ask: Unpack[Ask]) -> Allocation:
        """Asks for an instance of a pool, or of any that meets `requirements`.

        The answer may still be joined, queued or booked: `wait` waits for the grant, `lease` does
        all of it.
        """
        request = requests.allocate(pool, ask)
        with translated():
            return Allocation.of(
                self._allocations.Allocate(request, metadata=self.metadata, timeout=self.timeout_s)
            )

    def watch(
        self, allocation: Allocation | str, timeout_s: float | None = None
    ) -> Generator[Allocation, None, None]:
        """The allocation as it is and after each change, until it ends."""
        request = allocations_pb2.WatchRequest(allocation_id=_id(allocation))
        with translated():
            changes = self._allocations.Watch(request, metadata=self.metadata, timeout=timeout_s)
            try:
                for change in changes:
                    yield Allocation.of(change)
            finally:
                changes.cancel()

    def wait(self, allocation: Allocation, timeout_s: float | None = None) -> Allocation:
        """The allocation once it is granted.

        Raises `NotGranted` if it ended before.
        """
        if allocation.state is State.GRANTED:
            return allocation
        with closing(self.watch(allocation, timeout_s)) as changes:
            for change in changes:
                if change.state is State.GRANTED:
                    return change
                if change.state.ended:
                    raise not_granted(change)
        raise Unavailable("the watch ended", grpc.StatusCode.UNAVAILABLE)

    def renew(self, held: Allocation, lease_duration: timedelta | None = None) -> Allocation:
        """Puts off the end of a lease, from now on; for the pool's default if not given."""
        request = requests.renew(held, lease_duration)
        with translated():
            return Allocation.of(
                self._allocations.Renew(request, metadata=self.metadata, timeout=self.timeout_s)
            )

    def release(self, held: Allocation) -> Allocation:
        """Gives a lease back."""
        request = requests.release(held)
        with translated():
            return Allocation.of(
                self._allocations.Release(request, metadata=self.metadata, timeout=self.timeout_s)
            )

    def cancel(self, allocation: Allocation | str) -> Allocation:
        """Takes back a request that is queued or booked."""
        request = allocations_pb2.CancelRequest(allocation_id=_id(allocation))
        with translated():
            return Allocation.of(
                self._allocations.Cancel(request, metadata=self.metadata, timeout=self.timeout_s)
            )

    def check_token(self, instance: str, fencing_token: int) -> None:
        """What a resource asks before it serves a caller: raises `Refused` for a stale token."""
        request = allocations_pb2.CheckTokenRequest(
            instance_id=instance, fencing_token=fencing_token
        )
        with translated():
            self._allocations.CheckToken(request, metadata=self.metadata, timeout=self.timeout_s)

    def allocations(
        self, *, tenant: str = "", user: str = "", pool: str = "", states: Iterable[State] = ()
    ) -> Iterator[Allocation]:
        """Those that match each filter that is given, page by page."""
        states, token = list(states), ""
        while True:
            request = requests.listing(tenant, user, pool, states, token)
            with translated():
                page = self._allocations.List(
                    request, metadata=self.metadata, timeout=self.timeout_s
                )
            yield from map(Allocation.of, page.allocations)
            token = page.next_page_token
            if not token:
                return

    @contextmanager
    def lease(
        self,
        pool: str | None = None,
        *,
        grant_timeout_s: float | None = None,
        **ask: Unpack[Ask],
    ) -> Iterator[Lease]:
        """An instance for as long as the block runs: waits for it, renews it, gives it back."""
        asked = self.allocate(pool, **ask)
        try:
            granted = self.wait(asked, grant_timeout_s)
        except BaseException:
            give_up(self, asked)
            raise
        lease = Lease(self, granted, ask.get("lease_duration"))
        try:
            yield lease
        finally:
            lease.end()

    def predict(
        self,
        entity: str | None = None,
        *,
        pool: str | None = None,
        metric: str = "",
        horizon: timedelta = timedelta(hours=1),
        levels: Sequence[float] = (),
    ) -> Forecast:
        """Quantiles of a metric of a user, an application or a pool; of requests if not given."""
        request = requests.predict(entity, pool, metric, horizon, levels)
        with translated():
            return Forecast.of(
                self._forecasts.Predict(request, metadata=self.metadata, timeout=self.timeout_s)
            )

    def shadow(
        self, *, user: str | None = None, application: str | None = None
    ) -> shadows_pb2.ResourceShadow:
        """The live profile of a user or an application."""
        request = requests.shadow(user, application)
        with translated():
            shadow: shadows_pb2.ResourceShadow = self._shadows.GetResourceShadow(
                request, metadata=self.metadata, timeout=self.timeout_s
            )
            return shadow

    def report(self, samples: Iterable[Sample], timeout_s: float | None = None) -> Reported:
        """Sends measurements; what is accepted when this returns has been taken over."""
        batches = requests.reports(samples)
        total = Reported(0, 0, None)
        with translated():
            for answer in self._telemetry.Report(
                batches, metadata=self.metadata, timeout=timeout_s
            ):
                total += Reported.of(answer)
        return total


class Lease:
    """An instance that is held; a thread renews it until it is given back."""

    def __init__(
        self, client: Client, granted: Allocation, lease_duration: timedelta | None
    ) -> None:
        self._client = client
        self._duration = lease_duration
        self._over = threading.Event()
        self.allocation = granted
        self.lost: ForeshadowError | None = None
        """Why the lease ended early, if it did: the instance may be another's since."""
        self._renewer = threading.Thread(target=self._renew, name="foreshadow-lease", daemon=True)
        self._renewer.start()

    @property
    def address(self) -> str:
        """Where the instance answers, such as `127.0.0.1:41234`."""
        return self.allocation.address or ""

    @property
    def fencing_token(self) -> int:
        """Send it along, so that the resource can refuse whoever held it before."""
        return self.allocation.fencing_token

    def end(self) -> None:
        """Gives the instance back; one whose lease has ended already is left alone."""
        self._over.set()
        self._renewer.join()
        if self.lost is None:
            try:
                self._client.release(self.allocation)
            except (Refused, NotFound) as ended:
                self.lost = ended

    def _renew(self) -> None:
        while not self._over.wait(pause_s(self.allocation, self._duration)):
            try:
                self.allocation = self._client.renew(self.allocation, self._duration)
            except (Unavailable, DeadlineExceeded):
                # The server may come back before the lease ends; the next round tries again.
                continue
            except ForeshadowError as error:
                self.lost = error
                return


def not_granted(ended: Allocation) -> NotGranted:
    """The error for an allocation that ended before it was granted."""
    message = f"{ended.id} ended as {ended.state.name} before it was granted"
    return NotGranted(message, grpc.StatusCode.FAILED_PRECONDITION)


def give_up(client: Client, asked: Allocation) -> None:
    """Takes back a request that is not waited for any more, whatever it has become."""
    with suppress(ForeshadowError, StopIteration):
        try:
            client.cancel(asked)
        except Refused:
            # It was granted meanwhile: what it holds is given back with the token that it has now.
            with closing(client.watch(asked, client.timeout_s)) as changes:
                held = next(changes)
            if held.state is State.GRANTED:
                client.release(held)


def _id(allocation: Allocation | str) -> str:
    return allocation if isinstance(allocation, str) else allocation.id
