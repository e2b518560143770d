"""Server-sent events as the providers write them (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import json
from typing import Final

from payi_middleware.demo.turn import Json

DONE: Final = "data: [DONE]\n\n"


def data(value: Json) -> str:
    """Write a value as an event without a name."""
    return f"data: {json.dumps(value)}\n\n"


def event(value: Json) -> str:
    """Write a value as an event that is named after its `type`."""
    return f"event: {value['type']}\n{data(value)}"
