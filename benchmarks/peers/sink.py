"""A service that counts the reports it is sent: `python -m benchmarks.peers.sink SECONDS [results]`, with that delay.

It understands Pay-i's ingest, singly and in bulk, and OTLP's traces. With `results` it tells them in bulk, too, to who
asks for them, as our own service does and the hosted Pay-i does not. `GET /counted` tells how many have come.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["spans_in"]

_RESULT = {
    "request_id": "req_1",
    "xproxy_result": {
        "request_id": "req_1",
        "resource_id": "res_1",
        "cost": {
            "currency": "usd",
            "input": {"base": 0.00001},
            "output": {"base": 0.0003},
            "total": {"base": 0.00031},
        },
    },
}
_ANSWER = json.dumps(_RESULT).encode()


class _Counted:
    total = 0


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, *, results: bool) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length) if length else b""
            line = head.partition(b"\r\n")[0]
            if delay and not line.startswith(b"get"):
                await asyncio.sleep(delay)
            wanted = results and b"prefer: return=representation" in head
            body = gzip.decompress(body) if b"content-encoding: gzip" in head else body
            told = _answer(line, body, results=wanted)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)
            )
            if b"connection: close" in head:
                await writer.drain()
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _answer(line: bytes, body: bytes, *, results: bool) -> bytes:
    if line.startswith(b"get /counted"):
        return b"%d" % _Counted.total
    if b"/traces" in line:
        _Counted.total += spans_in(body)
        return b""
    if b"/ingest/bulk" in line:
        count = len(json.loads(body))
        _Counted.total += count
        told: dict[str, Any] = {"ingest_count": count, "total_count": count, "error_count": 0, "errors": []}
        if results:
            told["results"] = [
                {"item_index": number, "xproxy_result": _RESULT["xproxy_result"]} for number in range(count)
            ]
        return json.dumps(told).encode()
    if line.startswith(b"post") and b"/ingest" in line:
        _Counted.total += 1
        return _ANSWER
    return b"{}"


def spans_in(body: bytes) -> int:
    """Count the spans of an `ExportTraceServiceRequest`.

    They are field 2 of field 2 of field 1:
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
    """
    return sum(1 for resource in _fields(body, 1) for scope in _fields(resource, 2) for _ in _fields(scope, 2))


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        kind = tag & 7
        if kind == 2:
            length, place = _number(message, place)
            if tag >> 3 == wanted:
                yield message[place : place + length]
            place += length
        elif kind == 0:
            _, place = _number(message, place)
        else:
            place += 8 if kind == 1 else 4


def _number(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


async def _main(delay: float, *, results: bool) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _serve(reader, writer, delay, results=results), "127.0.0.1", 0, limit=1 << 26
    )
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), results="results" in sys.argv[2:]))
