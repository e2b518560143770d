"""Headers by their names, whichever library's they are."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from payi_middleware.raw_headers import listed

_SENT = [(b"Content-Type", b"text/plain"), (b"X-Twice", b"1"), (b"x-twice", b"2"), (b"X-Odd", b"\xe9")]
_TOLD = {b"content-type": b"text/plain", b"x-twice": b"1", b"x-odd": b"\xe9"}


def by_name(headers: Any) -> dict[bytes, bytes]:
    names, rows = listed(headers)
    return {name: rows[names.index(name)][2] for name in names}


class _RawOnly:
    """What a version of the libraries might be like that keeps its headers in another way."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw


@pytest.mark.parametrize("make", [httpx.Headers, httpx2.Headers, _RawOnly])
def test_names_are_in_lower_case_and_the_first_of_several_counts(make: Any) -> None:
    assert by_name(make(_SENT)) == _TOLD


@pytest.mark.parametrize("make", [httpx.Headers, httpx2.Headers, _RawOnly])
def test_none_are_none(make: Any) -> None:
    assert by_name(make([])) == {}


@pytest.mark.parametrize("odd", [None, 1, [], [(b"name", b"value")]])
def test_what_is_kept_in_another_way_is_not_relied_upon(odd: Any) -> None:
    headers = _RawOnly(_SENT)
    headers._list = odd  # type: ignore[attr-defined]

    assert by_name(headers) == _TOLD


def test_a_mapping_of_text_is_read_whatever_is_in_it() -> None:
    odd = {"Content-Type": "text/plain", "x-\udcff": "é", "x-wide": "€"}

    assert by_name(odd) == {b"content-type": b"text/plain", b"x-?": b"\xe9", b"x-wide": b"?"}
