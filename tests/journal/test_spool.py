"""The spool: what is put into it is found by others until it is cleared, and nothing else ever is."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware import Settings, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.journal import Spool, Ticket
from payi_middleware.journal.locking import lock_left_behind
from tests.journal.company import LONGEST, ROOM, SLOT, SLOTS, child, records_in, said_by
from tests.transport.calling import CHAT, KEY, only_report


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "one.spool")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "length", [0, 1, 255, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM, 5 * ROOM + 7, LONGEST - 1, LONGEST, LONGEST + 1, 1 << 21]
)
def test_a_record_of_any_length_is_found_until_it_is_cleared(spool: Spool, length: int) -> None:
    record = random.Random(length).randbytes(length)
    kept = spool.put(b"kept")
    ticket = spool.put(record)

    assert records_in(spool.path) == sorted([b"kept", record])
    spool.clear(ticket)
    assert records_in(spool.path) == [b"kept"]
    spool.clear(kept)
    assert records_in(spool.path) == []
    assert spool.empty


def test_a_record_that_is_longer_than_a_chain_has_a_file_of_its_own_for_its_owner_only(spool: Spool) -> None:
    ticket = spool.put(b"x" * (LONGEST + 1))

    assert isinstance(ticket, Ticket)
    (aside,) = spool.path.parent.glob("*.record")
    assert ticket.place == aside
    assert aside.stat().st_mode & 0o777 == 0o600
    assert spool.path.stat().st_mode & 0o777 == 0o600
    assert spool.used == 0
    assert not spool.empty
    spool.clear(ticket)
    assert not aside.exists()


def test_a_record_that_finds_no_slot_has_a_file_of_its_own(spool: Spool) -> None:
    tickets = [spool.put(b"%d" % number) for number in range(SLOTS - 1)]
    assert spool.used == 1

    late = spool.put(b"late")

    assert isinstance(late, Ticket)
    assert isinstance(late.place, Path)
    assert len(records_in(spool.path)) == SLOTS
    for ticket in [*tickets, late]:
        spool.clear(ticket)
    assert spool.empty
    assert records_in(spool.path) == []


def test_a_chain_that_finds_too_few_slots_gives_them_back(spool: Spool) -> None:
    tickets = [spool.put(b"%d" % number) for number in range(SLOTS - 3)]

    aside = spool.put(b"x" * 3 * ROOM)
    fitting = spool.put(b"y" * 2 * ROOM)

    assert isinstance(aside, Ticket)
    assert isinstance(aside.place, Path)
    assert isinstance(fitting, Ticket)
    assert isinstance(fitting.place, tuple)
    for ticket in [*tickets, aside, fitting]:
        spool.clear(ticket)
    assert spool.used == 0


@pytest.mark.parametrize("length", [20, ROOM, 3 * ROOM, LONGEST])
def test_nothing_of_a_cleared_record_can_be_read_in_the_file(spool: Spool, length: int) -> None:
    tickets = [spool.put(b"secret" * (length // 6)), spool.put(b"other" * (length // 10))]
    assert b"secret" in spool.path.read_bytes()

    for ticket in tickets:
        spool.clear(ticket)

    content = spool.path.read_bytes()
    assert b"secret" not in content
    assert content[SLOT:] == bytes(SLOT * (SLOTS - 1))


@pytest.mark.parametrize("length", [3, 2 * ROOM, LONGEST + 1], ids=["slot", "chain", "file"])
def test_a_ticket_clears_its_record_once_and_nothing_of_another_spool(
    spool: Spool, tmp_path: Path, length: int
) -> None:
    other = Spool(tmp_path / "two.spool")
    ticket = spool.put(b"1" * length)
    other.put(b"2" * length)

    other.clear(ticket)
    assert records_in(other.path) == [b"2" * length]
    spool.clear(ticket)
    spool.clear(ticket)
    assert spool.empty
    first, second = spool.put(b"first"), spool.put(b"second")

    assert first != second
    assert records_in(spool.path) == [b"first", b"second"]
    other.close()


# --- the process ends -----------------------------------------------------------------------------------------------


def test_what_was_put_right_before_a_kill_is_found_by_others(tmp_path: Path) -> None:
    path = tmp_path / "one.spool"
    with child("die", path, 1, ROOM + 1, LONGEST + 1) as process:
        assert process.end() == -9

    assert list(map(len, records_in(path))) == [1, ROOM + 1, LONGEST + 1]


def test_after_close_nothing_is_put_or_cleared(spool: Spool) -> None:
    ticket = spool.put(b"one")
    spool.close()

    with pytest.raises(OSError, match="closed"):
        spool.put(b"two")
    spool.clear(ticket)
    spool.sync()

    assert records_in(spool.path) == [b"one"]


def test_a_spool_that_is_closed_while_a_record_is_written_refuses_the_record(spool: Spool) -> None:
    class Slow(bytes):
        def __getitem__(self, key: Any) -> Any:
            spool.close(keep=True)
            return super().__getitem__(key)

    with pytest.raises(OSError, match="closed"):
        spool.put(Slow(b"x" * (ROOM + 1)))

    assert records_in(spool.path) == []


def test_close_deletes_the_file_unless_there_is_a_record_or_it_is_to_be_kept(tmp_path: Path) -> None:
    kept = []
    for number, (length, keep) in enumerate([(0, False), (0, True), (10, False), (LONGEST + 1, False)]):
        spool = Spool(tmp_path / f"{number}.spool")
        if length:
            spool.put(b"x" * length)
        spool.close(keep=keep)
        kept.append(spool.path.exists())

    assert kept == [False, True, True, True]


def test_a_closed_spool_lets_go_of_no_lock_that_is_taken_afterwards(tmp_path: Path) -> None:
    """The mapping has a descriptor of its own, and closing any descriptor of a file lets go of its lock."""
    spool = Spool(tmp_path / "one.spool")
    path = spool.path
    spool.close(keep=True)
    lock = lock_left_behind(path)
    assert lock is not None

    del spool

    assert said_by("lock", path) == "held"
    lock.release()
    assert said_by("lock", path) == "free"


def test_a_call_is_reported_although_the_spool_was_closed(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    meter = instrument(settings)
    meter.open()
    home = meter._delivery._home
    assert home is not None
    home.spool.close()

    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        client.chat.completions.create(**CHAT)

    assert only_report(ledger_path).http_status_code == 200
    assert meter.stats()["last_error"] == "OSError"


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_record_that_the_disk_has_no_room_for_is_refused_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    assert said_by("fill", tmp_path / "one.spool", LONGEST, LONGEST + 1) == "OSError True"
    assert [path.name for path in tmp_path.iterdir()] == ["one.spool"]


def test_a_disk_without_room_for_the_slots_is_told_at_once(small_disk: Path) -> None:
    """Otherwise a write to a page without a place on the disk would end the process."""
    first = Spool(small_disk / "one.spool")

    with pytest.raises(OSError, match="No space left"):
        Spool(small_disk / "two.spool")

    assert list(small_disk.iterdir()) == [first.path]
    first.close()


@pytest.mark.parametrize("trouble", [AttributeError(), OSError(95, "not supported"), OSError(22, "invalid")])
def test_every_slot_has_its_place_on_the_disk_where_files_cannot_be_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Other operating and file systems cannot be had here, so `posix_fallocate` says what it says there."""

    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise trouble

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    spool = Spool(tmp_path / "one.spool")

    assert spool.path.stat().st_size == SLOT * SLOTS
    assert spool.path.stat().st_blocks * 512 >= SLOT * SLOTS
    spool.put(b"one")
    assert records_in(spool.path) == [b"one"]
    spool.close(keep=True)


def test_what_is_written_while_the_disk_is_written_is_written_the_next_time(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power cannot be cut in a test, so it counts what the operating system is asked to write."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    class Slow(bytes):
        def __getitem__(self, key: Any) -> Any:
            spool.sync()
            return super().__getitem__(key)

    spool.put(b"before")
    spool.put(Slow(b"x" * (ROOM + 1)))
    assert len(synced) == 1
    spool.sync()
    assert len(synced) == 2
    spool.sync()
    assert len(synced) == 2
    spool.put(b"x" * (LONGEST + 1))
    gone = spool.put(b"y" * (LONGEST + 2))
    spool.clear(gone)
    spool.sync()
    assert synced[2:] == [LONGEST + 1 + 12]


# --- all at once ----------------------------------------------------------------------------------------------------


def test_many_threads_put_and_clear_at_the_same_time(spool: Spool) -> None:
    """More is put at once than there are slots for, so that some have files."""

    def work(name: int) -> list[bytes]:
        dice = random.Random(name)
        left = []
        for number in range(150):
            record = b"%d %d " % (name, number) + dice.randbytes(dice.choice((1, 300, ROOM, 3 * ROOM, 30 * ROOM)))
            ticket = spool.put(record)
            if dice.random() < 0.7:
                spool.clear(ticket)
            else:
                left.append(record)
        return left

    with ThreadPoolExecutor(8) as threads:
        left = [record for records in threads.map(work, range(8)) for record in records]

    assert records_in(spool.path) == sorted(left)


OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from((0, 1, 200, ROOM, ROOM + 1, 7 * ROOM, LONGEST, LONGEST + 1))),
    st.tuples(st.just("clear"), st.integers(0, 1000)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATIONS, max_size=60))
def test_any_sequence_of_puts_and_clears_leaves_exactly_what_was_not_cleared(operations: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "one.spool")
        left: list[tuple[bytes, Any]] = []
        for number, (operation, value) in enumerate(operations):
            if operation == "put":
                record = (b"%d" % number).ljust(value, b".")
                left.append((record, spool.put(record)))
            elif left:
                spool.clear(left.pop(value % len(left))[1])

        assert records_in(spool.path) == sorted(record for record, _ in left)
        for _, ticket in left:
            spool.clear(ticket)
        assert spool.empty
        assert records_in(spool.path) == []
        spool.close()
        assert list(Path(directory).iterdir()) == []


# --- read again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, ROOM])
def test_a_record_in_one_slot_is_read_again(spool: Spool, length: int) -> None:
    record = random.Random(length).randbytes(length)
    spool.put(b"before")
    ticket = spool.put(record)
    spool.put(b"after")

    assert isinstance(ticket, int)
    assert spool.read(ticket) == record


def test_a_record_that_is_not_there_is_not_read(spool: Spool, tmp_path: Path) -> None:
    cleared, kept = spool.put(b"cleared"), spool.put(b"kept")
    assert isinstance(cleared, int)
    assert isinstance(kept, int)
    spool.clear(cleared)
    other = Spool(tmp_path / "two.spool")
    try:
        for spool_of, ticket in ((spool, cleared), (other, kept), (other, cleared)):
            with pytest.raises(LookupError):
                spool_of.read(ticket)
    finally:
        other.close()
    spool.close(keep=True)
    with pytest.raises(LookupError):
        spool.read(kept)
