"""`payi-middleware journal retry`: which dead letters get another try, by whom, and what is said if that cannot be."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from payi_middleware import Settings
from payi_middleware.cli import main
from payi_middleware.destinations import destination_id, destination_of
from payi_middleware.journal import Home
from payi_middleware.service.ledger import Ledger
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.journal_cli.leaving import command, leave, letter

Captured = pytest.CaptureFixture[str]
KEY = "0" * 40


@pytest.fixture
def settings(ingest: Ingest, journal: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the app, which are the environment's, too."""
    for name, value in {"BASE_URL": ingest.url, "API_KEY": PAYI_KEY, "JOURNAL": str(journal)}.items():
        monkeypatch.setenv(f"PAYI_{name}", value)
    return Settings()


def retry(*arguments: str, status: int = 0) -> None:
    assert main(["journal", "retry", *arguments]) == status


def listed(capsys: Captured) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["journal", "list", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def ids(capsys: Captured) -> dict[str, str]:
    return {each["provider_response_id"]: each["id"] for each in listed(capsys)}


def booked(ingest: Ingest) -> list[str]:
    return sorted(str(request.provider_response_id) for request in ingest.ledger.requests(limit=100))


def test_one_after_the_other_can_be_retried_by_the_ids_of_one_list(
    settings: Settings, ingest: Ingest, capsys: Captured
) -> None:
    leave(settings, [letter(1), letter(2), letter(3)])
    before = ids(capsys)
    retry(before["chatcmpl-2"])
    assert booked(ingest) == ["chatcmpl-2"]
    assert ids(capsys) == {name: before[name] for name in ("chatcmpl-1", "chatcmpl-3")}
    retry(before["chatcmpl-1"][:8], before["chatcmpl-3"])
    assert booked(ingest) == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3"]
    assert listed(capsys) == []
    retry("--all")
    assert capsys.readouterr().out == "No dead letters.\n"


def test_those_of_a_code_can_be_retried(settings: Settings, ingest: Ingest, capsys: Captured) -> None:
    leave(settings, [letter(1, code="a"), letter(2, code="b"), letter(3, code="a")])
    retry("--code", "a")
    assert booked(ingest) == ["chatcmpl-1", "chatcmpl-3"]
    assert set(ids(capsys)) == {"chatcmpl-2"}
    capsys.readouterr()
    retry("--code", "c")
    assert capsys.readouterr().out == "No dead letters.\n"


@pytest.mark.parametrize("chosen", [["f00"], ["", "f00"]])
def test_an_id_that_is_nobodys_is_told_and_nothing_is_done(
    settings: Settings, ingest: Ingest, capsys: Captured, chosen: Sequence[str]
) -> None:
    leave(settings, [letter(1)])
    known = ids(capsys)["chatcmpl-1"]
    retry(known, *chosen, status=1)
    assert "is no dead letter's id: see `payi-middleware journal list`; nothing was done" in capsys.readouterr().err
    assert set(ids(capsys)) == {"chatcmpl-1"}
    assert ingest.received == []


def test_an_id_that_could_be_several_is_told(settings: Settings, capsys: Captured) -> None:
    leave(settings, [letter(number) for number in range(17)])
    found = [id_[:1] for id_ in ids(capsys).values()]
    retry(next(id_ for id_ in found if found.count(id_) > 1), status=1)
    assert "is the beginning of several ids" in capsys.readouterr().err


def test_what_is_refused_again_stays_a_dead_letter(settings: Settings, ingest: Ingest, capsys: Captured) -> None:
    leave(settings, [letter(1)])
    before = listed(capsys)
    ingest.mode = 403
    retry("--all", status=1)
    assert "Refused again: 1 (HTTP 403 told_to)" in capsys.readouterr().err
    (after,) = listed(capsys)
    assert (after["id"], after["code"], after["recorded"]) == (before[0]["id"], "told_to", before[0]["recorded"])


def test_what_cannot_be_delivered_at_present_waits_in_the_journal(
    settings: Settings, ingest: Ingest, capsys: Captured
) -> None:
    leave(settings, [letter(1), letter(2)])
    ingest.mode = 503
    done = command("retry", "--all", "--timeout", "1", journal=settings.journal, base_url=ingest.url, api_key=PAYI_KEY)
    assert (done.returncode, done.stdout) == (1, "Delivered: 0.\n")
    assert re.search(r"2 cannot be delivered at present( \(HTTP 503 told_to\))?: they wait in the journal", done.stderr)
    assert main(["journal", "status", "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert (totals["pending"], totals["dead_letters"]) == (2, 0)
    ingest.mode = "ok"
    retry("--all")
    assert booked(ingest) == ["chatcmpl-1", "chatcmpl-2"]


def test_the_embedded_ledger_is_a_destination_like_others(
    journal: Path, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYI_LEDGER", str(ledger_path))
    leave(Settings(journal=journal), [letter(1)])
    retry("--all", "--journal", str(journal))
    with Ledger(ledger_path) as ledger:
        assert [request.provider_response_id for request in ledger.requests()] == ["chatcmpl-1"]


def test_those_of_a_living_process_are_put_back_whatever_the_environment_says(
    ingest: Ingest, journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    settings = Settings(journal=journal, base_url=ingest.url, api_key=PAYI_KEY)
    home = Home(journal / destination_id(settings), destination_of(settings), settings.journal_max_bytes)
    home.backlog.append((), [letter(1), letter(2)])
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    retry("--all", "--journal", str(journal))
    assert "Put back: 2." in capsys.readouterr().out
    assert home.backlog.counts().pending == 2
    assert [row.attempts for row in home.backlog.take(10)] == [0, 0]
    home.close()


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"base_url": "https://payi.example.com", "api_key": KEY}, "set PAYI_BASE_URL=https://payi.example.com, and "),
        ({"ledger": Path("/var/lib/payi.db")}, "set PAYI_LEDGER=/var/lib/payi.db and no PAYI_API_KEY or PAYI_BASE_URL"),
        ({"api_key": KEY}, "with another PAYI_API_KEY or PAYI_USER_ID_HMAC_KEY, or with a `redact`"),
        ({"user_id_hmac_key": KEY}, "with another PAYI_API_KEY or PAYI_USER_ID_HMAC_KEY, or with a `redact`"),
        ({"redact": dict}, "with another PAYI_API_KEY or PAYI_USER_ID_HMAC_KEY, or with a `redact`"),
    ],
)
def test_those_that_need_other_settings_are_left_and_it_is_said_which(
    settings: Settings, ingest: Ingest, capsys: Captured, given: dict[str, Any], needed: str
) -> None:
    others = {"base_url": None, "api_key": None} if "ledger" in given else {}
    leave(Settings(**{**others, **given}), [letter(1)])
    leave(settings, [letter(2)])
    retry("--all", status=1)
    out, errors = capsys.readouterr()
    assert out == "Delivered: 1.\n"
    assert needed in errors
    assert KEY not in errors
    assert booked(ingest) == ["chatcmpl-2"]
    assert set(ids(capsys)) == {"chatcmpl-1"}


def test_what_was_sent_with_another_key_can_be_sent_with_this_one(
    settings: Settings, ingest: Ingest, capsys: Captured
) -> None:
    """As when the app had a wrong key, with which everything was refused."""
    leave(Settings(api_key=KEY), [letter(1), letter(2)], pending=[3])
    leave(Settings(api_key=KEY), pending=[4])
    leave(Settings(base_url="https://payi.example.com"), [letter(5)])
    one = ids(capsys)["chatcmpl-1"]
    retry(one, "--any-key")
    assert booked(ingest) == ["chatcmpl-1"]
    retry("--all", "--any-key", "--destination", ingest.url)
    assert booked(ingest) == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3", "chatcmpl-4"]
    assert set(ids(capsys)) == {"chatcmpl-5"}
    assert main(["journal", "status", "--json", "--destination", ingest.url]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["processes"] == 0


def test_a_spool_of_another_key_is_left_as_a_redaction_may_not_have_seen_it(
    settings: Settings, ingest: Ingest, journal: Path, capsys: Captured
) -> None:
    other = Settings(api_key=KEY)
    home = Home(journal / destination_id(other), destination_of(other), other.journal_max_bytes)
    home.spool.put(b"a record")
    home.backlog.append((), [letter(1)])
    home.close(keep=True)
    retry("--all", "--any-key")
    assert booked(ingest) == ["chatcmpl-1"]
    capsys.readouterr()
    assert main(["journal", "status", "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert (totals["processes"], totals["spool_records"]) == (1, 1)


def test_a_spool_of_another_version_is_left_where_it_is(
    settings: Settings, ingest: Ingest, journal: Path, capsys: Captured
) -> None:
    other = Settings(api_key=KEY)
    leave(other, [letter(1)])
    (spool,) = journal.glob("*/*.spool")
    spool.write_bytes(b"payi-spool-4\n")
    retry("--all", "--any-key")
    assert booked(ingest) == ["chatcmpl-1"]
    assert spool.exists()


def test_a_living_process_whose_journal_failed_once_notices_what_is_put_back(
    settings: Settings, journal: Path, capsys: Captured
) -> None:
    home = Home(journal / destination_id(settings), destination_of(settings), settings.journal_max_bytes)
    home.backlog.append((), [letter(1)])
    home.give_up_backlog()
    retry("--all")
    assert "Put back: 1." in capsys.readouterr().out
    home.adopt(lambda record: None)
    assert home.has_backlog
    assert home.backlog.counts().pending == 1
    home.close()


def test_with_wrong_settings_those_of_ended_processes_are_left(
    settings: Settings, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(settings, [letter(1)])
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    assert main(["journal", "retry", "--all", "--journal", str(settings.journal)]) == 1
    assert "Left: 1, as the settings are wrong: PAYI_HEADER_WAIT" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(settings: Settings, capsys: Captured) -> None:
    leave(settings, [letter(1)])
    assert isinstance(settings.journal, Path)
    (database,) = settings.journal.glob("*/*.db")
    held = database.with_name("held")
    database.rename(held)
    database.symlink_to(database.parent)
    retry("--all", status=1)
    assert f"{database} cannot be read" in capsys.readouterr().err
