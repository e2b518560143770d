"""Families of answers that come in one body only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .match import Match

__all__ = ["OneBody"]


class OneBody(ABC):
    """Find nothing in streams; whoever inherits reads `whole` bodies, with the response's `headers` at hand."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self.headers = headers

    def see(self, block: bytes) -> bool:
        """Look at nothing."""
        return False

    def streamed(self) -> Answer:
        """Return what an empty body says."""
        return self.whole({})

    @abstractmethod
    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
