"""A file of slots, mapped into memory: what is written here outlives the process, and the writer waits for nothing.

An app's thread writes a record when a provider's answer has come in, and the delivering threads clear it when the
report is safe elsewhere. Writing is a copy into the page cache of the operating system: no system call, no lock, and
the interpreter is not let go of, so that no other thread can come in between. `docs/delivery.md` has the measurements
that speak against a database here.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from zlib import adler32 as _checksum

from .locking import create_locked, read

__all__ = ["Spool", "Ticket", "is_foreign", "read_records"]

_SLOT = 4096
_SLOTS = 1024
_LONGEST_CHAIN = 64
_FAMILY = b"payi-spool-"
_MAGIC = _FAMILY + b"3\n"
"""Another number whenever records are written in another way: whoever does not know that leaves the file alone."""
_HEAD = struct.Struct("<HHII")
"""Kind of slot, the slot that goes on, bytes of the whole record from here on, Adler-32 of those and of what follows: a
CRC finds more, but its tables would take the place of what the app's thread has in its core's cache."""
_HEAD_SIZE, _WRITE_HEAD = _HEAD.size, _HEAD.pack_into
_SEED = 0x70617969
"""What a checksum begins with: that of nothing would be 0 otherwise, as is what a torn write leaves unwritten."""
_ROOM = _SLOT - _HEAD_SIZE
_FREE, _FIRST, _MORE = 0, 0x7A1F, 0x7A20
_CLEARED = bytes(_SLOT)
_PRIVATE = 0o600
_spools = count(1)


class Ticket:
    """Where a record is that takes more than a slot: in these slots, or in a file of its own."""

    __slots__ = ("length", "place", "spool")

    def __init__(self, spool: Spool, place: tuple[int, ...] | Path, length: int) -> None:
        self.spool = spool
        self.place = place
        self.length = length


class Spool:
    """The slots of this process. `put` may be called on any thread, by a finaliser, too; the rest by one thread.

    Args:
        path: the file, which must not exist. A lock on it is held as long as this is open, so that others can tell that
            its process lives.

    `closed` says that nothing can be put any more.

    Raises:
        OSError: the file cannot be made, or there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor, self._lock = create_locked(path, _prepare)
        try:
            self._map = mmap.mmap(self._descriptor, _SLOT * _SLOTS)
        except BaseException:
            self._lock.release()
            raise
        # The slot freed last is used next: few pages are ever touched, and those are in the cache.
        self._free = deque(range(_SLOTS - 1, 0, -1))
        self._base = next(_spools) * _SLOTS
        self._files = count()
        self._aside: set[Path] = set()
        self._unsynced: set[Path] = set()
        self._dirty = False
        self.closed = False

    def put(self, record: bytes) -> int | Ticket:
        """Write a record.

        Returns:
            What it is cleared by. Where it is in one slot that is a number, as the garbage collector looks at none.

        Raises:
            OSError: there is no slot left for it and no room for a file of its own, or the spool is closed.
        """
        if self.closed:
            raise OSError("the spool is closed")
        length = len(record)
        if length <= _ROOM:  # as nearly all
            try:
                slot = self._free.pop()
            except IndexError:
                return self._put_aside(record)
            at = slot * _SLOT
            start = at + _HEAD_SIZE
            try:
                self._map[start : start + length] = record
                _WRITE_HEAD(self._map, at, _FIRST, 0, length, _checksum(record, _SEED))  # or the rest is nothing
            except ValueError:  # another thread has closed it meanwhile
                raise OSError("the spool is closed") from None
            self._dirty = True
            return self._base + slot
        needed = -(-length // _ROOM)
        slots: list[int] = []
        if needed <= _LONGEST_CHAIN:
            try:
                for _ in range(needed):
                    slots.append(self._free.pop())  # noqa: PERF401 - those before an error are given back
            except IndexError:
                self._free.extend(slots)
                slots.clear()
        if not slots:
            return self._put_aside(record)
        checksum = _SEED
        try:
            for place in range(needed - 1, -1, -1):  # its beginning comes last, as without it the rest does not count
                start = place * _ROOM
                piece = record[start : start + _ROOM]
                after = slots[place + 1] if place + 1 < needed else 0
                checksum = _checksum(piece, checksum)
                self._write(slots[place], piece, _MORE if place else _FIRST, after, length - start, checksum)
        except ValueError:  # another thread has closed it meanwhile
            raise OSError("the spool is closed") from None
        self._dirty = True
        return Ticket(self, tuple(slots), length)

    def _write(self, slot: int, piece: bytes, kind: int, after: int, length: int, checksum: int) -> None:
        at = slot * _SLOT
        start = at + _HEAD_SIZE
        self._map[start : start + len(piece)] = piece
        _WRITE_HEAD(self._map, at, kind, after, length, checksum)

    def read(self, ticket: int) -> bytes:
        """Return a record that takes one slot.

        Raises:
            LookupError: it is in another spool, or was cleared.
        """
        slot = ticket - self._base
        if not self.closed and 0 < slot < _SLOTS:
            at = slot * _SLOT
            kind, _, length, _ = _HEAD.unpack_from(self._map, at)
            if kind == _FIRST:
                at += _HEAD_SIZE
                return self._map[at : at + length]
        raise LookupError("the record is not in this spool")

    def _put_aside(self, record: bytes) -> Ticket:
        """Write a record that does not fit to a file of its own."""
        path = self.path.with_name(f"{self.path.stem}.{next(self._files)}.record")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE)
        self._aside.add(path)
        try:
            with open(descriptor, "wb") as file:  # buffered: a bare write does half its work when the disk fills up
                file.write(_HEAD.pack(_FIRST, 0, len(record), _checksum(record, _SEED)))
                file.write(record)
        except OSError:
            self._remove(path)
            raise
        self._unsynced.add(path)
        return Ticket(self, path, len(record))

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._aside.discard(path)
        self._unsynced.discard(path)

    def clear(self, ticket: int | Ticket) -> None:
        """Forget a record; nothing of it stays behind. A record of another spool, or of a closed one, stays."""
        if self.closed:
            return
        if isinstance(ticket, int):
            slot = ticket - self._base
            if 0 < slot < _SLOTS:
                kind, _, length, _ = _HEAD.unpack_from(self._map, slot * _SLOT)
                if kind == _FIRST:  # or it was cleared before
                    self._clear((slot,), length)
        elif ticket.spool is not self:
            return
        elif isinstance(ticket.place, Path):
            self._remove(ticket.place)
        else:
            slots, ticket.place = ticket.place, ()
            self._clear(slots, ticket.length)

    def _clear(self, slots: tuple[int, ...], length: int) -> None:
        used = min(_SLOT, _HEAD_SIZE + length)
        for slot in slots:
            at = slot * _SLOT
            self._map[at : at + used] = _CLEARED[:used]
        self._free.extend(reversed(slots))
        self._dirty = True

    @property
    def used(self) -> float:
        """The share of the slots that are taken, from 0 to 1."""
        return 1 - len(self._free) / (_SLOTS - 1)

    @property
    def empty(self) -> bool:
        """Whether there is no record in it."""
        return len(self._free) == _SLOTS - 1 and not self._aside

    def sync(self) -> None:
        """Have the operating system write what was put and cleared to the disk, if there is anything new.

        Raises:
            OSError: the disk says no.
        """
        for path in list(self._unsynced):
            self._unsynced.discard(path)
            with suppress(FileNotFoundError):  # its report was delivered meanwhile
                _sync_file(path)
        if self._dirty and not self.closed:
            self._dirty = False
            os.fsync(self._descriptor)  # `mmap.flush` does it without letting the app's threads run meanwhile

    def close(self, *, keep: bool = False) -> None:
        """Let go of the file, which stays if there are records in it.

        Args:
            keep: it stays in any case.
        """
        self.closed = True
        if not keep and self.empty:
            self.path.unlink(missing_ok=True)
        self._map.close()  # it has a descriptor of its own: closed later, it would let go of a lock taken anew by then
        self._lock.release()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prepare(descriptor: int) -> None:
    """Give every slot its place on the disk: a hole that finds no room later would end the process."""
    if not _allocate(descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(bytes(_SLOT * _SLOTS))
    os.pwrite(descriptor, _MAGIC, 0)


def _allocate(descriptor: int) -> bool:
    try:
        os.posix_fallocate(descriptor, 0, _SLOT * _SLOTS)
    except AttributeError:  # macOS has none
        return False
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # some libraries have it for some file systems only
            return False
        raise
    return True


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the records that a process has left behind in its spool and beside it.

    Raises:
        OSError: it cannot be read.
    """
    yield from _records(read(path))
    for aside in sorted(path.parent.glob(f"{path.stem}.*.record")):
        told = aside.read_bytes()
        if len(told) >= _HEAD_SIZE:
            _, _, length, checksum = _HEAD.unpack_from(told)
            record = told[_HEAD_SIZE:]
            if len(record) == length and _checksum(record, _SEED) == checksum:
                yield record


def is_foreign(path: Path) -> bool:
    """Return whether a version that does it in another way has written a spool; one that is damaged is none of those.

    Raises:
        OSError: it cannot be read.
    """
    return _is_foreign(read(path))


def _is_foreign(content: bytes) -> bool:
    return content.startswith(_FAMILY) and not content.startswith(_MAGIC)


def _records(content: bytes) -> Iterator[bytes]:
    slots = len(content) // _SLOT
    if _is_foreign(content):
        return
    for slot in range(1, slots):
        kind, _, length, _ = _HEAD.unpack_from(content, slot * _SLOT)
        if (
            kind == _FIRST
            and length <= _ROOM * _LONGEST_CHAIN
            and (record := _chain(content, slot, length)) is not None
        ):
            yield record


def _chain(content: bytes, slot: int, length: int) -> bytes | None:
    """Put a record together; None if the process ended before it had written all of it, or the disk has lost some."""
    found: list[tuple[int, bytes]] = []
    left = length
    while left > 0 or not found:
        at = slot * _SLOT
        if at + _SLOT > len(content):
            return None
        kind, slot, rest, checksum = _HEAD.unpack_from(content, at)
        if kind != (_MORE if found else _FIRST) or rest != left:
            return None
        found.append((checksum, content[at + _HEAD_SIZE : at + _HEAD_SIZE + min(left, _ROOM)]))
        left -= _ROOM
    expected = _SEED
    for checksum, piece in reversed(found):  # each covers what comes behind it: no piece of another record fits
        expected = _checksum(piece, expected)
        if checksum != expected:
            return None
    return b"".join(piece for _, piece in found)
