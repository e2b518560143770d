"""The service's log: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

__all__ = ["set_up"]

_NAMES = {"levelname": "level", "name": "logger"}


def set_up(level: str) -> None:
    """Have everything that the service and its server log written to standard error.

    Args:
        level: the least important level that is written, such as `info`; each request is an `info` line.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter(
        "{levelname}{name}{message}",
        style="{",
        rename_fields=_NAMES,
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message once more, for terminals
        timestamp=True,
        json_ensure_ascii=False,
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("alembic", "httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
