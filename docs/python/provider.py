"""A provider whose instances are small web servers, over gRPC `foreshadow.provider.v1`.

    pip install grpcio grpcio-tools
    python3 provider.py [PORT]
"""

import pathlib
import socket
import subprocess
import sys
import threading
from concurrent import futures

import grpc

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
QUIETLY = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
wire, services = grpc.protos_and_services("foreshadow/provider/v1/provider.proto")


class Provider(services.ProviderServicer):
    """What is not defined here (Reset, Hold, Thaw) is UNIMPLEMENTED, which is allowed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.instances = {}  # (owner, instance id) -> (pool, port, process)

    def Start(self, request, context):
        key = request.owner, request.instance_id
        with self.lock:
            if key not in self.instances:  # asked again, it starts nothing more
                port = free_port()
                command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
                folder = request.parameters.get("folder", ".")
                process = subprocess.Popen(command + ["--directory", folder], **QUIETLY)
                self.instances[key] = request.pool, port, process
        return self.Get(request, context)

    def Get(self, request, context):
        instance = self.instance(request.owner, request.instance_id)
        if instance is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.instance_id}")
        return instance

    def Stop(self, request, context):
        with self.lock:
            known = self.instances.pop((request.owner, request.instance_id), None)
        if known:
            known[2].terminate()
            known[2].wait()
        return wire.Instance(instance_id=request.instance_id, state=wire.Instance.GONE)

    def List(self, request, context):
        ids = [id for owner, id in list(self.instances) if owner == request.owner]
        yield from filter(None, (self.instance(request.owner, id) for id in ids))

    def instance(self, owner, id):
        known = self.instances.get((owner, id))
        if known is None:
            return None
        pool, port, process = known
        state = wire.Instance.READY if answers(port) else wire.Instance.STARTING
        if process.poll() is not None:
            state = wire.Instance.FAILED
        reason = f"it ended with {process.returncode}" if state == wire.Instance.FAILED else ""
        address = f"127.0.0.1:{port}"
        return wire.Instance(instance_id=id, state=state, address=address, reason=reason, pool=pool)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    services.add_ProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 9000}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()
