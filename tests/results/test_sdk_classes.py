"""The classes whose objects show their results."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from weakref import ref

from payi_middleware import sdk
from payi_middleware.calls import Call
from payi_middleware.results import XproxyResult


def test_classes_made_for_one_answer_each_show_its_result_and_are_not_all_kept_alive() -> None:
    gone = []
    for number in range(2 * sdk._MOST_SHOWING):
        call = Call()
        call.settle(XproxyResult(request_id=f"req_{number}"))
        made = type(f"Answer{number}", (), {})
        answer = made()
        sdk._link(answer, SimpleNamespace(extensions={"payi_call": call}))

        assert answer.xproxy_result.request_id == f"req_{number}"
        gone.append(ref(made))
    del made, answer
    gc.collect()

    assert sum(reference() is not None for reference in gone) <= sdk._MOST_SHOWING + 1
