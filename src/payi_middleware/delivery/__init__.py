"""The way from a finished exchange to its result, past crashes, outages and forks."""

from .delivery import Delivery
from .presence import Presence
from .records import read_record
from .senders import start_thread, work_unseen
from .sinks import Outcome, Sink
from .stats import Stats

__all__ = ["Delivery", "Outcome", "Presence", "Sink", "Stats", "read_record", "start_thread", "work_unseen"]
