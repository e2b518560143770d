"""Journals with something in them, left by processes that have ended or that live, and the command that reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from payi_middleware.destinations import destination_id, destination_of
from payi_middleware.journal import DeadLetter, Home, Row
from payi_middleware.report import encoded
from tests.delivery.ingest_server import PAYI_KEY
from tests.transport.calling import PROMPT

RECORDED = 1_760_000_000.0
REFUSED = RECORDED + 60
REFUSED_SHOWN = "2025-10-09T08:54:20Z"


def item(number: int, **more: Any) -> dict[str, Any]:
    """Return a report that a service accepts, with a prompt in it."""
    return {
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "units": {"text": {"input": 7, "output": 1}},
        "event_timestamp": "2025-10-09T08:53:20Z",
        "provider_response_id": f"chatcmpl-{number}",
        "http_status_code": 200,
        "user_id": "alice",
        "provider_request_json": PROMPT,
        **more,
    }


def letter(number: int, *, status: int = 400, code: str = "unknown_limit", **more: Any) -> DeadLetter:
    """Return a dead letter."""
    row = Row(encoded(item(number, **more)), None, True, RECORDED, attempts=5)
    return DeadLetter(row, REFUSED, status, code, f"no, said about {number}")


def leave(settings: Settings, letters: Sequence[DeadLetter] = (), pending: Sequence[int] = ()) -> None:
    """Leave reports behind, as a process does that ends."""
    assert isinstance(settings.journal, Path)
    home = Home(settings.journal / destination_id(settings), destination_of(settings), settings.journal_max_bytes)
    home.backlog.append([Row(encoded(item(number)), None, True, RECORDED) for number in pending], letters)
    home.close()


def environment(**settings: object) -> dict[str, str]:
    """Return an environment with these settings of ours and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    return inherited | {f"PAYI_{name.upper()}": str(value) for name, value in settings.items()}


def command(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `payi-middleware journal` as its user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "payi_middleware.cli", "journal", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


_APP = """
import json, sys
import openai
import payi_middleware as payi
from payi_middleware.delivery import dispatcher

dispatcher._ADOPTION = 0.1
meter = payi.instrument()
with openai.OpenAI(base_url={url!r}, api_key="key") as client:
    for _ in range({calls}):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": {prompt!r}}}])
meter.flush({patience})
print(json.dumps(meter.stats()), flush=True)
sys.stdin.read()
"""
"""An app that lives until its standard input is closed, and looks into its journal all the time, not each minute."""


class App:
    """An app that has made its calls."""

    def __init__(self, process: subprocess.Popen[str], stats: dict[str, Any]) -> None:
        self._process = process
        self.stats = stats

    def end(self) -> None:
        """Let it end as programs do."""
        _, errors = self._process.communicate(timeout=60)
        assert (self._process.returncode, "Traceback" in errors) == (0, False), errors

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate(timeout=60)


@contextmanager
def app(provider: Provider, calls: int, patience: float = 60, **settings: object) -> Iterator[App]:
    """Run an app that makes some calls and waits so many seconds for them to be delivered."""
    script = _APP.format(url=provider.openai_url, calls=calls, prompt=PROMPT, patience=patience)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(shutdown_timeout=0.2, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield App(process, json.loads(process.stdout.readline()))
        finally:
            process.kill()


def service(url: str, journal: Path, **more: object) -> dict[str, Any]:
    """Return the settings of an app that reports to a service."""
    return {"base_url": url, "api_key": PAYI_KEY, "journal": journal, **more}
