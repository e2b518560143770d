"""What docs/prices.md shows, done to a service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from payi import Payi

PAGE = Path(__file__).parents[2] / "docs" / "prices.md"


def test_the_price_that_the_page_negotiates_is_charged(client: Payi) -> None:
    namespace: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), namespace)
    resource_id = namespace["negotiate"](client)
    event: Any = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}
    result: Any = client.ingest.units(**event).xproxy_result
    assert (result.resource_id, result.cost.total.base) == (resource_id, 0.0028)
    result = client.ingest.units(**event, properties={"system.service_tier": "batch"}).xproxy_result
    assert result.cost.total.base == 0.0014
    early = client.ingest.units(**event, event_timestamp="2026-10-31T23:59:59Z").xproxy_result
    assert early.resource_id != resource_id
