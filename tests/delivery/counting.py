"""An ingest service that keeps only which reports came, in which order: fast enough for tens of thousands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESULT = {"xproxy_result": {"request_id": "req_1"}}


class Counting:
    """`batches` has the provider's response ids of each request that was accepted. `down` has it answer 503.

    `takes` may refuse to answer a bulk of so many reports: the connection is closed then.
    """

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.down = False
        self.refused = 0
        self.takes: Callable[[int], bool] = lambda _: True
        self.url = ""

    @property
    def ids(self) -> list[str]:
        return [id_ for batch in self.batches for id_ in batch]


@contextmanager
def counting_server(port: int = 0) -> Iterator[Counting]:
    """Serve it."""
    counting = Counting()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            items = told if isinstance(told, list) else [told]
            if counting.down:
                counting.refused += 1
                self._answer(503, {})
            elif not counting.takes(len(items)):
                counting.refused += 1
                self.close_connection = True
            else:
                counting.batches.append([item["provider_response_id"] for item in items])
                self._answer(200, {"ingest_count": len(items), "errors": []} if isinstance(told, list) else RESULT)

        def _answer(self, status: int, told: Any) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        counting.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield counting
        finally:
            server.shutdown()
            thread.join(10)
