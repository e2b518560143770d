"""langfuse: its drop-in for the openai SDK, which reports to the sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.tools.base import CALL, Tool, told_by


class Langfuse(Tool):
    """Langfuse's SDK."""

    _client: Any = None

    def start(self) -> None:
        """Set it up."""
        from langfuse import Langfuse as Client

        self._client = Client(public_key="pk-lf-0", secret_key="sk-lf-0", base_url=self.options["sink"])

    def openai(self, *, asynchronous: bool) -> Any:
        """Return the drop-in's class."""
        import langfuse.openai

        return langfuse.openai.AsyncOpenAI if asynchronous else langfuse.openai.OpenAI

    def flush(self) -> None:
        """Report what waits."""
        self._client.flush()

    def recorded(self) -> Mapping[str, int]:
        """Ask the sink."""
        return {CALL: told_by(self.options["sink"])}


TOOL = Langfuse
