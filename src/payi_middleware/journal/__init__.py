"""Reports that survive the process: a spool for the moment, a backlog for the hour, dead letters for people."""

from .backlog import Backlog, BacklogError, BacklogFullError
from .home import Home
from .inspection import (
    Process,
    dead_letters,
    destinations,
    pending_rows,
    processes,
    retry_dead_letters,
    set_aside,
    take_out,
)
from .rows import Counts, DeadLetter, Row
from .spool import Spool, Ticket

__all__ = [
    "Backlog",
    "BacklogError",
    "BacklogFullError",
    "Counts",
    "DeadLetter",
    "Home",
    "Process",
    "Row",
    "Spool",
    "Ticket",
    "dead_letters",
    "destinations",
    "pending_rows",
    "processes",
    "retry_dead_letters",
    "set_aside",
    "take_out",
]
