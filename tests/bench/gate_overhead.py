"""What the gate adds to a request: the same trivial ASGI app with and without it, interleaved.

``python tests/bench/gate_overhead.py [--requests N] [--rounds N]`` calls both in one process,
without sockets, so that the difference is the gate's own work. Prints the median and the spread
over the rounds of what it adds at the 50th and 99th percentile, and its CPU time.
"""

import argparse
import asyncio
import json
import statistics
import time
from types import SimpleNamespace

from fairlead_api.modelservice import Limits
from fairlead_api.servefile import ServeFile
from fairlead_server.middleware import Gate
from fairlead_server.progress import Progress

PATH = "/v1/chat/completions"
SERVE = ServeFile(
    model_uri="pvc://models/tiny", served_model_name="tiny", limits=Limits(max_tokens=256)
)


async def app(scope, receive, send):
    """Read the request, stream an answer of ten pieces."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(10):
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def request(num_bytes):
    """A scope and its body; the gate has to write max_tokens into it."""
    body = json.dumps(
        {"model": "tiny", "messages": [{"role": "user", "content": "x" * num_bytes}]}
    ).encode()
    client = SimpleNamespace(
        get_num_unfinished_requests=lambda: 1,
        errored=False,
        model_config=SimpleNamespace(max_model_len=4096),
        logger_manager=SimpleNamespace(stat_loggers=[SimpleNamespace(progress=Progress())]),
    )
    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(),
        "client": ("10.0.0.1", 1),
        "headers": [(b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode())],
        "app": SimpleNamespace(state=SimpleNamespace(engine_client=client)),
    }  # fmt: skip
    return scope, body


async def measure(target, scope, body, num_requests):
    """Seconds of each request, and CPU seconds of all."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        pass

    seconds = []
    begun = time.process_time()
    for _ in range(num_requests):
        start = time.perf_counter()
        await target(scope, receive, send)
        seconds.append(time.perf_counter() - start)
    return seconds, time.process_time() - begun


def percentile(seconds, share):
    return sorted(seconds)[int(share * (len(seconds) - 1))]


async def compare(num_bytes, num_requests, num_rounds):
    scope, body = request(num_bytes)
    gate = Gate(app, SERVE)
    rows = []
    for _ in range(num_rounds):
        bare, bare_cpu = await measure(app, scope, body, num_requests)
        gated, gated_cpu = await measure(gate, scope, body, num_requests)
        rows.append(
            (
                percentile(gated, 0.5) - percentile(bare, 0.5),
                percentile(gated, 0.99) - percentile(bare, 0.99),
                (gated_cpu - bare_cpu) / num_requests,
            )
        )
    return zip(*rows, strict=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for num_bytes in (200, 20_000):
        columns = asyncio.run(compare(num_bytes, options.requests, options.rounds))
        for label, values in zip(("p50", "p99", "CPU"), columns, strict=True):
            micro = [value * 1e6 for value in values]
            print(
                f"prompt of {num_bytes:>6} bytes, added {label}: median "
                f"{statistics.median(micro):7.1f} us, rounds {min(micro):.1f} to {max(micro):.1f}"
            )


if __name__ == "__main__":
    main()
