"""During an outage one call in a while finds out; the others do not wait for that."""

from __future__ import annotations

from payi_middleware.proxying.circuit import Circuit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_may_try_while_all_is_well() -> None:
    circuit = Circuit()

    assert all(circuit.allows() for _ in range(3))


def test_after_a_failure_one_at_a_time_may_try_at_growing_intervals_until_one_succeeds() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    pauses = []
    for _ in range(8):
        circuit.fail()
        began = clock.now
        while not circuit.allows():
            clock.now += 0.5
        pauses.append(clock.now - began)
        assert not circuit.allows()

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    circuit.succeed()
    assert circuit.allows()
    assert circuit.allows()
    circuit.fail()
    assert not circuit.allows()
