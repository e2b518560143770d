"""An app on uvicorn whose handler makes one provider call: `python -m benchmarks.peers.serving TOOL OPTIONS PROVIDER`.

`GET /` makes the call; `GET /told` says what was recorded up to now, and the CPU seconds of this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from time import process_time

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.provided import ASKED
from benchmarks.peers.tools.base import CALL, App, tool_of


def _app(name: str, options: dict[str, str], provider: str) -> App:
    tool = tool_of(name, options)
    tool.start()
    client = tool.openai(asynchronous=True)(
        api_key="key",
        base_url=f"{provider}/v1",
        max_retries=0,
        http_client=httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), timeout=60),
    )
    tool.client(client._client)

    async def ask(request: Request) -> JSONResponse:
        answer = await client.chat.completions.create(**ASKED)
        return JSONResponse({"answer": answer.choices[0].message.content})

    async def tell(request: Request) -> JSONResponse:
        await asyncio.to_thread(tool.flush)
        return JSONResponse({CALL: (await asyncio.to_thread(tool.recorded)).get(CALL, 0), "cpu": process_time()})

    return tool.asgi(Starlette(routes=[Route("/", ask), Route("/told", tell)]))


def main() -> None:
    """Serve, on the loop and with the parser that every environment has."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    app = _app(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
    # By its protocol, asyncio tells where Nagle's algorithm is to be turned off, as it is where a server binds itself:
    # https://github.com/python/cpython/blob/3.11/Lib/asyncio/base_events.py (_set_nodelay)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        answers.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        answers.flush()
        how = uvicorn.Config(app, log_level="error", access_log=False, loop="asyncio", http="h11")
        uvicorn.Server(how).run(sockets=[listener])


if __name__ == "__main__":
    main()
