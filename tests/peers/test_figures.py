"""What is made of the turns of workers."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.peers.end_to_end import Served, together
from benchmarks.peers.figures import Added, added, seen
from benchmarks.peers.roster import ROSTER
from benchmarks.peers.sink import spans_in
from benchmarks.peers.targets import ratio


def _turns(*seconds: float) -> list[dict[str, float]]:
    return [{"cpu": cpu, "operations": 10, "call": 9, "proved": 0} for cpu in seconds]


def test_what_is_added_is_compared_with_the_same_round_of_bare() -> None:
    assert added(_turns(12, 33, 12), _turns(10, 30, 10), "cpu") == Added(2, 0.5)


def test_a_figure_is_for_a_part_of_an_operation() -> None:
    assert added(_turns(500), _turns(0), "cpu", 500).seconds == 1


def test_what_was_not_recorded_shows() -> None:
    entry = next(entry for entry in ROSTER if entry.name == "langfuse")
    assert seen(entry, "chat", _turns(1, 1)) == "90%"


def test_servers_that_were_started_anew_are_compared_in_the_rounds_that_all_have_had() -> None:
    def started(*rates: float) -> Served:
        return Served(rates=[*rates], cpu=[*rates], calls=1, recorded=1, failed=0)

    bare = together([started(10, 20, 30), started(40, 50, 60)], 1)
    peer = together([started(5), started(20)], 1)

    assert bare.rates == [10, 40, 20, 30, 50, 60]
    assert ratio({"bare": asdict(bare), "peer": asdict(peer)}, "peer") == 0.5
    assert (peer.calls, peer.recorded) == (2, 2)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_the_sink_counts_the_spans_of_otlp() -> None:
    span = _field(5, b"a name") + b"\x39" + bytes(8) + b"\x30\x03"  # a 64-bit field and a number, which are passed over
    scopes = [_field(1, b"") + _field(2, span) * count for count in (2, 1)]
    assert spans_in(b"".join(_field(1, _field(2, scope)) for scope in scopes)) == 3
