# A backend on gRPC C-core: echoes, and ends on SIGTERM after the calls that are under way.
import signal
import sys
import threading
from concurrent import futures

import grpc

port, grace_ms = int(sys.argv[1]), int(sys.argv[2])


def stream(requests, _context):
    yield from requests


handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _context: request),
    "Stream": grpc.stream_stream_rpc_method_handler(stream),
}
server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=200), options=[("grpc.so_reuseport", 0)]
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Echo", handlers),))
if server.add_insecure_port(f"127.0.0.1:{port}") == 0:
    sys.exit("the port is taken")
server.start()
print("ready", flush=True)

stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
stopping.wait()
server.stop(grace_ms / 1000).wait()
