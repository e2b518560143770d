"""Our own service, on an SQLite file."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.serving import serve
from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger

if __name__ == "__main__":
    serve(create_app(Ledger(Path(sys.argv[1]) / "payi.db")))
