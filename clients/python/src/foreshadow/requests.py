"""From arguments to the messages of the wire; both clients use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from foreshadow.models import Allocation, Sample, State
from foreshadow.v1 import allocations_pb2, forecasts_pb2, shadows_pb2, telemetry_pb2

BATCH = 10_000
"""Samples in one message of a report."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a request needs when it names no pool."""

    vcpus: float = 0.0
    memory_bytes: int = 0
    storage_iops: int = 0
    network_mbps: int = 0
    gpus: int = 0
    dependencies: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    preferences: Sequence[Mapping[str, str]] = ()
    """Labels that are liked, the best first."""


class Ask(TypedDict, total=False):
    """The arguments of a request for an instance; each may be left out."""

    requirements: Requirements
    """Instead of a pool."""
    user: str
    application: str
    tenant: str
    priority: int
    at: datetime
    """When it is needed; now if not given."""
    max_wait: timedelta
    """Zero for a warm instance or none; the pool's default if not given."""
    lease_duration: timedelta
    merge_key: str
    idempotency_key: str


def allocate(pool: str | None, ask: Ask) -> allocations_pb2.AllocateRequest:
    """A request for an instance of a pool, or of any that meets the requirements."""
    if (pool is None) == ("requirements" not in ask):
        raise TypeError("give either a pool or requirements")
    request = allocations_pb2.AllocateRequest(
        tenant_id=ask.get("tenant", ""),
        user_id=ask.get("user", ""),
        application_id=ask.get("application", ""),
        priority=ask.get("priority", 0),
        merge_key=ask.get("merge_key", ""),
        idempotency_key=ask.get("idempotency_key", ""),
    )
    if pool is not None:
        request.pool = pool
    else:
        request.requirements.CopyFrom(_requirements(ask["requirements"]))
    if "at" in ask:
        request.availability_time.CopyFrom(timestamp(ask["at"]))
    if "max_wait" in ask:
        request.max_wait.CopyFrom(duration(ask["max_wait"]))
    if "lease_duration" in ask:
        request.lease_duration.CopyFrom(duration(ask["lease_duration"]))
    return request


def renew(held: Allocation, lease_duration: timedelta | None) -> allocations_pb2.RenewRequest:
    """The lease goes on from now, for the pool's default if no duration is given."""
    request = allocations_pb2.RenewRequest(allocation_id=held.id, fencing_token=held.fencing_token)
    if lease_duration is not None:
        request.lease_duration.CopyFrom(duration(lease_duration))
    return request


def release(held: Allocation) -> allocations_pb2.ReleaseRequest:
    """The lease is given back."""
    return allocations_pb2.ReleaseRequest(allocation_id=held.id, fencing_token=held.fencing_token)


def listing(
    tenant: str, user: str, pool: str, states: Iterable[State], page_token: str
) -> allocations_pb2.ListRequest:
    """One page of the allocations that match."""
    request = allocations_pb2.ListRequest(
        tenant_id=tenant, user_id=user, pool=pool, page_size=1000, page_token=page_token
    )
    for state in states:
        request.states.append(state.value)
    return request


def predict(
    entity: str | None,
    pool: str | None,
    metric: str,
    horizon: timedelta,
    levels: Sequence[float],
) -> forecasts_pb2.PredictRequest:
    """A forecast of a user, an application or a pool."""
    request = forecasts_pb2.PredictRequest(metric=metric, horizon=duration(horizon), levels=levels)
    if (entity is None) == (pool is None):
        raise TypeError("give either an entity or a pool")
    if entity is not None:
        request.entity_id = entity
    if pool is not None:
        request.pool = pool
    return request


def shadow(user: str | None, application: str | None) -> shadows_pb2.GetResourceShadowRequest:
    """The profile of a user or an application."""
    if (user is None) == (application is None):
        raise TypeError("give either a user or an application")
    if user is not None:
        return shadows_pb2.GetResourceShadowRequest(user_id=user)
    return shadows_pb2.GetResourceShadowRequest(application_id=application)


def reports(samples: Iterable[Sample]) -> Iterator[telemetry_pb2.ReportRequest]:
    """Batches of samples, those of one series together where they follow one another."""
    batch = telemetry_pb2.ReportRequest()
    size = 0
    for (user, application, metric), series in groupby(samples, _series):
        for sample in series:
            if size == BATCH:
                yield batch
                batch, size = telemetry_pb2.ReportRequest(), 0
            last = batch.series[-1] if batch.series else None
            if last is None or _named(last) != (user, application, metric):
                last = _begun(batch, user, application, metric)
            point = last.points.add(value=sample.value)
            if sample.at is not None:
                point.at.CopyFrom(timestamp(sample.at))
            size += 1
    if size:
        yield batch


def timestamp(time: datetime) -> Timestamp:
    """A moment; one without a time zone is refused, since it would be read as any."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone; use datetime.now(UTC), for example")
    message = Timestamp()
    message.FromDatetime(time.astimezone(UTC))
    return message


def duration(length: timedelta) -> Duration:
    """A length of time."""
    message = Duration()
    message.FromTimedelta(length)
    return message


def _requirements(needed: Requirements) -> allocations_pb2.Requirements:
    return allocations_pb2.Requirements(
        vcpus=needed.vcpus,
        memory_bytes=needed.memory_bytes,
        storage_iops=needed.storage_iops,
        network_mbps=needed.network_mbps,
        gpus=needed.gpus,
        dependencies=needed.dependencies,
        labels=needed.labels,
        preferences=[
            allocations_pb2.Requirements.Preference(labels=liked) for liked in needed.preferences
        ],
    )


def _series(sample: Sample) -> tuple[str | None, str | None, str]:
    if (sample.user is None) == (sample.application is None):
        raise TypeError(f"{sample}: give either a user or an application")
    return sample.user, sample.application, sample.metric


def _named(series: telemetry_pb2.Series) -> tuple[str | None, str | None, str]:
    of_user = series.WhichOneof("entity") == "user_id"
    user = series.user_id if of_user else None
    return user, None if of_user else series.application_id, series.metric


def _begun(
    batch: telemetry_pb2.ReportRequest, user: str | None, application: str | None, metric: str
) -> telemetry_pb2.Series:
    if user is not None:
        return batch.series.add(metric=metric, user_id=user)
    return batch.series.add(metric=metric, application_id=application or "")
