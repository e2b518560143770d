"""What the demo's users ask, and what comes back."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import httpx

from payi_middleware.demo import screen
from payi_middleware.demo.children import Child

USERS: Final = ("alice", "bob")
ROUTES: Final = {"/chat": 1, "/stream": 1, "/compare": 2}  # provider calls that each makes
_QUESTION: Final = "Which city is the capital of Norway?"
_ANSWER_TIMEOUT: Final = 60.0  # seconds
_STATUS: Final = "X-Payi-Status"
_LEGEND: Final = """A streamed response sends its headers before it ends, hence "pending": the ledger has its cost.
"""


def converse(children: Sequence[Child]) -> Counter[str]:
    """Send every request, print what came back and return the provider calls that each user caused.

    Raises DemoError if an app does not answer, answers with an error, or without X-Payi-* headers.
    """
    sent: Counter[str] = Counter()
    statuses: set[str] = set()
    with httpx.Client(trust_env=False, timeout=_ANSWER_TIMEOUT) as client:
        for child in children:
            for user in USERS:
                for route, calls in ROUTES.items():
                    statuses.add(_ask(client, child, user, route).get(_STATUS, ""))
                    sent[user] += calls
    if "pending" in statuses:
        print(_LEGEND)
    return sent


def _ask(client: httpx.Client, child: Child, user: str, route: str) -> dict[str, str]:
    """Send one request as a user, print the exchange and return its X-Payi-* headers."""
    body = {"message": f"Hello, I am {user}. {_QUESTION}"}
    try:
        response = client.post(child.url + route, json=body, headers={"X-User-ID": user})
    except httpx.HTTPError as error:
        raise child.failure(f"did not answer POST {route}: {error}") from error
    print(screen.exchange(child.app.title, f"POST {route}", user, response.status_code, _text(response)))
    if not response.is_success:
        raise child.failure(f"answered POST {route} with status {response.status_code}")
    ours = {name.title(): value for name, value in sorted(response.headers.items()) if name.startswith("x-payi-")}
    if not ours:
        raise child.failure(f"answered POST {route} without X-Payi-* headers")
    print(f"{screen.facts(ours)}\n", flush=True)
    return ours


def _text(response: httpx.Response) -> str:
    if response.is_success and response.headers.get("content-type", "").startswith("application/json"):
        return " | ".join(str(value) for value in response.json().values())
    return response.text
