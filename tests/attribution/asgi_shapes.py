"""All rows of the table of handler shapes."""

from __future__ import annotations

from tests.attribution import asgi_bodies, asgi_handlers, asgi_tracked
from tests.attribution.asgi_table import SHAPES

__all__ = ["SHAPES", "asgi_bodies", "asgi_handlers", "asgi_tracked"]
