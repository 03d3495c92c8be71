from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from conftest import Server

import foreshadow
from foreshadow import AsyncClient, Sample, State


@pytest_asyncio.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address, token=server.token) as client:
        yield client


async def state_of(client: AsyncClient, user: str) -> State:
    """That of its latest allocation, once it has ended."""
    for _ in range(100):
        found = [one async for one in client.allocations(user=user)]
        if found and found[-1].state.ended:
            return found[-1].state
        await asyncio.sleep(0.1)
    raise AssertionError(f"{user} still holds: {found}")


async def test_leases_are_held_at_the_same_time_and_given_back(client: AsyncClient) -> None:
    async def held(user: str) -> str:
        async with client.lease("notebook", user=user) as lease:
            await asyncio.sleep(0.5)
            return lease.address

    addresses = await asyncio.gather(held("ada"), held("bob"), held("eve"))
    assert len(set(addresses)) == 3
    for user in ("ada", "bob", "eve"):
        assert await state_of(client, user) is State.RELEASED


async def test_a_lease_is_renewed_for_longer_than_it_was_asked_for(client: AsyncClient) -> None:
    async with client.lease("notebook", user="fay", lease_duration=timedelta(seconds=1)) as lease:
        await asyncio.sleep(2.5)
        held = [one async for one in client.allocations(user="fay")]
        assert held[-1].state is State.GRANTED
    assert lease.lost is None


async def test_a_task_that_is_cancelled_gives_back_what_it_holds_or_waits_for(
    client: AsyncClient,
) -> None:
    async def hold(user: str) -> None:
        async with client.lease("single", user=user):
            await asyncio.sleep(60)

    holder = asyncio.create_task(hold("gus"))
    await asyncio.sleep(1.5)
    waiter = asyncio.create_task(hold("hal"))
    await asyncio.sleep(0.5)
    for task in (waiter, holder):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await state_of(client, "gus") is State.RELEASED
    assert await state_of(client, "hal") is State.CANCELLED


async def test_a_lease_that_ended_early_is_told(client: AsyncClient) -> None:
    short = timedelta(seconds=1)
    async with client.lease("notebook", user="ivy", lease_duration=short) as lease:
        await client.release(lease.allocation)
        await asyncio.sleep(1)
    assert isinstance(lease.lost, foreshadow.Refused)


async def test_what_needs_more_than_there_is_says_when_to_come_back(client: AsyncClient) -> None:
    async with client.lease("single"):
        with pytest.raises(foreshadow.Exhausted) as refused:
            await client.allocate("single", max_wait=timedelta(0))
        assert refused.value.retry_after is not None


async def test_samples_and_tokens(client: AsyncClient, server: Server) -> None:
    reported = await client.report([Sample("cpu_usage_pct", 5.0, user="jan")])
    assert (reported.accepted, reported.refused) == (1, 0)
    shadow = await client.shadow(user="jan")
    assert shadow.metrics[0].latest == 5.0
    async with client.lease("notebook") as lease:
        instance = lease.allocation.instance
        assert instance is not None
        await client.check_token(instance, lease.fencing_token)
    async with AsyncClient(server.address) as stranger:
        with pytest.raises(foreshadow.Unauthenticated):
            await stranger.predict(pool="notebook")


async def test_a_forecast_of_a_pool(client: AsyncClient) -> None:
    for _ in range(100):
        try:
            forecast = await client.predict(pool="notebook", horizon=timedelta(seconds=5))
            break
        except foreshadow.NotFound:
            await asyncio.sleep(0.2)
    assert forecast.at(0.5) == tuple(row[forecast.levels.index(0.5)] for row in forecast.values)


async def test_a_booking_is_cancelled(client: AsyncClient) -> None:
    async with client.lease("single"):
        waiting = await client.allocate("single", max_wait=timedelta(minutes=1))
        assert (await client.cancel(waiting)).state is State.CANCELLED
        with pytest.raises(foreshadow.NotGranted, match="CANCELLED"):
            await client.wait(waiting, timeout_s=10)
