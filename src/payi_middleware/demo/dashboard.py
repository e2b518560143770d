"""The dashboard of the demo's ledger, served in this process."""

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Final

import httpx
import uvicorn

from payi_middleware.demo.children import DemoError
from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger

_START_TIMEOUT: Final = 10.0  # seconds
_STOP_TIMEOUT: Final = 5  # seconds


class _Server(uvicorn.Server):
    """Tell when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.contextmanager
def dashboard(ledger: Ledger, port: int) -> Iterator[str]:
    """Serve a ledger's dashboard to this machine, without a key, and return its address.

    Raises DemoError if it does not start.
    """
    app = create_app(ledger, stored_keys=True, config=ServiceConfig(open_dashboard=True))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_STOP_TIMEOUT)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="demo-dashboard", daemon=True)
        thread.start()
        try:
            if not server.listening.wait(_START_TIMEOUT):
                raise DemoError("the dashboard did not start")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def look(url: str, users: Iterable[str]) -> None:
    """Open the dashboard once; raise DemoError if it does not show what these users have spent."""
    page = httpx.get(f"{url}spend/users", trust_env=False, timeout=_START_TIMEOUT)
    missing = [user for user in users if user not in page.text]
    if page.status_code != httpx.codes.OK or missing:
        raise DemoError(f"the dashboard at {url} answers {page.status_code}, without {', '.join(missing) or 'reason'}")
