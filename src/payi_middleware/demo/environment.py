"""What the example apps are given to run in: ports and environment variables."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

from payi_middleware.demo.children import FASTAPI, FLASK, DemoError
from payi_middleware.demo.provider import Provider

_KEYS: Final = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_FOREIGN: Final = ("OPENAI_", "ANTHROPIC_")
_HEADER_WAIT: Final = (
    "2"  # seconds; the first call of a process loads its price list, which takes longer than the default
)


def free_ports(first: int | None) -> dict[str, int]:
    """Return four ports that are free now.

    Raises DemoError if one that was asked for is taken.
    """
    names = (FASTAPI.folder, FLASK.folder, "provider", "dashboard")
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        for offset, name in enumerate(names):
            asked = 0 if first is None else first + offset
            try:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", asked)))
            except OSError as error:
                raise DemoError(f"port {asked} cannot be used: {error.strerror}") from error
            ports[name] = listener.getsockname()[1]
    return ports


def _own_environment(ledger: Path, workdir: Path) -> dict[str, str]:
    """Return this process's environment; of the middleware's settings only those that the demo is about."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    return kept | {
        "PAYI_LEDGER": str(ledger),
        "PAYI_JOURNAL": str(workdir / "journal"),
        "PAYI_HEADER_WAIT": _HEADER_WAIT,
    }


def stand_in_environment(provider: Provider, ledger: Path, workdir: Path) -> dict[str, str]:
    """Return an environment in which the providers' SDKs talk to the stand-in, past any HTTP proxy."""
    kept = {
        name: value
        for name, value in _own_environment(ledger, workdir).items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "OPENAI_API_KEY": "stand-in",
        "OPENAI_BASE_URL": provider.openai_url,
        "ANTHROPIC_API_KEY": "stand-in",
        "ANTHROPIC_BASE_URL": provider.anthropic_url,
    }


def live_environment(ledger: Path, workdir: Path) -> dict[str, str]:
    """Return an environment in which the SDKs talk to the real providers.

    Raises DemoError if a key is missing.
    """
    if missing := [name for name in _KEYS if not os.environ.get(name)]:
        raise DemoError(f"--live calls the real providers and needs {' and '.join(missing)} in the environment")
    return _own_environment(ledger, workdir)
