"""What is made of the turns of workers."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.peers.end_to_end import Served, together
from benchmarks.peers.figures import Added, added, seen
from benchmarks.peers.roster import ROSTER
from benchmarks.peers.sink import spans_in
from benchmarks.peers.targets import ratio


def _turns(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [
        {"pace": pace, "cpu": cpu, "cpu_paced": cpu / pace, "operations": 10, "call": 9, "proved": 0}
        for pace, cpu in pairs
    ]


def test_a_round_in_which_the_machine_was_slow_counts_as_if_it_had_not_been() -> None:
    bare = _turns((1, 10), (3, 30), (1, 10))
    ours = _turns((1, 12), (1, 12), (3, 36))
    assert added(ours, bare, "cpu") == Added(2, 0)


def test_a_tool_that_slows_the_fixed_work_down_as_well_is_not_measured_as_less() -> None:
    bare = _turns((1, 10), (1, 10), (1, 10))
    ours = _turns((2, 14), (2, 14), (2, 14))
    assert added(ours, bare, "cpu") == Added(4, 0)


def test_a_figure_is_for_a_part_of_an_operation() -> None:
    assert added(_turns((1, 500)), _turns((1, 0)), "cpu", 500).seconds == 1


def test_what_was_not_recorded_shows() -> None:
    entry = next(entry for entry in ROSTER if entry.name == "langfuse")
    assert seen(entry, "chat", _turns((1, 1), (1, 1))) == "90%"


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
