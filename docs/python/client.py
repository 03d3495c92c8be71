"""Asks a running Foreshadow for a forecast and for instances, and times them.

    python3 client.py [--server 127.0.0.1:7070] [--pool notebook]

The stubs come from the proto files; see README.md in this folder.
"""

import argparse
import time
import urllib.request

import grpc
from google.protobuf.duration_pb2 import Duration

from foreshadow.v1 import allocations_pb2, allocations_pb2_grpc
from foreshadow.v1 import forecasts_pb2, forecasts_pb2_grpc

DONE_WAITING = {
    allocations_pb2.Allocation.RELEASED,
    allocations_pb2.Allocation.EXPIRED,
    allocations_pb2.Allocation.CANCELLED,
    allocations_pb2.Allocation.REJECTED,
    allocations_pb2.Allocation.LOST,
}


class Client:
    """Two services over one channel, with the token on every call if there is one."""

    def __init__(self, server, token=None):
        channel = grpc.insecure_channel(server)
        self.allocations = allocations_pb2_grpc.AllocationsStub(channel)
        self.forecasts = forecasts_pb2_grpc.ForecastsStub(channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else None

    def predict_resource_demand(self, user, horizon_s, metric="requests"):
        """The median demand of a user for each step of the horizon."""
        request = forecasts_pb2.PredictRequest(
            entity_id=user, metric=metric, horizon=Duration(seconds=horizon_s), levels=[0.5]
        )
        forecast = self.forecasts.Predict(request, metadata=self.metadata, timeout=10)
        return [step.quantiles[0] for step in forecast.steps]

    def predict_pool(self, pool, horizon_s):
        """Quantiles of the requests that a pool will get."""
        request = forecasts_pb2.PredictRequest(
            pool=pool, horizon=Duration(seconds=horizon_s), levels=[0.1, 0.5, 0.9]
        )
        return self.forecasts.Predict(request, metadata=self.metadata, timeout=10)

    def allocate(self, pool, user):
        """An allocation that holds a ready instance, however long that takes."""
        request = allocations_pb2.AllocateRequest(
            pool=pool, user_id=user, application_id="example",
            max_wait=Duration(seconds=120), lease_duration=Duration(seconds=300),
        )
        allocation = self.allocations.Allocate(request, metadata=self.metadata, timeout=10)
        if allocation.state == allocations_pb2.Allocation.GRANTED:
            return allocation
        watch = allocations_pb2.WatchRequest(allocation_id=allocation.allocation_id)
        for now in self.allocations.Watch(watch, metadata=self.metadata, timeout=150):
            if now.state == allocations_pb2.Allocation.GRANTED:
                # `warm` says how the request was met when it came.
                return now
            if now.state in DONE_WAITING:
                break
        raise RuntimeError(f"{allocation.allocation_id} was not granted")

    def release(self, allocation):
        request = allocations_pb2.ReleaseRequest(
            allocation_id=allocation.allocation_id, fencing_token=allocation.fencing_token
        )
        return self.allocations.Release(request, metadata=self.metadata, timeout=10)


def first_answer(address):
    """Waits for the instance's own first answer over HTTP; its status."""
    with urllib.request.urlopen(f"http://{address}/", timeout=30) as answer:
        return answer.status


def timed(client, pool, user):
    """Claims one instance and calls it; the allocation and both times in seconds."""
    begin = time.perf_counter()
    allocation = client.allocate(pool, user)
    granted_s = time.perf_counter() - begin
    answered_s = None
    if allocation.instance.address:
        first_answer(allocation.instance.address)
        answered_s = time.perf_counter() - begin
    return allocation, granted_s, answered_s


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="127.0.0.1:7070")
    parser.add_argument("--pool", default="notebook")
    parser.add_argument("--user", default="ada")
    parser.add_argument("--token")
    parser.add_argument("--claims", type=int, default=8, help="how many instances to claim at most")
    args = parser.parse_args()
    client = Client(args.server, args.token)

    forecast = client.predict_pool(args.pool, horizon_s=300)
    print(f"forecast of {args.pool} by {forecast.model}: "
          f"{len(forecast.steps)} steps of {forecast.step.ToTimedelta()}")

    # Claim until one request finds nothing warm: then both kinds have been seen.
    held, shown = [], set()
    try:
        for _ in range(args.claims):
            allocation, granted_s, answered_s = timed(client, args.pool, args.user)
            held.append(allocation)
            kind = "warm" if allocation.warm else "cold"
            if kind not in shown:
                shown.add(kind)
                answered = "-" if answered_s is None else f"{answered_s * 1e3:.1f} ms"
                print(f"{kind}: granted in {granted_s * 1e3:.1f} ms, first answer after {answered} "
                      f"({allocation.instance.id} at {allocation.instance.address or 'no address'})")
            if shown == {"warm", "cold"}:
                break
    finally:
        for allocation in held:
            client.release(allocation)
    print(f"released {len(held)} instances")

    try:
        demand = client.predict_resource_demand(args.user, horizon_s=300)
        print(f"expected requests of {args.user}, median of each step: {demand[:5]}")
    except grpc.RpcError as error:
        print(f"no forecast for {args.user} yet: {error.details()}")


if __name__ == "__main__":
    main()
