"""What the tests send again and again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o-mini",
    "units": {"text": {"input": 1_000, "output": 500}},
}
COST = Decimal("0.00045")
"""USD, what the call costs: 1,000 times 0.15, and 500 times 0.60 for a million."""


def refused(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of an error."""
    return response.status_code, response.json()["xproxy_error"]["code"]


def spend(http: httpx.Client, *limit_ids: str, **fields: Any) -> dict[str, Any]:
    """Ingest a call that costs `COST`, and return its result."""
    headers = {"xProxy-Limit-IDs": ",".join(limit_ids)}
    response = http.post("/ingest", json={**CALL, **fields}, headers=headers)
    assert response.status_code == 200, response.text
    return dict(response.json()["xproxy_result"])
