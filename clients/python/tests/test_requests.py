from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from foreshadow import Requirements, Sample, requests


def test_what_is_not_said_is_not_sent() -> None:
    request = requests.allocate("notebook", {})
    assert request.pool == "notebook"
    for field in ("availability_time", "max_wait", "lease_duration"):
        assert not request.HasField(field)


def test_zero_is_said() -> None:
    request = requests.allocate("notebook", {"max_wait": timedelta(0)})
    assert request.HasField("max_wait")


def test_requirements_are_told_in_full() -> None:
    needed = Requirements(
        vcpus=2,
        memory_bytes=1 << 30,
        gpus=1,
        dependencies=["python3.12"],
        labels={"zone": "a"},
        preferences=[{"rack": "1"}, {"rack": "2"}],
    )
    told = requests.allocate(None, {"requirements": needed}).requirements
    assert (told.vcpus, told.memory_bytes, told.gpus) == (2.0, 1 << 30, 1)
    assert list(told.dependencies) == ["python3.12"]
    assert dict(told.labels) == {"zone": "a"}
    assert [dict(liked.labels) for liked in told.preferences] == [{"rack": "1"}, {"rack": "2"}]


def test_samples_of_one_series_go_together_and_batches_are_bounded() -> None:
    count = requests.BATCH + 1
    now = datetime.now(UTC)
    samples = [Sample("a", float(i), user="ada", at=now) for i in range(count)]
    samples.append(Sample("a", 0.0, application="ada"))
    first, second = requests.reports(samples)
    assert [len(series.points) for series in first.series] == [requests.BATCH]
    assert [series.WhichOneof("entity") for series in second.series] == [
        "user_id",
        "application_id",
    ]
    assert not second.series[1].points[0].HasField("at")


def test_no_samples_are_no_batch() -> None:
    assert list(requests.reports([])) == []


def test_a_sample_is_of_somebody() -> None:
    with pytest.raises(TypeError, match="user or an application"):
        list(requests.reports([Sample("a", 1.0)]))


def test_a_time_has_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        requests.timestamp(datetime(2030, 1, 1))
