"""Our own service in front of a local provider, on the database that is named."""

from __future__ import annotations

import sys

from benchmarks.serving import serve
from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger

if __name__ == "__main__":
    ledger = Ledger(sys.argv[1])
    ledger.create_limit(limit_name="budget", limit_id="budget", max=1_000_000, limit_type="block")
    serve(create_app(ledger, config=ServiceConfig(allowed_hosts=("127.0.0.1",))))
