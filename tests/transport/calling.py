"""Provider calls, and the reports of them read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openai.types.chat import ChatCompletionUserMessageParam

from payi_middleware import flush, meter
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger

KEY = "sk-secret-of-the-app"
PROMPT = "Which city is the capital of Norway?"
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": PROMPT}]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
MESSAGE: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": MESSAGES}
STREAMED = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Oslo"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}


def stand_in(**behaviour: Any) -> dict[str, str]:
    """Tell the stand-in provider how to behave for one call."""
    return {"x-stand-in": json.dumps(behaviour)}


def reports(ledger: Path) -> list[RequestRecord]:
    """Wait for what was recorded to be booked, and read it back, the oldest first."""
    assert flush(10)
    with Ledger(ledger) as opened:
        return opened.requests(limit=1000, newest_first=False)


def delivered() -> int:
    """Wait for what was recorded to be delivered, and count it: the ledger books a repeated report once."""
    assert flush(10)
    return sum(each.stats()["delivered"] for each in meter._meters)


def only_report(ledger: Path) -> RequestRecord:
    """Read back the one report that there must be."""
    (report,) = reports(ledger)
    return report
