"""Calls whose usage comes later, or whose body is sent while it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from payi_middleware import Settings, instrument, track_context
from payi_middleware.context import Frame, bind
from payi_middleware.meter import default_meter
from tests.transport.calling import only_report, reports

API = "https://api.openai.com/v1"
COUNTS = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}


def run(status: str) -> dict[str, Any]:
    usage = COUNTS if status == "completed" else None
    return {"id": "run_1", "object": "thread.run", "status": status, "model": "gpt-4o", "usage": usage}


def test_a_run_counts_once_however_often_it_is_polled(library: Any, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    statuses = iter(["queued", "in_progress", "in_progress", "completed", "completed"])
    answer = library.MockTransport(lambda request: library.Response(200, json=run(next(statuses))))
    with library.Client(transport=answer) as client:
        client.post(f"{API}/threads/thread_1/runs", json={"assistant_id": "asst_1"})
        for _ in range(4):
            client.get(f"{API}/threads/thread_1/runs/run_1")
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.resource) == ("run_1", "gpt-4o")
    assert (report.input_tokens, report.output_tokens) == (30, 12)
    stats = default_meter().stats()
    assert (stats["dropped"], stats["refused"], stats["last_error"]) == (0, 0, None)


PREDICTION: dict[str, Any] = {
    "id": "p1",
    "model": "meta/llama-3",
    "metrics": {"input_token_count": 30, "output_token_count": 12},
}
INTERACTION: dict[str, Any] = {
    "id": "v1_a",
    "model": "m",
    "usage": {"total_input_tokens": 30, "total_output_tokens": 12},
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "model": "m",
    "background": True,
    "usage": {"input_tokens": 30, "output_tokens": 12},
}
JOBS: dict[str, tuple[str, dict[str, Any], tuple[str, str, str]]] = {
    "prediction": ("https://api.replicate.com/v1/predictions", PREDICTION, ("starting", "processing", "succeeded")),
    "interaction": (
        "https://generativelanguage.googleapis.com/v1beta/interactions",
        INTERACTION,
        ("in_progress", "in_progress", "completed"),
    ),
    "response": (f"{API}/responses", RESPONSE, ("queued", "in_progress", "completed")),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_job_counts_once_when_it_is_picked_up_also_by_another_process_than_began_it(
    library: Any, settings: Settings, ledger_path: Path, job: str, elsewhere: bool
) -> None:
    url, ended, (begun, working, done) = JOBS[job]
    waiting = {**ended, "usage": None, "metrics": None}
    statuses = [working, done, done] if elsewhere else [begun, working, done, done]
    answers = iter([{**(ended if status == done else waiting), "status": status} for status in statuses])
    instrument(settings)
    answer = library.MockTransport(lambda request: library.Response(200, json=next(answers)))
    with library.Client(transport=answer) as client:
        if not elsewhere:
            client.post(url, json={"model": "m", "input": "Hi"})
        for _ in range(3):
            client.get(f"{url}/{ended['id']}")
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.input_tokens, report.output_tokens) == (ended["id"], 30, 12)


def test_calls_that_were_none_are_taken_back_from_the_request(library: Any, settings: Settings) -> None:
    meter = instrument(settings)
    scope = meter.new_scope()
    answer = library.MockTransport(lambda request: library.Response(200, json=run("in_progress")))
    unbind = bind(Frame(scope))
    try:
        with library.Client(transport=answer) as client:
            client.get(f"{API}/threads/thread_1/runs/run_1")
    finally:
        unbind()
    assert meter.flush(10)
    assert scope.summary().calls == 0


def test_answers_with_the_same_drawn_id_all_count(library: Any, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    body = {"id": "chatcmpl-417", "model": "llama3", "system_fingerprint": "fp_ollama", "choices": [], "usage": COUNTS}
    answer = library.MockTransport(lambda request: library.Response(200, json=body))
    with library.Client(transport=answer) as client:
        for _ in range(3):
            client.post("http://localhost:11434/v1/chat/completions", json={"model": "llama3", "messages": []})
    found = reports(ledger_path)
    assert len({report.provider_response_id for report in found}) == 3
    assert {report.properties["system.provider_response_id"] for report in found} == {"chatcmpl-417"}


def test_the_model_that_an_upload_is_sent_to_is_known(
    library: Any, settings: Settings, ledger_path: Path, tmp_path: Path
) -> None:
    instrument(settings)
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF" * 1000)
    received = []

    def answer(request: Any) -> Any:
        received.append(request.read())
        return library.Response(200, json={"text": "Hello", "usage": {"type": "duration", "seconds": 6}})

    with (
        library.Client(transport=library.MockTransport(answer)) as client,
        track_context(user_id="alice"),
        file.open("rb") as audio,
    ):
        client.post(f"{API}/audio/transcriptions", data={"model": "whisper-1"}, files={"file": audio})
    report = only_report(ledger_path)
    assert (report.resource, report.user_id) == ("whisper-1", "alice")
    assert b"RIFF" * 1000 in received[0]
