"""Know the events of a stream that differ from one before in their words only."""

from __future__ import annotations

import re

__all__ = ["Echo"]

_WORDS = re.compile(rb'"(content|reasoning_content|reasoning|text)": ?"')
_PADDING = re.compile(rb'"(?:obfuscation|p)": ?"[^"]*("\}\n\n)\Z')
_PATIENCE = 4_096  # learning costs: a provider whose every event differs is given up


class Echo:
    """Recognise that an event has the bytes of an earlier one but for the text in one or two of its strings.

    Nearly all events of a chat stream are such echoes, and the earlier one was found to say nothing. A few comparisons
    of bytes replace the searches for everything that an event might carry. The text must not contain a quote, so that
    no member can hide in it. The second string is padding at the end (OpenAI's `obfuscation`, Mistral's `p`).
    """

    __slots__ = ("_after", "_before", "_end", "_learned", "hidden")

    def __init__(self) -> None:
        self._before = b"\0"  # fits nothing
        self._after = b""
        self._end = b""
        self._learned = 0
        self.hidden = False

    def fits(self, block: bytes) -> bool:
        """Return whether every event in `block` is an echo."""
        at = 0
        while block.startswith(self._before, at):
            at = block.find(b'"', at + len(self._before))
            if at < 0 or not block.startswith(self._after, at):
                return False
            at += len(self._after)
            if self._end:
                at = block.find(b'"', at)
                if at < 0 or not block.startswith(self._end, at):
                    return False
                at += len(self._end)
            if at == len(block):
                return True
        return False

    def learn(self, block: bytes) -> None:
        """Take a block that said nothing as the example, if it is one event with words in it."""
        words = _WORDS.search(block)
        if words is None or self._learned >= _PATIENCE or block.find(b"\n\n") != len(block) - 2:
            return
        self._learned += 1
        close = block.find(b'"', words.end())
        if close < 0 or block[close - 1] == 0x5C:  # an escaped quote
            return
        padding = _PADDING.search(block, close)
        if padding is None:
            self._after, self._end = block[close:], b""
        else:
            self._after, self._end = block[close : block.rfind(b'"', 0, padding.start(1)) + 1], padding[1]
        self._before = block[: words.end()]
        self.hidden = words[1].startswith(b"reasoning")
