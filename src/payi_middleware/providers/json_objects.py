"""Turn a stream of JSON objects, one per line or as the elements of an array, into server-sent events."""

from __future__ import annotations

import re

from .wire import ELEMENT, EVENT_LIMIT, GAP, each_event

__all__ = ["JsonObjects"]

# What matters for where an object ends; a text is passed over as a whole, or up to where it was cut.
_IN_TEXT = rb'[^"\\]*(?:\\.[^"\\]*)*("?)'
_REST_OF_TEXT = re.compile(_IN_TEXT, re.DOTALL)
_MARK = re.compile(rb'[{}]|"' + _IN_TEXT, re.DOTALL)
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # never looked at twice, also where its end is missing
_QUOTE, _OPEN = b'"{'
_LF, _CR = b"\n\r"
_FLAT, _INDENTED = b"}\n", b"\n}\n"  # the end of an object that is on one line, and of one that is on many
_LONGEST = 8  # bytes between objects that are looked at
_SHORT = EVENT_LIMIT // 8


class JsonObjects:
    r"""Gather a stream's bytes into blocks of `data: <object>\n\n`, whatever is between the objects.

    Formats: https://github.com/ndjson/ndjson-spec, and Google's streams without `alt=sse`
    (https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest), which are one array. An object above 64 KiB
    keeps its head and its tail only.

    Braces tell where an object ends, until the first two objects have shown how the stream is written. From then on
    line ends do, as no text in JSON has any: the next one in a stream of lines, and in an array of indented elements
    the one after a brace that is not indented. Such elements are a block as they are, with the comma before them.
    """

    __slots__ = ("_after", "_depth", "_end", "_form", "_held", "_in_text", "_learns", "_pending", "_searched", "_start")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0  # what comes before was looked at
        self._depth = 0
        self._in_text = False
        self._learns = True
        self._form = b""  # what others like the last object would end with
        self._after = b""  # what came after it
        self._start = b""  # what all objects but the first begin with, and what is before them; empty if unknown
        self._end = b""  # what they end with; empty as long as their braces are looked at
        self._held = b""  # the beginning of one, once its end is told by a line's

    def feed(self, chunk: bytes) -> bytes:
        """Return the objects that `chunk` completes."""
        end = self._end
        if not end:
            return self._by_braces(chunk)
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if chunk.endswith(end):
            return self._by_lines(chunk)
        at = chunk.rfind(end) + 1
        if at:
            at += len(end) - 1
        begun = chunk[at:]
        if chunk[-1:] == b"}" and self._is_all(begun):
            return self._by_lines(chunk + b"\n")
        if at:
            self._held = begun
            return self._by_lines(chunk[:at])
        if len(begun) > _SHORT:
            return self._again_by_braces(begun, for_now=True)
        self._held = begun
        return b""

    def rest(self) -> bytes:
        """Return the objects that the stream ended with or broke off in, empty where it did neither."""
        block = self._again_by_braces(b"") if self._end else b""
        return block + _event(bytes(self._pending)) if self._depth else block

    def _by_lines(self, whole: bytes) -> bytes:
        """Return the events of objects that are as expected, else what their braces say."""
        start = self._start
        if not whole.startswith(start):
            whole = whole.lstrip(b"\n")
            if not whole.startswith(start):
                return self._again_by_braces(whole)
        if start != b"{":
            return self._elements(whole)
        objects = whole[:-1]
        if _CR in objects or not _is_balanced(objects):
            return self._again_by_braces(whole)
        if _LF not in objects:
            return b"data: %s\n\n" % objects
        if objects.count(b"\n") != objects.count(b"}\n{"):
            return self._again_by_braces(whole)
        return b"data: %s\n\n" % objects.replace(b"\n", b"\n\ndata: ")

    def _elements(self, whole: bytes) -> bytes:
        """Return one element of an array or more, as they are."""
        if self._end == _FLAT:
            for element in whole[len(ELEMENT) : -1].split(b"\n" + ELEMENT):
                sure = element.startswith(b"{") and element.endswith(b"}") and _LF not in element
                if not sure or not _is_balanced(element):
                    return self._again_by_braces(whole)
        return whole

    def _is_all(self, begun: bytes) -> bool:
        """Return whether nothing but the end of its line is missing of an object."""
        return begun.endswith(self._end[:-1]) and (
            self._end == _INDENTED or (len(begun) <= _SHORT and _is_whole(begun))
        )

    def _again_by_braces(self, told: bytes, *, for_now: bool = False) -> bytes:
        """Return what the braces say from `told` on, which is not like the first objects."""
        self._pending += told + self._held
        self._held = self._end = self._after = b""
        if not for_now:
            self._start = b""
        return self._by_braces(b"")

    def _by_braces(self, chunk: bytes) -> bytes:
        pending = self._pending
        pending += chunk
        block = self._cut()
        if len(pending) > EVENT_LIMIT:
            unseen = len(pending) - self._searched
            pending[EVENT_LIMIT // 4 : -EVENT_LIMIT // 2] = GAP
            self._searched = len(pending) - unseen
        return self._from_here_by_lines(block) if self._start else block

    def _cut(self) -> bytes:
        pending, blocks, start, at, ended = self._pending, [], 0, self._searched, 0
        if self._in_text:
            at = self._pass_text(at)
        while not self._in_text and (mark := _MARK.search(pending, at)):
            at = mark.end()
            found = pending[mark.start()]
            if found == _QUOTE:
                self._in_text = not mark[1]
            elif found == _OPEN:
                if not self._depth:
                    start = mark.start()
                    if self._learns and self._form and self._learn(self._after + pending[ended:start]):
                        at = start
                        break
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    told = bytes(pending[start:at])
                    blocks.append(_event(told))
                    self._form, self._after, ended = _form(told) if self._learns else b"", b"", at
        else:
            at = at if self._in_text else len(pending)
            if not self._depth:
                start = at
                self._after = (self._after + pending[ended:])[:_LONGEST]
        del pending[:start]
        self._searched = at - start
        return b"".join(blocks)

    def _pass_text(self, at: int) -> int:
        """Return where the text that was open ends, or where to look on for its end."""
        found = next(_REST_OF_TEXT.finditer(self._pending, at))  # at least nothing at all is found
        self._in_text = not found[1]
        return found.end()

    def _learn(self, between: bytes) -> bool:
        """Learn from the first two objects, with what is between them, how the others will be written."""
        self._learns = False
        if between == b"\n" and self._form == _FLAT:
            self._start = b"{"
        elif between == b"\n" + ELEMENT:
            self._start = ELEMENT + (b"{" if self._form == _FLAT else b"{\n ")
        return bool(self._start)

    def _from_here_by_lines(self, block: bytes) -> bytes:
        """Return `block` and the objects that follow, by lines again unless a long object is under way."""
        before = self._start[: self._start.index(b"{")]
        if (len(self._pending) > _SHORT // 2) if self._depth else self._in_text:
            return block
        if self._pending:
            told = before + self._pending
        elif self._after.startswith(b"\n") and before.startswith(self._after[1:]):
            told = self._after[1:]
        else:
            return block
        self._end = _FLAT if self._start.endswith(b"{") else _INDENTED
        self._depth, self._in_text, self._searched = 0, False, 0
        self._pending.clear()
        more = self.feed(told)
        return block + b"".join(map(_event, each_event(more))) if block else more


def _form(told: bytes) -> bytes:
    """Return what objects that are written as this one end with, empty where that is not sure to be their end."""
    if _CR in told:
        return b""
    if _LF not in told:
        return _FLAT
    return _INDENTED if told.startswith(b"{\n ") and told.endswith(b"\n}") else b""


def _is_balanced(told: bytes) -> bool:
    """Return whether the braces in whole lines are pairs."""
    return told.count(b"{") == told.count(b"}") or _is_whole(told)


def _is_whole(told: bytes) -> bool:
    """Return whether no text and no brace is open at the end of what begins with an object."""
    rest = _TEXT.sub(b"", told)
    return _QUOTE not in rest and rest.count(b"{") == rest.count(b"}")


def _event(found: bytes) -> bytes:
    # Outside its texts, where JSON has none, a line end is white space.
    return b"data: %s\n\n" % found.replace(b"\r", b" ").replace(b"\n", b" ")
