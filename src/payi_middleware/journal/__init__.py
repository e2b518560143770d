"""Reports that survive the process: a spool for the moment, a backlog for the hour, dead letters for people.

What people look at them with is in `inspection`, which no app needs.
"""

from .backlog import Backlog, BacklogError, BacklogFullError
from .home import Home
from .rows import Counts, DeadLetter, Row
from .spool import Spool, Ticket

__all__ = [
    "Backlog",
    "BacklogError",
    "BacklogFullError",
    "Counts",
    "DeadLetter",
    "Home",
    "Row",
    "Spool",
    "Ticket",
]
