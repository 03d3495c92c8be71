"""What the server answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from foreshadow.v1 import allocations_pb2, forecasts_pb2, telemetry_pb2

if TYPE_CHECKING:
    import pandas
    import pyarrow


class State(Enum):
    """Where an allocation stands."""

    GRANTED = allocations_pb2.Allocation.GRANTED
    JOINED = allocations_pb2.Allocation.JOINED
    QUEUED = allocations_pb2.Allocation.QUEUED
    BOOKED = allocations_pb2.Allocation.BOOKED
    RELEASED = allocations_pb2.Allocation.RELEASED
    EXPIRED = allocations_pb2.Allocation.EXPIRED
    CANCELLED = allocations_pb2.Allocation.CANCELLED
    REJECTED = allocations_pb2.Allocation.REJECTED
    LOST = allocations_pb2.Allocation.LOST

    @property
    def ended(self) -> bool:
        """Whether nothing will become of it any more."""
        return self not in (State.GRANTED, State.JOINED, State.QUEUED, State.BOOKED)


@dataclass(frozen=True, slots=True)
class Allocation:
    """A request and what it holds or waits for."""

    id: str
    state: State
    pool: str
    tenant: str
    user: str
    application: str
    warm: bool
    """Whether an instance was ready when the request came."""
    merged: bool
    """Whether the instance is shared with an earlier request."""
    instance: str | None
    address: str | None
    """Where the instance answers, such as `127.0.0.1:41234`; none until it is ready."""
    fencing_token: int
    lease_expires_at: datetime | None
    queue_position: int
    """1 for the next in line, 0 when not queued."""
    estimated_wait: timedelta | None
    durable: bool
    """Whether it was on disk before the answer left."""
    requested_at: datetime | None
    availability_time: datetime | None

    @classmethod
    def of(cls, message: allocations_pb2.Allocation) -> Allocation:
        """From the message of the wire."""
        return cls(
            id=message.allocation_id,
            state=State(message.state),
            pool=message.pool,
            tenant=message.tenant_id,
            user=message.user_id,
            application=message.application_id,
            warm=message.warm,
            merged=message.merged,
            instance=message.instance.id or None,
            address=message.instance.address or None,
            fencing_token=message.fencing_token,
            lease_expires_at=_time(message, "lease_expires_at"),
            queue_position=message.queue_position,
            estimated_wait=_duration(message, "estimated_wait"),
            durable=message.durability == allocations_pb2.Allocation.FSYNC,
            requested_at=_time(message, "requested_at"),
            availability_time=_time(message, "availability_time"),
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quantiles of one metric for each step of a horizon."""

    subject: str
    """The user, application or pool."""
    metric: str
    start: datetime
    """The start of the first step."""
    step: timedelta
    levels: tuple[float, ...]
    """Quantile levels, ascending."""
    values: tuple[tuple[float, ...], ...]
    """For each step one value for each level, in the metric's unit."""
    model: str
    fallback: bool
    """Whether a simpler model answered because the preferred one was late or failed."""
    category: str | None
    """Whose habits it rests on, if not on the subject's own history."""
    recent_coverage_80: float | None
    """The share of values that fell into the 0.1-0.9 interval lately."""

    @classmethod
    def of(cls, message: forecasts_pb2.Forecast) -> Forecast:
        """From the message of the wire."""
        known = message.HasField("recent_coverage_80")
        return cls(
            subject=message.entity_id or message.pool,
            metric=message.metric,
            start=getattr(message, "from").ToDatetime(tzinfo=UTC),
            step=message.step.ToTimedelta(),
            levels=tuple(message.levels),
            values=tuple(tuple(step.quantiles) for step in message.steps),
            model=message.model,
            fallback=message.fallback,
            category=message.category or None,
            recent_coverage_80=message.recent_coverage_80 if known else None,
        )

    @property
    def times(self) -> tuple[datetime, ...]:
        """The start of each step."""
        return tuple(self.start + index * self.step for index in range(len(self.values)))

    def at(self, level: float) -> tuple[float, ...]:
        """The values of one level, one for each step."""
        column = self.levels.index(level)
        return tuple(row[column] for row in self.values)

    def to_arrow(self) -> pyarrow.Table:
        """A column `time` and one for each level, such as `q0.5`; needs the extra `arrow`."""
        import pyarrow

        columns = {"time": pyarrow.array(self.times, pyarrow.timestamp("ms", tz="UTC"))}
        for level in self.levels:
            columns[f"q{level:g}"] = pyarrow.array(self.at(level), pyarrow.float64())
        return pyarrow.table(columns)

    def to_pandas(self) -> pandas.DataFrame:
        """The same as a data frame with `time` as its index; needs the extra `pandas`."""
        frame: pandas.DataFrame = self.to_arrow().to_pandas().set_index("time")
        return frame


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement of one metric of a user or an application."""

    metric: str
    """Its unit at the end, such as `memory_usage_bytes`."""
    value: float
    user: str | None = None
    application: str | None = None
    at: datetime | None = None
    """Now if none."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of reported samples."""

    accepted: int
    refused: int
    first_error: str | None
    duplicates: int = 0
    """Of those accepted, samples that had been taken before; they count once."""

    @classmethod
    def of(cls, message: telemetry_pb2.ReportResponse) -> Reported:
        """From the message of the wire."""
        return cls(
            message.accepted,
            message.refused,
            message.first_error or None,
            message.duplicates,
        )

    def __add__(self, later: Reported) -> Reported:
        return Reported(
            self.accepted + later.accepted,
            self.refused + later.refused,
            self.first_error or later.first_error,
            self.duplicates + later.duplicates,
        )


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    time: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return time


def _duration(message: Message, field: str) -> timedelta | None:
    if not message.HasField(field):
        return None
    duration: timedelta = getattr(message, field).ToTimedelta()
    return duration
