"""Sentry, with tracing; what it sends is counted in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.peers.tools.base import CALL, HTTP, SERVER, Tool


class Sentry(Tool):
    """Sentry's SDK."""

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        self._counted: Counter[str] = Counter()

    def start(self) -> None:
        """Set it up; it finds Starlette, httpx2 and openai by itself."""
        import sentry_sdk
        from sentry_sdk.transport import Transport

        counted = self._counted

        class Counting(Transport):  # type: ignore[misc]
            def capture_envelope(self, envelope: Any) -> None:
                for item in envelope.items:
                    told = item.payload.json or {}
                    if item.type == "transaction":
                        counted[SERVER] += 1
                        counted.update(_kind(span) for span in told.get("spans", ()))
                    elif item.type == "span":  # streamed spans come by themselves
                        counted.update(_kind(span) for span in told.get("items", ()))

        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Counting)

    def around(self) -> AbstractContextManager[Any]:
        """Outside a transaction nothing is recorded."""
        import sentry_sdk

        transaction: AbstractContextManager[Any] = sentry_sdk.start_transaction(name="turn")
        return transaction

    def flush(self) -> None:
        """Send what waits."""
        import sentry_sdk

        sentry_sdk.flush(10)

    def recorded(self) -> Mapping[str, int]:
        """Count transactions and spans."""
        return self._counted


def _kind(span: Any) -> str:
    named = str(span.get("op") or span.get("attributes", {}).get("sentry.op", {}).get("value"))
    return CALL if named.startswith("gen_ai") else HTTP if named == "http.client" else named


TOOL = Sentry
