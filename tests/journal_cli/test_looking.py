"""`payi-middleware journal status`, `list` and `export`: what they tell, and what they keep to themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from payi_middleware import Settings
from payi_middleware.cli import main
from payi_middleware.destinations import destination_id, destination_of
from payi_middleware.journal import Home
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.journal_cli.leaving import REFUSED_SHOWN, command, environment, item, leave, letter
from tests.transport.calling import PROMPT

Captured = pytest.CaptureFixture[str]
OTHER = "https://payi.example.com"


@pytest.fixture
def settings(journal: Path, tmp_path: Path) -> Settings:
    return Settings(journal=journal, ledger=tmp_path / "payi.db")


@pytest.fixture
def two(settings: Settings) -> Settings:
    """Two destinations, with two dead letters and a waiting report for one of them, and one for the other."""
    leave(settings, [letter(1), letter(2, status=422, code="unknown_category", user_id=None)], pending=[3])
    leave(Settings(journal=settings.journal, base_url=OTHER), [letter(4)], pending=[5])
    return settings


def told(capsys: Captured, *arguments: str, status: int = 0) -> str:
    assert main(["journal", *arguments]) == status
    out, errors = capsys.readouterr()
    assert (errors == "") == (status == 0)
    return out


def as_json(capsys: Captured, *arguments: str) -> Any:
    return json.loads(told(capsys, *arguments, "--json"))


# --- nothing there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [["status"], ["list"], ["export"], ["retry", "--all"], ["retry", "abc"]])
def test_where_there_is_no_journal_each_action_says_so_and_is_content(
    action: list[str], journal: Path, capsys: Captured
) -> None:
    assert main(["journal", *action, "--journal", str(journal)]) == 0
    out, errors = capsys.readouterr()
    assert f"there is no journal at {journal}" in out + errors
    assert not journal.exists()


def test_where_the_journal_is_off_it_is_said_so(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_JOURNAL", "off")
    assert told(capsys, "status") == "Nothing there: the journal is off (PAYI_JOURNAL).\n"
    assert as_json(capsys, "status")["journal"] is None
    assert as_json(capsys, "list") == []


@pytest.mark.parametrize("action", [["status"], ["list"], ["export"], ["retry", "--all"]])
def test_an_empty_journal_is_no_trouble(action: list[str], journal: Path, capsys: Captured) -> None:
    journal.mkdir()
    assert main(["journal", *action, "--journal", str(journal)]) == 0
    out, errors = capsys.readouterr()
    assert "empty" in out or "No dead letters" in out + errors


def test_without_a_directory_the_one_of_the_settings_is_meant(
    two: Settings, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYI_JOURNAL", str(two.journal))
    assert as_json(capsys, "status")["totals"]["dead_letters"] == 3


def test_a_wrong_setting_is_told_unless_the_directory_is_given(
    journal: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    assert main(["journal", "status"]) == 1
    assert "PAYI_HEADER_WAIT" in capsys.readouterr().err
    assert "there is no journal" in told(capsys, "status", "--journal", str(journal))


# --- status ----------------------------------------------------------------------------------------------------------


def test_the_status_counts_by_destination_and_process(two: Settings, capsys: Captured) -> None:
    facts = as_json(capsys, "status", "--journal", str(two.journal))
    found = {each["destination"]: each for each in facts["destinations"]}
    assert set(found) == {destination_of(two), OTHER}
    assert found[destination_of(two)]["id"] == destination_id(two)
    (process,) = found[destination_of(two)]["processes"]
    assert (process["pending"], process["dead_letters"], process["spool_records"]) == (1, 2, 0)
    assert process["alive"] is False
    assert facts["totals"]["pending"] == 2
    assert facts["totals"]["oldest_age"] > 0
    assert facts["totals"]["bytes"] == sum(each["processes"][0]["bytes"] for each in found.values())
    shown = told(capsys, "status", "--journal", str(two.journal))
    assert "In all: 2 waiting (the oldest for" in shown
    assert f"  {process['process'][:8]}     no        1" in shown


def test_a_destination_can_be_picked_by_a_part_of_its_address(two: Settings, capsys: Captured) -> None:
    facts = as_json(capsys, "status", "--journal", str(two.journal), "--destination", "example.com")
    assert [each["destination"] for each in facts["destinations"]] == [OTHER]
    assert facts["totals"]["dead_letters"] == 1


def test_looking_at_ones_own_journal_does_not_lose_the_lock_on_it(settings: Settings, capsys: Captured) -> None:
    assert isinstance(settings.journal, Path)
    home = Home(settings.journal / destination_id(settings), destination_of(settings), settings.journal_max_bytes)
    home.spool.put(b"a record")
    for _ in range(2):
        facts = as_json(capsys, "status", "--journal", str(settings.journal))
        assert facts["totals"]["alive"] == 1
    seen_by_another = json.loads(command("status", "--json", journal=settings.journal).stdout)
    assert seen_by_another["totals"]["alive"] == 1
    home.close()


def test_a_file_that_cannot_be_read_is_named_and_does_not_hide_the_others(two: Settings, capsys: Captured) -> None:
    assert isinstance(two.journal, Path)
    (damaged,) = (two.journal / destination_id(two)).glob("*.db")
    damaged.write_bytes(b"no database" * 1000)
    for beside in damaged.parent.glob("*.db-*"):
        beside.unlink()
    assert main(["journal", "status", "--json", "--journal", str(two.journal)]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert "not a database" in str(facts["destinations"])
    assert facts["totals"]["dead_letters"] == 1
    assert main(["journal", "list", "--journal", str(two.journal)]) == 1
    assert f"{damaged} cannot be read (file is not a database)" in capsys.readouterr().err


def test_files_that_were_set_aside_are_mentioned(two: Settings, capsys: Captured) -> None:
    assert isinstance(two.journal, Path)
    aside = two.journal / destination_id(two) / "0123.unreadable"
    aside.write_bytes(b"")
    assert as_json(capsys, "status", "--journal", str(two.journal))["set_aside"] == [str(aside)]
    assert f"such as {aside}." in told(capsys, "status", "--journal", str(two.journal))


# --- list ------------------------------------------------------------------------------------------------------------


def test_a_dead_letter_is_listed_with_what_it_takes_to_understand_it(two: Settings, capsys: Captured) -> None:
    found = as_json(capsys, "list", "--journal", str(two.journal), "--destination", "payi.db")
    assert [each.pop("id") for each in found] != []
    assert found[0] == {
        "destination": destination_of(two),
        "process": found[0]["process"],
        "refused": REFUSED_SHOWN,
        "recorded": "2025-10-09T08:53:20Z",
        "status": 400,
        "code": "unknown_limit",
        "message": "no, said about 1",
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "provider_response_id": "chatcmpl-1",
        "user_id": "alice",
    }
    assert found[1]["user_id"] is None


def test_the_list_holds_no_prompts(two: Settings, capsys: Captured) -> None:
    for arguments in ([], ["--json"]):
        assert PROMPT not in told(capsys, "list", "--journal", str(two.journal), *arguments)


def test_the_list_can_be_narrowed_by_code(two: Settings, capsys: Captured) -> None:
    found = as_json(capsys, "list", "--journal", str(two.journal), "--code", "unknown_category")
    assert [each["provider_response_id"] for each in found] == ["chatcmpl-2"]
    lines = told(capsys, "list", "--journal", str(two.journal), "--code", "unknown_category").splitlines()
    assert lines[0].endswith(f"  {REFUSED_SHOWN}  422 unknown_category  system.openai/gpt-4o-mini  chatcmpl-2")
    assert lines[1] == f"    no, said about 2  [{destination_of(two)}]"
    assert told(capsys, "list", "--journal", str(two.journal), "--code", "other") == "No dead letters.\n"


def test_what_others_wrote_cannot_play_tricks_with_the_terminal(settings: Settings, capsys: Captured) -> None:
    leave(settings, [letter(1, user_id="\x1b[31mred\r")])
    shown = told(capsys, "list", "--journal", str(settings.journal))
    assert "user ?[31mred?" in shown
    assert "\x1b" not in shown


def test_a_reader_that_has_seen_enough_ends_the_list_quietly(settings: Settings) -> None:
    leave(settings, [letter(number) for number in range(2000)])
    with subprocess.Popen(
        [sys.executable, "-m", "payi_middleware.cli", "journal", "list"],
        env=environment(journal=settings.journal),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


# --- export ----------------------------------------------------------------------------------------------------------


def test_the_export_is_one_bulk_item_a_line(two: Settings) -> None:
    done = command("export", "--destination", "payi.db", journal=two.journal)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [item(1), item(2, user_id=None)]
    assert done.returncode == 0
    assert done.stderr == f"2 dead letters for {destination_of(two)}\n"
    narrowed = command("export", "--code", "unknown_category", journal=two.journal)
    assert [json.loads(line) for line in narrowed.stdout.splitlines()] == [item(2, user_id=None)]


def test_what_waits_can_be_exported_too(two: Settings) -> None:
    done = command("export", "--pending", journal=two.journal)
    assert sorted(json.loads(line)["provider_response_id"] for line in done.stdout.splitlines()) == [
        "chatcmpl-3",
        "chatcmpl-5",
    ]


def test_an_exported_array_is_the_body_of_a_bulk_request(two: Settings, ingest: Ingest, tmp_path: Path) -> None:
    file = tmp_path / "letters.json"
    assert main(["journal", "export", "--array", "-o", str(file), "--journal", str(two.journal)]) == 0
    answer = httpx.post(
        f"{ingest.url}/api/v1/ingest/bulk",
        content=file.read_bytes(),
        headers={"xProxy-api-key": PAYI_KEY, "content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["ingest_count"]) == (200, 3)
    assert {request.provider_response_id for request in ingest.ledger.requests()} == {
        f"chatcmpl-{number}" for number in (1, 2, 4)
    }


def test_an_exported_file_is_its_owners_alone_and_takes_no_others_place(two: Settings, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    arguments = ["export", "--output", str(file)]
    assert command(*arguments, journal=two.journal).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    again = command(*arguments, journal=two.journal)
    assert again.returncode == 1
    assert "name a new file" in again.stderr
    assert file.read_bytes() == before


def test_an_export_of_nothing_is_a_valid_file(settings: Settings, capsys: Captured) -> None:
    leave(settings, pending=[1])
    assert main(["journal", "export", "--array", "--journal", str(settings.journal)]) == 0
    out, errors = capsys.readouterr()
    assert (json.loads(out), errors) == ([], "No dead letters.\n")


def test_a_code_makes_no_sense_for_what_waits(two: Settings, capsys: Captured) -> None:
    told(capsys, "export", "--pending", "--code", "x", "--journal", str(two.journal), status=1)


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [[], ["burn"], ["retry"], ["retry", "a", "--all"], ["retry", "--all", "--timeout", "-1"], ["list", "--pending"]],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["journal", *arguments])
    assert ended.value.code == 2
    assert "usage: payi-middleware" in capsys.readouterr().err
