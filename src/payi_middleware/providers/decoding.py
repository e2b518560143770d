"""Undo `Content-Encoding` as the bytes come in, in pieces of bounded size (RFC 9110 section 8.4).

The transport sees what the server sent, before the HTTP client decodes it. A few kilobytes may inflate to gigabytes, so
every decoder hands out its output piece by piece and its user keeps only what it needs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from payi_middleware.forks import uncut

__all__ = ["Decode", "UndecodableError", "decoder_for"]

PIECE = 32_768
# One zstd block of 4 bytes can stand for 128 KiB, and the library has no output limit: short slices of input are one.
_ZSTD_SLICE = 64

Decode = Callable[[bytes], Iterator[bytes]]


@cache
def _optional(name: str) -> Any:
    """Import a library with the first answer that needs it: few are compressed with anything but gzip."""
    with suppress(ImportError), uncut:  # the child of a fork would wait for ever for what another thread is importing
        return import_module(name)
    return None


class UndecodableError(Exception):
    """Say that a body cannot be decoded, because its encoding is unknown here or its bytes are corrupt."""


def decoder_for(content_encoding: str) -> Decode | None:
    """Return a function from raw chunks to decoded pieces, or None where nothing has to be decoded.

    Raises UndecodableError for an encoding that is unknown or whose library is not installed; the function that it
    returns raises UndecodableError for corrupt bytes.
    """
    names = [name for part in content_encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > 4:
        raise UndecodableError("too many content encodings")
    decode: Decode | None = None
    for name in reversed(names):  # the last one named was applied last
        decode = _single(name) if decode is None else _chain(decode, _single(name))
    return decode


def _chain(outer: Decode, inner: Decode) -> Decode:
    def decode(chunk: bytes) -> Iterator[bytes]:
        for piece in outer(chunk):
            yield from inner(piece)

    return decode


def _single(name: str) -> Decode:
    if name in ("gzip", "x-gzip"):
        return _Zlib(lambda _: zlib.MAX_WBITS | 16, needs=1)
    if name == "deflate":
        return _Zlib(_deflate_bits, needs=2)
    if name == "br" and hasattr(getattr(_optional("brotli"), "Decompressor", None), "can_accept_more_data"):
        # Older than 1.2 it has no limit for its output, and one kilobyte can inflate to gigabytes.
        return _Brotli(_optional("brotli"))
    if name == "zstd" and (zstandard := _optional("zstandard")) is not None:
        return _Zstd(zstandard)
    raise UndecodableError(f"content encoding {name[:32]} cannot be decoded here")


def _deflate_bits(start: bytes) -> int:
    """Tell a zlib stream, which RFC 9110 asks for, from a bare deflate stream, which some servers send."""
    is_zlib = start[0] & 0x0F == 8 and (start[0] << 8 | start[1]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


class _Zlib:
    """Decode gzip or deflate, also of several members one after the other."""

    def __init__(self, window_bits: Callable[[bytes], int], needs: int) -> None:
        self._window_bits = window_bits
        self._needs = needs
        self._start = b""
        self._members = 0
        self._inflate: Any = None

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        data = self._start + chunk
        more = False  # a full piece may leave output inside zlib although it has taken all of the input
        while data or more:
            if self._inflate is None:
                if self._members:
                    data = data.lstrip(b"\0")  # padding may follow the last member
                if len(data) < self._needs:
                    break
                self._inflate = zlib.decompressobj(self._window_bits(data))
                self._members += 1
            try:
                piece: bytes = self._inflate.decompress(data, PIECE)
            except zlib.error as exc:
                raise UndecodableError("corrupt compressed body") from exc
            if piece:
                yield piece
            more, data = len(piece) >= PIECE, self._inflate.unconsumed_tail
            if self._inflate.eof:
                more, data, self._inflate = False, self._inflate.unused_data, None
        self._start = data


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._error = library.error
        self._inner: Any = library.Decompressor()

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        data = chunk
        try:
            while piece := self._inner.process(data, output_buffer_limit=PIECE):
                yield piece
                data = b""
        except self._error as exc:
            raise UndecodableError("corrupt compressed body") from exc


class _Zstd:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._inner: Any = None

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _ZSTD_SLICE):
            data = chunk[start : start + _ZSTD_SLICE]
            while data:
                if self._inner is None:
                    self._inner = self._library.ZstdDecompressor(max_window_size=2**23).decompressobj()
                try:
                    piece = self._inner.decompress(data)
                except self._library.ZstdError as exc:
                    raise UndecodableError("corrupt compressed body") from exc
                if piece:
                    yield piece
                data = b""
                if self._inner.eof:
                    data, self._inner = self._inner.unused_data, None
