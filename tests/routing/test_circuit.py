"""During an outage one call in a while finds out; the others do not wait for that."""

from __future__ import annotations

from pathlib import Path

from payi_middleware.proxying.circuit import Circuit
from tests.doors.asgi_server import run_python


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


_FORK_WHILE_HELD = """
import os, signal, threading
from payi_middleware.proxying.circuit import Circuit

inside, leave = threading.Event(), threading.Event()

def clock():
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        leave.wait(30)
    return 1.0

circuit = Circuit(clock)
circuit.fail()
thread = threading.Thread(target=circuit.allows)
thread.start()
assert inside.wait(30)
pid = os.fork()
if not pid:
    signal.alarm(20)
    os._exit(bool(circuit.allows()))
ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
leave.set()
thread.join()
print(ended)
"""


def test_a_child_that_is_forked_while_another_thread_finds_out_is_not_kept_waiting(tmp_path: Path) -> None:
    done = run_python(tmp_path, "-W", "ignore::DeprecationWarning", "-c", _FORK_WHILE_HELD)

    assert (done.stdout, done.stderr) == ("0\n", "")
