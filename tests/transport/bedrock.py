"""A local server that answers as Bedrock's runtime does, and clients of boto3 that call it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config

from tests.providers.aws_frames import chunk, event

MODEL = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "Which city is the capital of Norway?"}]}]
USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 30, "cacheReadInputTokens": 20}
CONVERSED: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Oslo."}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 4},
}
CONVERSATION = [
    event("messageStart", {"role": "assistant"}),
    *[event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in ("Os", "lo", ".")],
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 4}}),
]
MESSAGE: dict[str, Any] = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-20250514",
    "content": [{"type": "text", "text": "Oslo."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
METRICS = {"inputTokenCount": 7, "outputTokenCount": 3, "invocationLatency": 5, "firstByteLatency": 2}
MESSAGE_CHUNKS = [
    chunk({"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 7}}}),
    chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Oslo."}}),
    chunk({"type": "content_block_stop", "index": 0}),
    chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
    chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}),
]


@dataclass(frozen=True)
class Reply:
    """One answer: its pieces are sent chunked, or in one with their length; `cut` breaks the connection after them."""

    pieces: list[bytes]
    status: int = 200
    content_type: str = "application/vnd.amazon.eventstream"
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = True
    cut: bool = False


def whole(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """Return a JSON answer."""
    return Reply([json.dumps(body).encode()], status, "application/json", headers or {}, chunked=False)


@dataclass
class Bedrock:
    """The server: it gives its replies in turn, the last one for ever, and lists what it was asked."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bedrock: Bedrock

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.bedrock.asked.append((self.path, headers, self.rfile.read(int(headers["content-length"]))))
        reply = self.bedrock.next_reply()
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("x-amzn-requestid", "11111111-2222-3333-4444-555555555555")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(sum(map(len, reply.pieces)) + reply.cut))
        self.end_headers()
        try:
            for piece in reply.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.chunked else piece)
            if reply.chunked and not reply.cut:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client went away, as some tests mean it to
            self.close_connection = True
        self.close_connection |= reply.cut

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def serving() -> Iterator[Bedrock]:
    """Serve Bedrock on a loopback port."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        bedrock = handler.bedrock = Bedrock(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield bedrock
        finally:
            server.shutdown()
            thread.join(10)


def client(url: str, *, service: str = "bedrock-runtime", attempts: int = 1) -> Any:
    """Return a client of boto3, with keys that open nothing."""
    retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
        config=Config(retries=retries, connect_timeout=5, read_timeout=10, proxies={}),
    )
