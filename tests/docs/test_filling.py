"""The ledgers that benchmarks fill are as if their requests had been booked."""

from __future__ import annotations

from pathlib import Path

from benchmarks.filling import fill, fold

from payi_middleware.service.ledger import Ledger


def test_what_is_filled_in_is_charged_and_added_up(tmp_path: Path) -> None:
    with Ledger(tmp_path / "payi.db") as ledger:
        fill(ledger, 300)
        fold(ledger)
        requests = ledger.requests(limit=1_000)
        charged = sum(limit["totals"]["requests"]["total"] for limit in ledger.limits())

        assert len(requests) == 300
        assert ledger.unfolded() == 0
        assert charged == sum(len(request.limits) for request in requests) > 0
