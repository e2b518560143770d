"""What may be left of a write: never a wrong record, whatever part of it has come to the disk."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from payi_middleware.journal import Spool, Ticket
from payi_middleware.journal.spool import is_foreign
from tests.journal.company import LONGEST, ROOM, SLOT, records_in


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "one.spool")
    yield opened
    opened.close()


def others_find(content: bytes, directory: Path) -> list[bytes]:
    """Return what others find if this is what a process has left behind."""
    path = directory / "copy.spool"
    path.write_bytes(content)
    return records_in(path)


def test_no_prefix_of_a_write_is_a_record(tmp_path: Path) -> None:
    """A process may be killed between any two bytes, of each slot and of the chain, whose beginning is written last."""
    spool = Spool(tmp_path / "one.spool")
    beside = b"beside"
    spool.put(beside)
    before = spool.path.read_bytes()[: 5 * SLOT]
    record = random.Random(1).randbytes(2 * ROOM + 100)
    ticket = spool.put(record)
    after = spool.path.read_bytes()[: 5 * SLOT]
    spool.close()
    slots = (2, 3, 4)
    assert isinstance(ticket, Ticket)
    assert ticket.place == slots

    state = before
    for slot in reversed(slots):
        for written in (*range(64), *range(64, SLOT, 61)):
            end = slot * SLOT + written
            found = others_find(state[: slot * SLOT] + after[slot * SLOT : end] + state[end:], tmp_path)
            assert found in ([beside], sorted([beside, record]) if slot == slots[0] else [])
        state = state[: slot * SLOT] + after[slot * SLOT : (slot + 1) * SLOT] + state[(slot + 1) * SLOT :]
    assert others_find(state, tmp_path) == sorted([beside, record])


def test_slots_that_come_to_the_disk_in_any_order_never_mix_two_records(tmp_path: Path) -> None:
    """The power may fail after any of the pages was written, and a slot freed last is used next."""
    spool = Spool(tmp_path / "one.spool")
    images: list[bytes] = []
    records = [bytes([65 + number]) * (2 * ROOM + 10) for number in range(2)]
    for record in records:
        ticket = spool.put(record)
        images.append(spool.path.read_bytes()[: 4 * SLOT])
        assert isinstance(ticket, Ticket)
        assert ticket.place == (1, 2, 3)
        spool.clear(ticket)
        images.append(spool.path.read_bytes()[: 4 * SLOT])
    spool.close()

    for choice in product(images, repeat=3):
        pages = [image[slot * SLOT : (slot + 1) * SLOT] for slot, image in enumerate(choice, 1)]
        found = others_find(b"".join([images[0][:SLOT], *pages]), tmp_path)
        assert found in ([], records[:1], records[1:])


def test_a_flipped_bit_never_yields_a_wrong_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "one.spool")
    dice = random.Random(2)
    records = [dice.randbytes(60), *(dice.randbytes(ROOM + 40) for _ in range(2))]
    for record in records:
        spool.put(record)
    content = bytearray(spool.path.read_bytes()[: 6 * SLOT])
    spool.close()
    heads = [slot * SLOT + byte for slot in range(1, 6) for byte in range(12)]
    places = [at * 8 + bit for at in heads for bit in range(8)]
    places += [dice.randrange(SLOT * 8, len(content) * 8) for _ in range(1000)]

    for place in places:
        content[place // 8] ^= 1 << place % 8
        found = others_find(bytes(content), tmp_path)
        content[place // 8] ^= 1 << place % 8
        assert set(found) <= set(records)
        assert len(found) >= len(records) - 1


def test_a_file_that_was_cut_yields_the_records_before_the_cut(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "one.spool")
    records = [b"a" * 60, b"b" * (2 * ROOM), b"c" * 60]
    for record in records:
        spool.put(record)
    content = spool.path.read_bytes()[: 5 * SLOT]
    spool.close()

    for length in range(0, len(content), 29):
        whole = [record for record, end in zip(records, (2, 4, 5), strict=True) if length >= end * SLOT]
        assert others_find(content[:length], tmp_path) == whole


@pytest.mark.parametrize("cut", [0, 5, 12, 1000, LONGEST + 2])
def test_half_a_file_of_its_own_is_no_record(spool: Spool, cut: int) -> None:
    spool.put(b"short")
    spool.put(b"x" * (LONGEST + 1))
    (aside,) = spool.path.parent.glob("*.record")
    os.truncate(aside, cut)

    assert records_in(spool.path) == [b"short"]


@pytest.mark.parametrize("content", [b"", b"x", bytes(SLOT * 4), random.Random(3).randbytes(SLOT * 16)])
def test_a_file_of_anything_else_yields_nothing(tmp_path: Path, content: bytes) -> None:
    assert others_find(content, tmp_path) == []
    assert not is_foreign(tmp_path / "copy.spool")


def test_records_are_found_although_the_beginning_of_the_file_is_damaged(spool: Spool, tmp_path: Path) -> None:
    spool.put(b"one")

    assert others_find(bytes(20) + spool.path.read_bytes()[20:], tmp_path) == [b"one"]


def test_a_spool_of_another_version_is_known_as_such_and_not_guessed_at(spool: Spool, tmp_path: Path) -> None:
    spool.put(b"one")
    newer = spool.path.read_bytes().replace(b"payi-spool-3\n", b"payi-spool-33\n", 1)

    assert others_find(newer, tmp_path) == []
    assert is_foreign(tmp_path / "copy.spool")
