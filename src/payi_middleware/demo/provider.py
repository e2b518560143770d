"""A provider to talk to without an account: OpenAI's, Anthropic's and Groq's wire formats on a local port."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

import uvicorn

from payi_middleware.demo.behaviour import HEADER, Behaviour
from payi_middleware.demo.standin import Desk, Recorded, create_app

__all__ = ["HEADER", "Behaviour", "Provider", "Recorded", "create_app"]

_START_TIMEOUT: Final = 10.0  # seconds
_STOP_TIMEOUT: Final = 10.0  # seconds
_KEEP_ALIVE: Final = 60  # seconds; longer than a client's pool keeps a connection, so that none is closed under it


class _Server(uvicorn.Server):
    """Tell when it listens, and end what is still being answered before it stops."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self.desk = desk
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.desk.closing.set()
        await super().shutdown(sockets)


class Provider:
    """Run the stand-in provider under uvicorn, in a thread, on a free loopback port (or the one given).

    A context manager. `behaviour` applies to every call from when it is set; a call's own `x-stand-in` header, a JSON
    object of `Behaviour` fields, amends it. `requests` lists what was asked, oldest first.
    Raises OSError if the port is taken and RuntimeError if the server does not start.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, port: int = 0) -> None:
        self._desk = Desk(behaviour or Behaviour())
        self._asked_port = port
        self._stack = contextlib.ExitStack()
        self.port = 0

    @property
    def behaviour(self) -> Behaviour:
        """Return how calls are answered; set it to change that."""
        return self._desk.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._desk.behaviour = behaviour

    @property
    def requests(self) -> list[Recorded]:
        """Return what was asked so far."""
        return self._desk.requests

    @property
    def url(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """Return what OPENAI_BASE_URL is set to."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Return what ANTHROPIC_BASE_URL is set to; the SDK adds /v1/messages."""
        return self.url

    @property
    def groq_url(self) -> str:
        """Return what GROQ_BASE_URL is set to; the SDK adds /openai/v1/chat/completions."""
        return self.url

    @property
    def azure_url(self) -> str:
        """Return what AZURE_OPENAI_ENDPOINT is set to; the SDK adds /openai/deployments/{deployment}/..."""
        return self.url

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._asked_port))
        # asyncio turns Nagle's algorithm off only for sockets made with an explicit protocol: an answer whose head and
        # body are written one after the other would wait 40 ms for the client's delayed acknowledgement (RFC 1122).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(self._desk),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=int(_STOP_TIMEOUT / 2),
        )
        server = _Server(config, self._desk)
        thread = threading.Thread(target=server.run, args=([listener],), name="stand-in-provider", daemon=True)
        thread.start()
        self._stack.callback(_stop, server, thread, listener)
        if not server.listening.wait(_START_TIMEOUT):
            self._stack.close()
            raise RuntimeError("the stand-in provider did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _stop(server: _Server, thread: threading.Thread, listener: socket.socket) -> None:
    server.should_exit = True
    thread.join(_STOP_TIMEOUT)
    listener.close()
