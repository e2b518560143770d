"""One call to the stand-in provider: what was asked, what it answers, and what both count."""

import functools
import itertools
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from payi_middleware.demo.behaviour import Behaviour

Json = dict[str, Any]

# Providers answer with the dated name of what they ran: https://platform.openai.com/docs/models,
# https://docs.claude.com/en/docs/about-claude/models/overview
DATED: Final = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
TOOL_ARGUMENTS: Final = '{"city": "Oslo"}'
_ASKED: Final = ("system", "instructions", "messages", "input", "prompt")
_TEXT_KEYS: Final = ("content", "text", "arguments", "output")
_QUOTED_WORDS: Final = 20


def new_id(prefix: str) -> str:
    """Return an identifier that no other call gets."""
    return prefix + uuid.uuid4().hex


def texts(value: object) -> Iterator[str]:
    """Yield every text in a request's messages, input or prompt; a token id counts as a word."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int):
        yield str(value)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for key in _TEXT_KEYS:
            yield from texts(value.get(key))


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Hold one call; a token is a word, so that a test can count along."""

    request: Json
    behaviour: Behaviour
    response_id: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def model(self) -> str:
        """Return the model's name as it is answered."""
        asked = str(self.request.get("model", "unknown"))
        return DATED.get(asked, asked)

    @property
    def prompt_words(self) -> int:
        """Count the words of everything that was asked."""
        return sum(len(text.split()) for key in _ASKED for text in texts(self.request.get(key)))

    @property
    def cache_write(self) -> int:
        """Count the tokens written to the cache, of either lifetime."""
        return self.behaviour.cache_write_tokens + self.behaviour.cache_write_1h_tokens

    @property
    def input_total(self) -> int:
        """Count the input tokens, those read from and written to the cache included."""
        return self.prompt_words + self.behaviour.cached_tokens + self.cache_write

    @property
    def output_total(self) -> int:
        """Count the output tokens, reasoning included."""
        return len(self.answer.split()) + self.behaviour.reasoning_tokens

    @property
    def answer(self) -> str:
        """Return the whole answer."""
        return "".join(self.parts)

    @functools.cached_property
    def parts(self) -> list[str]:
        """Return the answer in as many pieces as a stream of it has."""
        asked = [text for key in ("prompt", "input", "messages") for text in texts(self.request.get(key))]
        words = ["Stand-in", "answer", "to:", *(asked[-1] if asked else "nothing").split()[:_QUOTED_WORDS]]
        count = self.behaviour.chunks or len(words)
        padded = list(itertools.islice(itertools.cycle(words), max(len(words), count)))
        edges = [index * len(padded) // count for index in range(count + 1)]
        pieces = [" ".join(padded[start:end]) for start, end in itertools.pairwise(edges)]
        return [pieces[0], *(f" {piece}" for piece in pieces[1:])]

    @property
    def streamed_parts(self) -> Iterable[str]:
        """Return the pieces to stream, without end if so told."""
        return itertools.cycle([f"{part} " for part in self.parts]) if self.behaviour.endless else self.parts
