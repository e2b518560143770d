"""What the provider was asked against what was reported, joined by the provider's response id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import payi_middleware
from payi_middleware.demo.provider import Recorded
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger
from tests.attribution.asgi_kit import Truth

_ALL = 100_000


def truth_of(asked: Recorded) -> Truth:
    """Read in the prompt whom a provider call was for."""
    assert asked.body is not None
    return Truth.of(asked.body["messages"][-1]["content"])


def booked(ledger_path: Path) -> list[RequestRecord]:
    """Return everything that was reported, once it all is."""
    assert payi_middleware.flush(20)
    with Ledger(ledger_path) as ledger:
        return ledger.requests(limit=_ALL, newest_first=False)


def misattributed(asked: Sequence[Recorded], records: Iterable[RequestRecord]) -> list[str]:
    """Say of each provider call that was not reported as what it was what is wrong with it."""
    reported = {record.provider_response_id: record for record in records}
    wrong = []
    for one in asked:
        truth, record = truth_of(one), reported.pop(one.response_id, None)
        if record is None:
            wrong.append(f"{truth} was not reported")
        elif (record.user_id, record.use_case_name) != (truth.user, truth.use_case):
            wrong.append(f"{truth} was reported as {record.user_id}, {record.use_case_name}")
    return wrong + [f"{response_id} was never answered" for response_id in reported]
