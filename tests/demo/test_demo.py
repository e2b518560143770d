"""`payi-middleware demo`, run as its user runs it."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from payi_middleware.cli import main
from payi_middleware.demo import screen
from payi_middleware.demo.children import FASTAPI, Child
from payi_middleware.demo.runner import _keep_running
from payi_middleware.service.accounts.records import UserUsage

COMMAND = [sys.executable, "-m", "payi_middleware.cli"]
TIMEOUT = 120  # seconds


def environment(**changes: str) -> dict[str, str]:
    """Return this environment with nothing in it that belongs to the providers' SDKs or to the middleware."""
    foreign = ("OPENAI_", "ANTHROPIC_", "PAYI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | changes


def demo(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "demo", *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def table(output: str) -> dict[str, Sequence[str]]:
    rows = (line.split() for line in output.partition("The ledger, per user:")[2].splitlines())
    return {row[0]: row[1:] for row in rows if row and row[0] in {"alice", "bob", "total"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo may leave something, if it does."""
    made = tmp_path_factory.mktemp("home")
    (made / "temporary").mkdir()
    return made


@pytest.fixture(scope="module")
def done(home: Path) -> "subprocess.CompletedProcess[str]":
    """A demo that has ended."""
    return demo(HOME=str(home), XDG_STATE_HOME=str(home / "state"), TMPDIR=str(home / "temporary"))


def test_the_demo_shows_what_each_response_and_each_user_cost(done: "subprocess.CompletedProcess[str]") -> None:
    assert (done.returncode, done.stderr) == (0, "")
    exchanges = re.findall(
        r"^(FastAPI|Flask) +POST (/\w+) +(alice|bob) +(\d+)  Stand-in answer to: ", done.stdout, re.MULTILINE
    )
    assert len(exchanges) == len(set(exchanges)) == 12
    assert {status for *_, status in exchanges} == {"200"}
    calls = re.findall(r"^    X-Payi-Calls +(\d+)$", done.stdout, re.MULTILINE)
    assert len(calls) == 12
    assert len(re.findall(r"^    X-Payi-Cost +0\.\d+$", done.stdout, re.MULTILINE)) >= 8
    users = table(done.stdout)
    assert [users[name][0] for name in ("alice", "bob", "total")] == ["8", "8", "16"]
    assert all(users[name][1] == "0" and Decimal(users[name][4]) > 0 for name in users)
    assert "stand-in" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= screen.WIDTH


def test_the_demo_leaves_nothing_behind(done: "subprocess.CompletedProcess[str]", home: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == [home / "temporary"]


def test_a_second_demo_adds_to_the_ledger_it_is_given(tmp_path: Path) -> None:
    ledger = tmp_path / "kept.db"
    first, second = demo("--ledger", str(ledger)), demo("--ledger", str(ledger))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert ledger.stat().st_size > 0
    assert [table(done.stdout)["total"][0] for done in (first, second)] == ["16", "32"]


def test_the_demo_ends_with_the_address_of_a_dashboard_that_it_has_looked_at(
    done: "subprocess.CompletedProcess[str]",
) -> None:
    (url,) = re.findall(r"The dashboard, with all of that: (http://127\.0\.0\.1:\d+/)$", done.stdout, re.MULTILINE)
    assert done.stdout.index("The ledger, per user:") < done.stdout.index(url)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
def test_on_a_terminal_the_dashboard_stays_until_enter_is_pressed() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen([*COMMAND, "demo"], env=environment(), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = ""
        while "Press Enter" not in seen:
            seen += os.read(ours, 4096).decode()
        (url,) = re.findall(r"The dashboard, with all of that: (http://127\.0\.0\.1:\d+/)", seen)
        page = httpx.get(url, trust_env=False)
        os.write(ours, b"\n")
        assert process.wait(TIMEOUT) == 0
    os.close(ours)
    assert page.status_code == 200
    assert "alice" in page.text
    assert "bob" in page.text


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_a_kept_demo_answers_until_it_is_interrupted() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo", "--keep"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if line.strip().startswith("Ledger ") and "(SQLite)" in line:
                break
        urls = set(re.findall(r"curl -i (http://127\.0\.0\.1:\d+)/chat", seen))
        answers = [httpx.get(f"{url}/healthz", trust_env=False).json() for url in urls]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=TIMEOUT)
    assert answers == [{"status": "ok"}] * 2, seen + errors
    assert (process.returncode, errors) == (0, "")
    assert "Stopping" in rest
    for url in urls:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_a_live_demo_without_keys_says_which_ones_it_needs() -> None:
    done = demo("--live", OPENAI_API_KEY="given")
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs ANTHROPIC_API_KEY" in done.stderr


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = demo("--port", str(port))
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr


def test_a_ledger_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    ledger = tmp_path / "no.db"
    ledger.write_text("This is no database.")
    done = demo("--ledger", str(ledger))
    assert done.returncode == 1
    assert "no.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_answered_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "waitress", None)
    assert main(["demo"]) == 1
    assert (
        "not installed: waitress. Get everything with: pip install 'payi-middleware[demo]'" in capsys.readouterr().err
    )


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["demo", "--port", "0"], ["demo", "--port", "http"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: payi-middleware" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"payi-middleware \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_the_table_adds_up_and_names_what_is_nobody_s() -> None:
    rows = [
        UserUsage("alice@" + "x" * 40, 1_000, 1, 2_000_000, 3, Decimal("0.5")),
        UserUsage(None, 2, 0, 5, 7, Decimal("0.00000025")),
    ]
    lines = screen.usage_table(rows).splitlines()
    assert lines[2].startswith(f"    alice@{'x' * 19}... ")
    assert lines[3].split() == ["(unattributed)", "2", "0", "5", "7", "0.00000025"]
    assert lines[-1].split() == ["total", "1,002", "1", "2,000,005", "10", "0.50000025"]
    assert screen.usage_table([]).splitlines()[-1].split() == ["total", "0", "0", "0", "0", "0.00000000"]


def test_long_values_stay_within_the_screen() -> None:
    laid_out = screen.facts({"X-Payi-Request-Id": ",".join(["req_" + "0" * 32] * 5), "Empty": ""})
    assert max(map(len, laid_out.splitlines())) <= screen.WIDTH
    assert laid_out.count("req_" + "0" * 32) == 5
    line = screen.exchange("FastAPI", "POST /chat", "alice", 200, "word\n" * 100)
    assert len(line) == screen.WIDTH


def test_an_interrupt_right_behind_the_last_line_ends_a_kept_demo_as_any_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Terminal(io.StringIO):
        """Whoever reads it presses Ctrl-C as soon as the ledger's line is there (a signal cannot be timed so)."""

        def flush(self) -> None:
            if "(SQLite)" in self.getvalue() and "Stopping" not in self.getvalue():
                raise KeyboardInterrupt

    child = Child(FASTAPI, "http://127.0.0.1:1", None, tmp_path / "log")  # type: ignore[arg-type]  # is not asked
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    try:
        _keep_running([child], tmp_path / "payi.db", "http://127.0.0.1:2/")
    except KeyboardInterrupt:
        pytest.fail("the interrupt was not taken as an end")
    assert "Stopping" in terminal.getvalue()
