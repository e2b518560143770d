"""What docs/api.md shows, done with the service: its functions called, its curl commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from payi import Payi

from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.docs.test_docs import ROOT, run_python

PAGE = ROOT / "docs" / "api.md"
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt install curl")
CURL = re.compile(r"^    (curl .+)$", re.MULTILINE)


@pytest.fixture
def _served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Ledger(tmp_path / "payi.db") as ledger, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(ledger, stored_keys=True), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        monkeypatch.setenv("PAYI_API_KEY", ledger.create_key("my-team"))
        monkeypatch.setenv("PAYI_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield
        server.should_exit = True
        thread.join()


@pytest.mark.usefixtures("_served")
def test_the_pages_functions_do_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    page = run_python(PAGE)
    with Payi() as client:
        assert page["budget"](client) == "ok"
        assert capsys.readouterr().out == "0.00045 USD\n"
        assert client.limits.retrieve(page["rate"](client)).limit.max == 0.5


@pytest.mark.usefixtures("_served")
@NEEDS_CURL
def test_the_pages_commands_are_answered() -> None:
    page = run_python(PAGE)
    with Payi() as client:
        page["budget"](client)
    commands = CURL.findall(PAGE.read_text())
    assert len(commands) == 3
    answers = [
        json.loads(
            subprocess.run(
                ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30, env=os.environ
            ).stdout
        )
        for command in commands
    ]
    listed, limit, history = answers
    assert [found["limit_id"] for found in listed["items"]] == [limit["limit"]["limit_id"]] == ["team"]
    assert history["limit_history"]["totals"]["requests"]["total"] == 1


@pytest.mark.usefixtures("_served")
@NEEDS_CURL
def test_the_error_that_the_page_shows_is_the_services_own() -> None:
    (shown,) = re.findall(r'^    ({"statusCode".+})$', PAGE.read_text(), re.MULTILINE)
    command = 'curl -s -H "xProxy-api-key: $PAYI_API_KEY" "$PAYI_BASE_URL/api/v1/limits/x"'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stdout) == json.loads(shown)
