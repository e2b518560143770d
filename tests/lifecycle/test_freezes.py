"""A process that is frozen between invocations, as serverless platforms do, delivers when it runs again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import PAYI_KEY, ingest_server
from tests.lifecycle.company import ROOT, asked_of, booked, sent_ids
from tests.transport.serving import unused_port


@dataclass
class Function:
    """A handler in a process that runs only while it is asked."""

    process: subprocess.Popen[str]

    def invoke(self, timeout: float) -> dict[str, Any]:
        """Thaw it, have it make a call and flush, and freeze it again."""
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(timeout, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(self.process.pid, os.WUNTRACED)[1])
        return dict(json.loads(answer))


@contextmanager
def function(provider: Provider, port: int, journal: Path) -> Iterator[Function]:
    environment = {
        **os.environ,
        "STAND_IN_URL": provider.openai_url,
        "PAYI_BASE_URL": f"http://127.0.0.1:{port}",
        "PAYI_API_KEY": PAYI_KEY,
        "PAYI_JOURNAL": str(journal),
        "PAYI_INGEST_TIMEOUT": "30",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.lifecycle.handler"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Function(process)
        finally:
            process.kill()


def test_a_frozen_process_has_delivered_what_it_flushed_and_goes_on_over_a_new_connection(
    provider: Provider, remote_ledger: Path, journal: Path
) -> None:
    with unused_port() as port, function(provider, port, journal) as handler:
        for number in range(3):
            with ingest_server(remote_ledger, port=port) as ingest:  # its connections end with it
                assert handler.invoke(30)["flushed"]
                assert handler.invoke(30)["flushed"]
                assert sent_ids(ingest) == asked_of(provider)[2 * number :]
        assert [record.provider_response_id for record in reversed(booked(remote_ledger))] == asked_of(provider)


def test_what_was_under_way_when_a_process_was_frozen_is_delivered_after_it_thaws(
    provider: Provider, remote_ledger: Path, journal: Path
) -> None:
    with unused_port() as port, function(provider, port, journal) as handler:
        with ingest_server(remote_ledger, port=port) as ingest:
            assert handler.invoke(30)["flushed"]
            ingest.mode = "hang"
            assert not handler.invoke(0.3)["flushed"]
            assert len(ingest.received) == 2
        with ingest_server(remote_ledger, port=port) as ingest:
            assert handler.invoke(30)["flushed"]
            assert sorted(sent_ids(ingest)) == sorted(asked_of(provider)[1:])
        assert {record.provider_response_id for record in booked(remote_ledger)} == set(asked_of(provider))
