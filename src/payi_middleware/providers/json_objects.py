"""Turn a stream of JSON objects, one per line or as the elements of an array, into server-sent events."""

from __future__ import annotations

import re

from .wire import EVENT_LIMIT, GAP

__all__ = ["JsonObjects"]

# What matters for where an object ends; a text is passed over as a whole, or up to where it was cut.
_IN_TEXT = rb'[^"\\]*(?:\\.[^"\\]*)*("?)'
_REST_OF_TEXT = re.compile(_IN_TEXT, re.DOTALL)
_MARK = re.compile(rb'[{}]|"' + _IN_TEXT, re.DOTALL)
_QUOTE, _OPEN = b'"{'


class JsonObjects:
    r"""Gather a stream's bytes into blocks of `data: <object>\n\n`, whatever is between the objects.

    Formats: https://github.com/ndjson/ndjson-spec, and Google's streams without `alt=sse`
    (https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest), which are one array. An object above 64 KiB
    keeps its head and its tail only.
    """

    __slots__ = ("_depth", "_in_text", "_pending", "_searched")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0  # what comes before was looked at
        self._depth = 0
        self._in_text = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the objects that `chunk` completes."""
        if not self._pending and not self._in_text and (lines := _whole_lines(chunk)):
            return lines
        pending = self._pending
        pending += chunk
        block = self._cut()
        if len(pending) > EVENT_LIMIT:
            unseen = len(pending) - self._searched
            pending[EVENT_LIMIT // 4 : -EVENT_LIMIT // 2] = GAP
            self._searched = len(pending) - unseen
        return block

    def rest(self) -> bytes:
        """Return the object that the stream broke off in, empty where it did not."""
        return _event(bytes(self._pending)) if self._depth else b""

    def _cut(self) -> bytes:
        pending, blocks, start, at = self._pending, [], 0, self._searched
        if self._in_text:
            at = self._pass_text(at)
        while not self._in_text and (mark := _MARK.search(pending, at)):
            at = mark.end()
            found = pending[mark.start()]
            if found == _QUOTE:
                self._in_text = not mark[1]
            elif found == _OPEN:
                start = start if self._depth else mark.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    blocks.append(_event(bytes(pending[start:at])))
        at = at if self._in_text else len(pending)
        start = start if self._depth else at
        del pending[:start]
        self._searched = at - start
        return b"".join(blocks)

    def _pass_text(self, at: int) -> int:
        """Return where the text that was open ends, or where to look on for its end."""
        found = next(_REST_OF_TEXT.finditer(self._pending, at))  # at least nothing at all is found
        self._in_text = not found[1]
        return found.end()


def _whole_lines(chunk: bytes) -> bytes:
    """Return the events of a chunk that is nothing but whole lines of one object each, as most are; else nothing."""
    if not chunk.startswith(b"{") or not chunk.endswith(b"}\n") or b"\r" in chunk:
        return b""
    inner = chunk.count(b"\n") - 1
    if inner and chunk.count(b"}\n{") != inner:
        return b""
    if chunk.count(b"{") != chunk.count(b"}"):
        return b""
    return b"data: %s\n" % (chunk.replace(b"\n", b"\n\ndata: ", inner) if inner else chunk)


def _event(found: bytes) -> bytes:
    # Outside its texts, where JSON has none, a line end is white space.
    return b"data: %s\n\n" % found.replace(b"\r", b" ").replace(b"\n", b" ")
