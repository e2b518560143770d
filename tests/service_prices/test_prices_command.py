"""`payi-middleware prices`, run as a user runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from payi_middleware.cli import main
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.own import NewResource, Pair
from tests.service_command.processes import run
from tests.service_prices import price_lists

Output = pytest.CaptureFixture[str]


def prices(capsys: Output, database: str, *arguments: str) -> list[str]:
    assert main(["prices", *arguments, "--db", database]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out.splitlines()


def fails(capsys: Output, database: str, *arguments: str) -> str:
    assert main(["prices", *arguments, "--db", database]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'payi.db'}"


def test_an_update_tells_what_is_new_and_a_second_one_that_nothing_is(database: str) -> None:
    with price_lists.publishing(price_lists.small(7)) as url:
        done = run("prices", "update", "--url", url, "--db", database)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("2 resources, 1 of them new and 1 with other prices, hold from 20")
        again = run("prices", "update", "--url", url, "--db", database)
        assert (again.returncode, again.stdout) == (0, "The prices are up to date.\n")
    shown = run("prices", "show", "system.openai", "gpt-4o", "--db", database)
    assert shown.stdout.splitlines()[1:] == [
        "unit\tinput, USD per million\toutput, USD per million",
        *(f"{unit}\t7\t-" for unit in ("image", "image_cache_read", "text", "text_cache_read", "text_cache_write")),
        "vision\t7\t-",
        "vision_cache_read\t7\t-",
    ]


def test_a_list_is_read_from_a_file_where_there_is_no_network(capsys: Output, file: str, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(price_lists.small(7))
    (told,) = prices(capsys, file, "update", "--file", str(tmp_path / "data.json"))
    assert told.startswith("2 resources, ")


def test_what_cannot_be_had_or_is_no_list_is_told_and_changes_nothing(
    capsys: Output, file: str, tmp_path: Path
) -> None:
    with price_lists.publishing(b"not found", 404) as url:
        assert f"{url} answered 404" in fails(capsys, file, "update", "--url", url)
    with price_lists.publishing(b"<html>") as url:
        assert f"{url} is no price list" in fails(capsys, file, "update", "--url", url)
    assert "cannot be read" in fails(capsys, file, "update", "--url", "http://127.0.0.1:1/data.json")
    assert "cannot be read" in fails(capsys, file, "update", "--url", "no url at all")
    assert "cannot be read" in fails(capsys, file, "update", "--file", str(tmp_path / "none"))
    assert "text\t2.5\t10" in prices(capsys, file, "show", "system.openai", "gpt-4o")


def test_nothing_but_an_update_makes_a_call(capsys: Output, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a call out")

    monkeypatch.setattr("socket.socket.connect", refuse)
    prices(capsys, file, "list")
    prices(capsys, file, "list", "system.openai")
    prices(capsys, file, "show", "system.openai", "gpt-4o")
    with Ledger(file) as ledger:
        ledger.ingest({"category": "system.openai", "resource": "gpt-4o", "units": {"text": 1}})


def test_a_price_is_shown_as_it_was_at_a_date(capsys: Output, file: str) -> None:
    assert "text\t10\t40" in prices(capsys, file, "show", "system.openai", "o3", "--date", "2025-06-09")
    assert "text\t2\t8" in prices(capsys, file, "show", "system.openai", "o3", "--date", "2025-06-10")
    with pytest.raises(SystemExit):
        main(["prices", "show", "system.openai", "o3", "--date", "June", "--db", file])
    assert "is not an ISO 8601 date" in capsys.readouterr().err


def test_ones_own_resources_are_shown_and_listed_before_the_catalogues(capsys: Output, file: str) -> None:
    with Ledger(file) as ledger:
        for pair in (Pair("system.openai", "gpt-4o"), Pair("acme", "llama")):
            units = {"text": (Decimal("0.000002"), None)}
            new = NewResource(pair=pair, units=units, start=datetime(2026, 1, 1, tzinfo=UTC))
            ledger.write(own.create, new, datetime.now(UTC))
        ledger.create_key("team")
    title, _, price = prices(capsys, file, "show", "system.openai", "gpt-4o")
    assert "\tyour own, from 2026-01-01T00:00:00.000000Z\t" in title
    assert price == "text\t2\t-"
    assert "gpt-4o\t2\t-\tyour own" in prices(capsys, file, "list", "system.openai")
    assert "gpt-4o\t2.5\t10\tthe catalogue's" in prices(capsys, file, "list", "system.openai", "--application", "team")
    assert "acme" in prices(capsys, file, "list")
    assert "acme" not in prices(capsys, file, "list", "--application", "team")


def test_what_there_is_not_is_told_with_where_to_look(capsys: Output, file: str) -> None:
    assert "payi-middleware prices list acme" in fails(capsys, file, "show", "acme", "llama")
    assert "there is no category acme" in fails(capsys, file, "list", "acme")
    assert "there is no application named none" in fails(capsys, file, "list", "--application", "none")


def test_a_doubt_about_a_price_is_told_on_standard_error(capsys: Output, file: str) -> None:
    arguments = ["prices", "show", "system.openai", "o3-2099-01-01", "--scope", "region", "--db", file]
    assert main(arguments) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: o3-2099-01-01 is not in the price list: priced as o3",
        "warning: no price is known for the scope region: priced without it",
    ]


def test_what_was_used_without_a_price_is_listed(capsys: Output, file: str) -> None:
    with Ledger(file) as ledger:
        for _ in range(2):
            ledger.ingest({"category": "acme", "resource": "llama", "units": {"text": {"input": 2, "output": 1}}})
    title, row = prices(capsys, file, "unknown")
    assert title.split("\t") == ["category", "resource", "requests", "first seen", "last seen", "units"]
    assert row.split("\t")[:3] == ["acme", "llama", "2"]
    assert row.endswith("\ttext 4+2")
