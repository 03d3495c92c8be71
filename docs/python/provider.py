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
                with socket.create_server(("127.0.0.1", 0)) as free:
                    port = free.getsockname()[1]
                command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
                command += ["--directory", request.parameters.get("folder", ".")]
                quietly = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                process = subprocess.Popen(command, **quietly)
                self.instances[key] = request.pool, port, process
        return self.Get(request, context)

    def Get(self, request, context):
        known = self.instances.get((request.owner, request.instance_id))
        if known is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.instance_id}")
        return instance(request.instance_id, *known)

    def Stop(self, request, context):
        with self.lock:
            known = self.instances.pop((request.owner, request.instance_id), None)
        if known:
            known[2].terminate()
            known[2].wait()
        return wire.Instance(instance_id=request.instance_id, state=wire.Instance.GONE)

    def List(self, request, context):
        for (owner, id), known in list(self.instances.items()):
            if owner == request.owner:
                yield instance(id, *known)


def instance(id, pool, port, process):
    with socket.socket() as client:
        answers = client.connect_ex(("127.0.0.1", port)) == 0
    state, reason = wire.Instance.READY if answers else wire.Instance.STARTING, ""
    if process.poll() is not None:
        state, reason = wire.Instance.FAILED, f"it ended with {process.returncode}"
    address = f"127.0.0.1:{port}"
    return wire.Instance(instance_id=id, state=state, address=address, reason=reason, pool=pool)


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    services.add_ProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 9000}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()
