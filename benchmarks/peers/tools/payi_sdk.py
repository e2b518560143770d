"""Pay-i's own SDK, which reports to the sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.tools.base import CALL, Tool, told_by


class Payi(Tool):
    """Pay-i's SDK."""

    def start(self) -> None:
        """Set it up."""
        from payi import AsyncPayi
        from payi import Payi as SyncPayi
        from payi.lib.instrument import payi_instrument

        told: dict[str, Any] = {"base_url": self.options["sink"], "api_key": "key"}
        payi_instrument(payi=[SyncPayi(**told), AsyncPayi(**told)], log_prompt_and_response=False)

    def recorded(self) -> Mapping[str, int]:
        """Ask the sink."""
        return {CALL: told_by(self.options["sink"])}


TOOL = Payi
