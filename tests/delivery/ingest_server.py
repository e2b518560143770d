"""The service under uvicorn, which keeps what it was sent and can be told to misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.transport.serving import serve

PAYI_KEY = "payi-key-of-the-app"
NO_HEADERS: Mapping[str, str] = {}
HTML = b"<html>502 Bad Gateway</html>"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    peer: tuple[str, int]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass(frozen=True)
class Refusal:
    """What the service says of a report; `blocked` are the limits that it names as the reason, where it names any."""

    status: int
    code: str = "told_to"
    message: str = "no"
    blocked: tuple[str, ...] | None = None

    @property
    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"statusCode": self.status, "message": self.message}
        error["xproxy_error"] = {"code": self.code, "message": self.message}
        return error if self.blocked is None else {**error, "xproxy_result": {"blocked_limit_ids": list(self.blocked)}}


@dataclass
class Ingest:
    """`mode` is "ok", "hang", "half", "html", a status, or a status with an HTML body ("html 401").

    With "ok", `judge` is asked about each report first, and may refuse it. Bulk answers tell results only if
    `tells_results`, and a bulk with a report that is refused is refused as a whole if `as_a_whole`.
    `headers` go with answers of a bare status.
    """

    ledger: Ledger
    mode: str | int = "ok"
    judge: Callable[[dict[str, Any]], Refusal | None] | None = None
    tells_results: bool = True
    as_a_whole: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.received: list[Received] = []
        self.asked = threading.Event()
        self.url = ""
        self._service = create_app(self.ledger, api_key=PAYI_KEY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.received.append(Received(scope["method"], scope["path"], query, headers, raw, scope["client"]))
        self.asked.set()
        if self.mode == "ok":
            if (told := self._own_answer(scope["path"], raw, headers)) is not None:
                await _answer(send, told[0], json.dumps(told[1], default=float).encode())
            else:
                await self._service(scope, _replay(raw), send)
        elif self.mode == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif self.mode == "half":
            await _start(send, 200, (b"content-length", b"4000"))
            await send({"type": "http.response.body", "body": b'{"xproxy_result": {', "more_body": True})
        elif isinstance(self.mode, int):
            await _answer(send, self.mode, json.dumps(Refusal(self.mode).body).encode(), self.headers)
        else:
            await _answer(send, int(self.mode.removeprefix("html").strip() or 200), HTML)

    def _own_answer(self, path: str, raw: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        """Return a status and a body where the service itself would say something else."""
        if not _is_json(raw):
            return None
        if path.endswith("/bulk") and not (self.tells_results and self.judge is None):
            return self._judged(json.loads(raw))
        if self.judge is not None and (refusal := self.judge(_item(json.loads(raw), headers))):
            return refusal.status, refusal.body
        return None

    def _judged(self, items: list[Any]) -> tuple[int, dict[str, Any]]:
        judge = self.judge or (lambda _: None)
        refused = {index: refusal for index, item in enumerate(items) if (refusal := judge(item))}
        if refused and self.as_a_whole:
            first = next(iter(refused.values()))
            return first.status, first.body
        kept = [index for index in range(len(items)) if index not in refused]
        answer = self.ledger.ingest_bulk([items[index] for index in kept], with_results=self.tells_results)
        for told in (*answer["errors"], *answer.get("results", ())):
            told["item_index"] = kept[told["item_index"]]
        answer["errors"] += [{"item_index": index, "xproxy_result": one.body} for index, one in refused.items()]
        return 200, answer


def _item(body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Return a single report as it would be in a bulk, as far as judges look at it."""
    limits, user_id = headers.get("xproxy-limit-ids"), headers.get("xproxy-user-id")
    return {**body, **({"limit_ids": limits.split(",")} if limits else {}), **({"user_id": user_id} if user_id else {})}


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def _replay(raw: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive


async def _start(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
    await _start(send, status, *((name.encode(), value.encode()) for name, value in headers.items()))
    await send({"type": "http.response.body", "body": body})


@contextmanager
def ingest_server(path: Path, *, port: int = 0, mode: str | int = "ok") -> Iterator[Ingest]:
    """Serve a ledger at this path."""
    with Ledger(path) as ledger:
        ingest = Ingest(ledger)
        ingest.mode = mode
        with serve(ingest, port=port) as url:
            ingest.url = url
            yield ingest
