"""What every case does: ask a stand-in provider through some library, then hold the ledger against what it was asked.

The stand-in counts a word as a token, so what a call used follows from its request. Who asked is in the prompt, so that
the ledger's user can be told from what the provider itself was sent.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from payi_middleware import Settings, flush, instrument, meter, track_context, uninstrument
from payi_middleware.demo.behaviour import HEADER, Behaviour
from payi_middleware.demo.provider import Provider, Recorded
from payi_middleware.demo.turn import Turn
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger

KEY = "sk-of-the-case"
CHAT_MODEL = "gpt-4o-mini"
MESSAGE_MODEL = "claude-haiku-4-5"


class Metered:
    """The stand-in provider, who asked it, and the objects that must have shown their result."""

    def __init__(self, provider: Provider, settings: Settings, *, results: bool) -> None:
        self.provider = provider
        self.settings = settings
        self._results = results
        self._users: set[str] = set()
        self._promised: list[tuple[str, Any]] = []

    @contextmanager
    def asking(self, user: str) -> Iterator[str]:
        """Ask for `user`, with the prompt that is yielded."""
        with track_context(user_id=user):
            yield self.prompt(user)

    def prompt(self, user: str) -> str:
        """Return a prompt that tells who asks."""
        self._users.add(user)
        return f"Where did {user} leave the keys?"

    def promises(self, user: str, answer: Any) -> None:
        """Note an object that must have an `xproxy_result` in the end, if this version's objects have."""
        if self._results:
            self._promised.append((user, answer))

    def check(self, calls: int) -> None:
        """Raise AssertionError unless `calls` provider calls are booked, each once and as the provider saw it."""
        assert flush(20), "not delivered in time"
        asked = self.provider.requests
        with Ledger(self.settings.ledger) as ledger:
            booked = ledger.requests(limit=1000)
        assert len(asked) == calls, f"the provider was asked {len(asked)} times instead of {calls}"
        assert delivered() == calls, f"{delivered()} reports instead of {calls}"
        expected = Counter(self._as_asked(request) for request in asked)
        found = Counter(map(_as_booked, booked))
        assert found == expected, f"booked {sorted(found - expected)}\ninstead of {sorted(expected - found)}"
        self._check_promises(booked)

    def check_elsewhere(self, counted: tuple[int, int]) -> None:
        """Raise AssertionError unless one call is booked for each user, with these (input, output) tokens.

        The calls went to a server of the case's own.
        """
        assert flush(20), "not delivered in time"
        with Ledger(self.settings.ledger) as ledger:
            booked = ledger.requests(limit=1000)
        assert delivered() == len(self._users), f"{delivered()} reports instead of {len(self._users)}"
        found = sorted((str(record.user_id), record.input_tokens, record.output_tokens) for record in booked)
        assert found == [(user, *counted) for user in sorted(self._users)], found
        self._check_promises(booked)

    def _check_promises(self, booked: list[RequestRecord]) -> None:
        by_id = {record.request_id: record for record in booked}
        for user, answer in self._promised:
            assert by_id[answer.xproxy_result.request_id].user_id == user, type(answer).__name__

    def _as_asked(self, request: Recorded) -> tuple[str, str, int, int]:
        body = request.body or {}
        prompt = json.dumps(body)
        (user,) = (user for user in self._users if f" {user} " in prompt)
        behaviour = Behaviour().amended(request.headers.get(HEADER))
        turn = Turn(request=body, behaviour=behaviour, response_id="")
        return user, str(request.response_id), turn.input_total, turn.output_total


def _as_booked(record: RequestRecord) -> tuple[str, str, int, int]:
    return str(record.user_id), str(record.provider_response_id), record.input_tokens, record.output_tokens


def delivered() -> int:
    """Return how many reports went out: the ledger books a repeated one once."""
    return sum(each.stats()["delivered"] for each in meter._meters)


class _Complaints(logging.Handler):
    """Keep what is logged as a warning: failing open is no success."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def metered(*, results: bool = True) -> Iterator[Metered]:
    """Meter the calls made inside, to a ledger of their own.

    Args:
        results: whether the SDK's objects have the results of their calls: some have from a later version on only.
    """
    complaints = _Complaints()
    logging.getLogger("payi_middleware").addHandler(complaints)
    with tempfile.TemporaryDirectory() as folder, Provider() as provider:
        settings = Settings(ledger=Path(folder) / "payi.db", header_wait=10.0)
        instrument(settings)
        try:
            yield Metered(provider, settings, results=results)
        finally:
            uninstrument()
            meter.close_all()
    assert not complaints.said, complaints.said
