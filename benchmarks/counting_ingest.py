"""An ingest service that counts what it gets and does nothing else: what the client can do shows here.

`POST /mode` with `ok`, `503` or `hang` says how it answers from then on; `GET /seen` tells what has been accepted.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from benchmarks.serving import serve

RESULT = {"xproxy_result": {"request_id": "req_1"}}
_mode = "ok"
_times: Counter[str] = Counter()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept every report, unless told otherwise."""
    global _mode
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    path = scope["path"]
    if path == "/mode":
        _mode = body.decode()
        await _answer(send, 200, {})
    elif path == "/seen":
        await _answer(send, 200, {"distinct": len(_times), "most": max(_times.values(), default=0)})
    elif _mode == "hang":
        while (await receive())["type"] != "http.disconnect":
            pass
    elif _mode == "503":
        await _answer(send, 503, {})
    else:
        await _answer(send, 200, _taken(path, scope["query_string"].decode(), json.loads(body)))


def _taken(path: str, query: str, told: Any) -> dict[str, Any]:
    if not path.endswith("/bulk"):
        _times[parse_qs(query)["id"][0]] += 1
        return RESULT
    _times.update(item["provider_response_id"] for item in told)
    count = len(told)
    return {"ingest_count": count, "total_count": count, "error_count": 0, "errors": []}


async def _answer(send: Send, status: int, told: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


if __name__ == "__main__":
    serve(app)
