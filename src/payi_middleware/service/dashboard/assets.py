"""The files that pages are made of: styles, scripts, the libraries in `static/vendor`. All are shipped with us."""

from __future__ import annotations

import gzip
import mimetypes
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Asset", "assets", "serve"]

_FOLDER = Path(__file__).parent / "static"
_SERVED = (".css", ".js", ".svg")
_FOREVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file; `version` changes with what is in it."""

    content: bytes
    zipped: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files by name."""
    found = [path for path in sorted(_FOLDER.rglob("*")) if path.is_file() and path.suffix in _SERVED]
    return {path.name: _asset(path) for path in found}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = mimetypes.types_map[path.suffix]
    if media_type == "application/javascript":
        media_type = "text/javascript"
    return Asset(content, gzip.compress(content, mtime=0), media_type, sha256(content).hexdigest()[:12])


def serve(request: Request, name: str) -> Response | None:
    """Answer with a file; None if there is none of that name."""
    asset = assets().get(name)
    if asset is None:
        return None
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding", "ETag": f'"{asset.version}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
