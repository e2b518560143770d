"""Know, per request, what a Python web app's GenAI calls cost and who asked for them.

Add `PayiMiddleware` (ASGI), `PayiWSGIMiddleware` (WSGI), `payi_middleware.fastapi.instrument_app` or
`payi_middleware.flask.Payi` to an app, and read the `X-Payi-*` headers of its responses.
"""

from .access import aingest, aresult_of, ingest, result_of
from .annotations import Annotations
from .asgi import PayiMiddleware
from .exceptions import (
    ConfigurationError,
    IngestConnectionError,
    IngestError,
    IngestRefusedError,
    IngestTimeoutError,
    PayiError,
)
from .headers import parse_headers
from .meter import flush, instrument, uninstrument
from .results import Summary, XproxyError, XproxyResult
from .settings import Settings
from .tracking import annotate, get_context, track, track_context
from .transport import AsyncPayiTransport, PayiTransport
from .wsgi import PayiWSGIMiddleware

__version__ = "0.1.0"

__all__ = [
    "Annotations",
    "AsyncPayiTransport",
    "ConfigurationError",
    "IngestConnectionError",
    "IngestError",
    "IngestRefusedError",
    "IngestTimeoutError",
    "PayiError",
    "PayiMiddleware",
    "PayiTransport",
    "PayiWSGIMiddleware",
    "Settings",
    "Summary",
    "XproxyError",
    "XproxyResult",
    "aingest",
    "annotate",
    "aresult_of",
    "flush",
    "get_context",
    "ingest",
    "instrument",
    "parse_headers",
    "result_of",
    "track",
    "track_context",
    "uninstrument",
]
