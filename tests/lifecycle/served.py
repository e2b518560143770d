"""An app as servers of their own load it: `served:app` by ASGI servers, `served:wsgi` by WSGI servers.

`STAND_IN_URL` is the provider's address; settings come from the environment. With `ASK_WHILE_LOADING`, one provider
call is made when the app is loaded. Run as a program with `LISTENING_FD`, the number of a listening socket, it is
served by waitress. No SDK is used, as loading one takes longer than all the rest.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import httpx

from payi_middleware import PayiMiddleware, PayiWSGIMiddleware, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_URL = f"{os.environ['STAND_IN_URL']}/chat/completions"
_CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
_client = httpx.Client(trust_env=False)


def _answer(told: bytes) -> bytes:
    """Name the provider's answer, which is a JSON object or begins with one as an event, and this process."""
    first = json.loads(told.partition(b"\n")[0].removeprefix(b"data: "))
    return json.dumps({"id": first["id"], "pid": os.getpid()}).encode()


async def _asgi_ask(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    async with httpx.AsyncClient(trust_env=False) as client:
        streamed = await client.post(_URL, json={**_CHAT, "stream": True})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": _answer(streamed.content)})


def _wsgi_ask(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    answer = _answer(_client.post(_URL, json=_CHAT).content)
    start_response("200 OK", [("content-length", str(len(answer)))])
    return [answer]


app = PayiMiddleware(_asgi_ask, Settings())
wsgi: WSGIApplication = PayiWSGIMiddleware(_wsgi_ask, Settings())
if "ASK_WHILE_LOADING" in os.environ:
    _client.post(_URL, json=_CHAT)

if __name__ == "__main__":
    import waitress

    waitress.serve(wsgi, sockets=[socket.socket(fileno=int(os.environ["LISTENING_FD"]))], threads=8, _quiet=True)
