"""An app in a process of its own that makes many calls while the service is down; it is told what to do by lines.

The provider's side is no server: exchanges are put together as a transport does it, since no server and no client make
tens of thousands of calls in the time that a test has.
"""

from __future__ import annotations

import json
import resource
import sys
from threading import Event
from time import process_time
from typing import Any

from payi_middleware import Settings, instrument
from payi_middleware.beginning import begin
from payi_middleware.context import current_frame
from payi_middleware.meter import Meter
from tests.unit.world import CHAT

REQUEST = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}).encode()
HEADERS = {"content-type": "application/json"}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-%08d",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Oslo " * 200}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    }
)
_AT_ONCE = 500


def resident() -> float:
    """Return the megabytes of memory that this process has now; the most it ever had where that is not told."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            told = next(line for line in status if line.startswith("VmRSS:"))
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1024**2 if sys.platform == "darwin" else most / 1024
    return int(told.split()[1]) / 1024


def call(number: int) -> None:
    """Make a provider call, as far as a transport of ours sees it."""
    exchange = begin("POST", CHAT, HEADERS, REQUEST, current_frame())
    assert exchange is not None
    exchange.respond(200, HEADERS)
    exchange.feed((ANSWER % number).encode())
    exchange.finish(complete=True)


def calls(meter: Meter, first: int, count: int) -> None:
    """Make calls, no faster than they are read: what is measured is an outage and not a stampede."""
    for start in range(first, first + count, _AT_ONCE):
        for number in range(start, min(start + _AT_ONCE, first + count)):
            call(number)
        absorb(meter)


def absorb(meter: Meter) -> None:
    """Wait until what was put into the queue has been read."""
    pause = Event()
    while meter._delivery._inbox.qsize() > _AT_ONCE:
        pause.wait(0.005)


def tell(meter: Meter, **more: Any) -> None:
    """Say what there is to know, on a line."""
    told = {**meter.stats(), "available": meter.available, "resident": resident(), "cpu": process_time(), **more}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the lines say: `calls <first> <count>`, `flush <seconds>`, `stats`."""
    meter = instrument(Settings(**json.loads(sys.argv[1])))
    tell(meter)
    for line in sys.stdin:
        order, *numbers = line.split()
        if order == "calls":
            calls(meter, *map(int, numbers))
            tell(meter)
        elif order == "flush":
            tell(meter, flushed=meter.flush(float(numbers[0])))
        else:
            tell(meter)


if __name__ == "__main__":
    main()
