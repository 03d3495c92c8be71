from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import Server

import foreshadow
from foreshadow import Allocation, Client, Requirements, Sample, State

NONE_AT_ALL = timedelta(0)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, token=server.token) as client:
        yield client


def eventually(client: Client, user: str) -> Allocation:
    """Its latest allocation, once it has ended."""
    for _ in range(100):
        found = list(client.allocations(user=user))
        if found and found[-1].state.ended:
            return found[-1]
        time.sleep(0.1)
    raise AssertionError(f"{user} still holds: {found}")


def test_a_lease_answers_while_it_is_held_and_is_given_back(client: Client) -> None:
    with client.lease("notebook", user="ada", application="jupyter", tenant="acme") as lease:
        with urllib.request.urlopen(f"http://{lease.address}/", timeout=10) as answer:
            assert answer.status == 200
        (held,) = client.allocations(user="ada", states=[State.GRANTED])
        assert held.fencing_token == lease.fencing_token
        assert (held.pool, held.tenant, held.application) == ("notebook", "acme", "jupyter")
        assert held.durable
        assert held.requested_at is not None
        assert held.requested_at <= datetime.now(UTC)
    assert lease.lost is None
    assert eventually(client, "ada").state is State.RELEASED


def test_a_lease_is_renewed_for_longer_than_it_was_asked_for(client: Client) -> None:
    short = timedelta(seconds=1)
    with client.lease("notebook", user="bob", lease_duration=short) as lease:
        first = lease.allocation.lease_expires_at
        time.sleep(2.5)
        (held,) = client.allocations(user="bob")
        assert held.state is State.GRANTED
        assert lease.allocation.lease_expires_at > first
    assert lease.lost is None


def test_a_lease_that_ended_early_is_told(client: Client) -> None:
    short = timedelta(seconds=1)
    with client.lease("notebook", user="eve", lease_duration=short) as lease:
        client.release(lease.allocation)
        time.sleep(1)
    assert isinstance(lease.lost, foreshadow.Refused)


def test_what_needs_more_than_there_is_says_when_to_come_back(client: Client) -> None:
    with client.lease("single"):
        with pytest.raises(foreshadow.Exhausted) as refused:
            client.allocate("single", max_wait=NONE_AT_ALL)
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > NONE_AT_ALL


def test_a_request_that_waits_is_watched_until_it_is_granted(client: Client) -> None:
    with client.lease("single"):
        waiting = client.allocate("single", user="fay", max_wait=timedelta(minutes=1))
        assert waiting.state in (State.QUEUED, State.JOINED)
        first = next(client.watch(waiting))
        assert first.id == waiting.id
    granted = client.wait(waiting, timeout_s=30)
    assert granted.address
    client.release(granted)


def test_a_request_that_is_given_up_is_taken_back(client: Client) -> None:
    late = client.lease("single", user="gus", grant_timeout_s=0.3)
    with client.lease("single"), pytest.raises(foreshadow.DeadlineExceeded), late:
        pytest.fail("there is one instance")
    assert eventually(client, "gus").state is State.CANCELLED


def test_requirements_choose_the_pool(client: Client) -> None:
    needed = Requirements(vcpus=4, labels={"zone": "a"})
    with client.lease(requirements=needed) as lease:
        assert lease.allocation.pool == "single"
    with pytest.raises(foreshadow.Refused):
        client.allocate(requirements=Requirements(gpus=1))


def test_a_stale_token_is_refused(client: Client) -> None:
    with client.lease("notebook") as lease:
        instance = lease.allocation.instance
        assert instance is not None
        client.check_token(instance, lease.fencing_token)
        with pytest.raises(foreshadow.Refused):
            client.check_token(instance, lease.fencing_token + 1)


def test_a_key_gives_one_allocation(client: Client) -> None:
    first = client.allocate("notebook", user="hal", idempotency_key="k")
    assert client.allocate("notebook", user="hal", idempotency_key="k").id == first.id
    with pytest.raises(foreshadow.KeyMisused):
        client.allocate("notebook", user="ivy", idempotency_key="k")
    client.release(client.wait(first, timeout_s=30))


def test_all_pages_are_listed(client: Client, server: Server) -> None:
    before = len(list(client.allocations(user="pat")))
    for _ in range(3):
        with client.lease("notebook", user="pat"):
            pass
    assert len(list(client.allocations(user="pat"))) == before + 3


def test_errors_name_what_is_wrong(client: Client, server: Server) -> None:
    with pytest.raises(foreshadow.NotFound, match="nowhere"):
        client.allocate("nowhere")
    with pytest.raises(foreshadow.InvalidRequest, match="max_wait"):
        client.allocate("notebook", max_wait=timedelta(seconds=-5))
    with pytest.raises(TypeError, match="either"):
        client.allocate()
    with pytest.raises(ValueError, match="time zone"):
        client.allocate("notebook", at=datetime(2030, 1, 1))
    stranger = Client(server.address, token="wrong")
    with stranger, pytest.raises(foreshadow.Unauthenticated, match="token"):
        stranger.allocate("notebook")
    with Client("127.0.0.1:1") as nobody, pytest.raises(foreshadow.Unavailable):
        nobody.allocate("notebook")


def test_a_booking_is_for_its_time(client: Client) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    booked = client.allocate("notebook", user="jan", at=at)
    assert booked.state in (State.BOOKED, State.QUEUED)
    assert booked.availability_time is not None
    assert abs(booked.availability_time - at) < timedelta(milliseconds=2)
    assert client.cancel(booked).state is State.CANCELLED


def test_reported_samples_become_a_shadow_and_a_forecast(client: Client) -> None:
    now = datetime.now(UTC)
    samples = [
        Sample("cpu_usage_pct", float(value), user="kim", at=now - timedelta(seconds=60 - value))
        for value in range(60)
    ]
    samples.append(Sample("cpu_usage_pct", 1.0, user="kim", at=now + timedelta(days=1)))
    samples.append(Sample("memory_usage_bytes", 1e9, application="jupyter"))
    reported = client.report(samples)
    assert (reported.accepted, reported.refused) == (61, 1)
    assert reported.first_error
    shadow = client.shadow(user="kim")
    (metric,) = shadow.metrics
    assert (metric.metric, metric.samples) == ("cpu_usage_pct", 60)
    assert client.shadow(application="jupyter").entity_id == "jupyter"
    with pytest.raises(foreshadow.NotFound):
        client.shadow(user="nobody")


def test_a_forecast_is_a_table(client: Client) -> None:
    for _ in range(100):
        try:
            forecast = client.predict(
                pool="notebook", horizon=timedelta(seconds=10), levels=[0.1, 0.5, 0.9]
            )
            break
        except foreshadow.ForeshadowError:
            time.sleep(0.2)
    assert forecast.subject == "notebook"
    assert forecast.levels == (0.1, 0.5, 0.9)
    assert len(forecast.times) == len(forecast.values) > 0
    frame = forecast.to_pandas()
    assert list(frame.columns) == ["q0.1", "q0.5", "q0.9"]
    assert frame.index[0] == forecast.start
    assert (frame["q0.1"] <= frame["q0.9"]).all()
    assert forecast.to_arrow().num_rows == len(forecast.values)
