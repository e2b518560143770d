"""This project: the only tool that imports `payi_middleware`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.peers.tools.base import CALL, App, Tool, told_by


class Ours(Tool):
    """Ours, by the options `to` (embedded or http) and `headers` (summary or off)."""

    _settings: Any = None

    def start(self) -> None:
        """Set it up."""
        from payi_middleware import Settings, instrument

        folder, embedded = Path(self.options["folder"]), self.options["to"] == "embedded"
        where: dict[str, Any] = {"ledger": folder / "payi.db"} if embedded else {"base_url": self.options["sink"]}
        self._settings = Settings(**where, headers=self.options["headers"], journal=folder / "journal")
        instrument(self._settings)

    def asgi(self, app: App) -> App:
        """Put the middleware around an app."""
        from payi_middleware import PayiMiddleware

        return PayiMiddleware(app, self._settings)

    def flush(self) -> None:
        """Deliver what waits."""
        from payi_middleware import flush

        if not flush(60):
            raise RuntimeError("not delivered within a minute")

    def recorded(self) -> Mapping[str, int]:
        """Ask the sink, or count the rows of the ledger."""
        if self.options["to"] != "embedded":
            return {CALL: told_by(self.options["sink"])}
        with closing(sqlite3.connect(Path(self.options["folder"]) / "payi.db")) as connection:
            made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'payi_requests'").fetchone()[0]
            return {CALL: int(connection.execute("SELECT count(*) FROM payi_requests").fetchone()[0]) if made else 0}

    def in_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """They are there unless they are off."""
        return any(name == b"x-payi-calls" for name, _ in headers) is (self.options["headers"] == "summary")


TOOL = Ours
