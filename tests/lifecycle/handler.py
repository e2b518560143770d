"""A serverless handler: each line of the standard input is an invocation, and says how long it may wait to report.

It answers with a line of JSON: the provider's id of its call, and whether everything was delivered in that time.
"""

from __future__ import annotations

import json
import os
import sys

import httpx

import payi_middleware as payi

_CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


def main() -> None:
    """Answer invocations until the input ends."""
    payi.instrument()
    with httpx.Client(trust_env=False) as client:
        for line in sys.stdin:
            told = client.post(f"{os.environ['STAND_IN_URL']}/chat/completions", json=_CHAT).json()
            sys.stdout.write(json.dumps({"id": told["id"], "flushed": payi.flush(float(line))}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
