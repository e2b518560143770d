"""Asking an app that makes one provider call for each request."""

from __future__ import annotations

from threading import Event, Thread

from starlette.testclient import TestClient

from payi_middleware import PayiMiddleware

__all__ = ["ANSWER", "ask_app"]

ANSWER = "Stand-in answer to: Which city is the capital of Norway?"


def ask_app(app: PayiMiddleware) -> dict[str, str]:
    """Ask the app, within a time that is far below `header_wait`, and return the response's headers."""
    headers: dict[str, str] = {}
    done = Event()

    def ask() -> None:
        response = TestClient(app).get("/ask")
        assert (response.status_code, response.text) == (200, ANSWER)
        headers.update(response.headers)
        done.set()

    Thread(target=ask, daemon=True).start()
    assert done.wait(60), "the response did not start"
    return headers
