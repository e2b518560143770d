"""Know the events of a stream that differ from one before in their words only."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Echo"]

_WORDS = re.compile(rb'"(content|reasoning_content|reasoning|text)": ?"')
_PADDING = re.compile(rb'"(?:obfuscation|p)": ?"[^"]*("\}\n\n)\Z')
_PATIENCE = 4_096  # learning costs: a provider whose every event differs is given up


class Echo:
    """Recognise that an event has the bytes of an earlier one but for the text in one or two of its strings.

    Nearly all events of a chat stream are such echoes, and the earlier one was found to say nothing. A few comparisons
    of bytes replace the searches for everything that an event might carry. The text must not contain a quote, so that
    no member can hide in it. The second string is padding at the end (OpenAI's `obfuscation`, Mistral's `p`).

    `fits` returns whether every event in a block is an echo of the one that was learned last; it is asked for each
    piece of a stream, so that it has at hand what it compares.
    """

    __slots__ = ("_learned", "fits", "hidden")

    fits: Callable[[bytes], bool]

    def __init__(self) -> None:
        self.fits = _nothing
        self._learned = 0
        self.hidden = False

    def learn(self, block: bytes) -> None:
        """Take a block that said nothing as the example, if it is one event with words in it."""
        words = _WORDS.search(block)
        if words is None or self._learned >= _PATIENCE or block.find(b"\n\n") != len(block) - 2:
            return
        self._learned += 1
        close = block.find(b'"', words.end())
        if close < 0 or block[close - 1] == 0x5C:  # an escaped quote
            return
        before, padding = block[: words.end()], _PADDING.search(block, close)
        if padding is None:
            self.fits = _like(before, block[close:])
        else:
            self.fits = _like_padded(before, block[close : block.rfind(b'"', 0, padding.start(1)) + 1], padding[1])
        self.hidden = words[1].startswith(b"reasoning")


def _nothing(block: bytes) -> bool:
    return False


def _like(before: bytes, after: bytes) -> Callable[[bytes], bool]:
    start, stop, shortest = len(before), -len(after), len(before) + len(after)

    def fits(block: bytes) -> bool:
        return block.startswith(before) and (
            (block.find(b'"', start, stop) < 0 and block.endswith(after) and len(block) >= shortest)
            or _each_fits(block, before, after, b"")
        )

    return fits


def _like_padded(before: bytes, after: bytes, end: bytes) -> Callable[[bytes], bool]:
    start, between, length = len(before), len(after), len(end)

    def fits(block: bytes) -> bool:
        return block.startswith(before) and (
            (
                block.startswith(after, at := block.find(b'"', start))
                and block.find(b'"', at + between) == len(block) - length
                and block.endswith(end)
            )
            or _each_fits(block, before, after, end)
        )

    return fits


def _each_fits(block: bytes, before: bytes, after: bytes, end: bytes) -> bool:
    """Return whether it consists of events that have no more than their texts of their own."""
    at = 0
    while block.startswith(before, at):
        at = block.find(b'"', at + len(before))
        if at < 0 or not block.startswith(after, at):
            return False
        at += len(after)
        if end:
            at = block.find(b'"', at)
            if at < 0 or not block.startswith(end, at):
                return False
            at += len(end)
        if at == len(block):
            return True
    return False
