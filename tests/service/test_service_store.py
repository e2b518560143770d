"""The ledger's file: opening, refusing, sharing, closing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from payi_middleware.service.accounts import rollups
from payi_middleware.service.errors import LedgerError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import sqlite as sqlite_store
from tests.service.databases import postgresql_url

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": 1_000}}


def test_a_ledger_makes_its_directories_and_keeps_its_accounts_when_it_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "payi.db"
    with Ledger(file) as first:
        first.ingest(CALL)
    with Ledger(f"sqlite:///{file}") as second:
        assert len(second.requests()) == 1


def test_a_closed_ledger_leaves_one_file_and_refuses_further_use(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "payi.db")
    ledger.ingest(CALL)
    ledger.close()
    ledger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["payi.db"]
    with pytest.raises(LedgerError, match="is closed"):
        ledger.requests()


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Ledger("payi.db").close()
    assert (tmp_path / "payi.db").exists()


def test_a_directory_that_cannot_be_made_is_named_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match=r"file/payi\.db.*name another file"):
        Ledger(tmp_path / "file" / "payi.db")


def test_a_directory_in_the_place_of_the_file_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        Ledger(tmp_path)
    assert isinstance(caught.value, LedgerError)


def test_a_file_that_holds_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("dear diary, " * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(file)
    assert file.read_text().startswith("dear diary")


@pytest.mark.parametrize("database", ["sqlite://", ":memory:", "mysql://u:secret@host/db", "sqlite:///:memory:"])
def test_what_is_no_file_is_refused_without_showing_a_password(database: str) -> None:
    with pytest.raises(LedgerError, match="file") as caught:
        Ledger(database)
    assert "secret" not in str(caught.value)


def test_a_file_of_a_newer_version_is_refused_and_named(tmp_path: Path) -> None:
    file = tmp_path / "payi.db"
    Ledger(file).close()
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE payi_migrations SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer version") as caught:
        Ledger(file)
    assert caught.value.database == str(file)


def test_an_app_can_keep_its_own_tables_in_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("CREATE TABLE requests (mine TEXT)")
    with Ledger(file) as ledger:
        ledger.ingest(CALL)
        assert len(ledger.requests()) == 1


def test_an_instance_is_made_once_and_gathers_the_properties_of_its_events(tmp_path: Path) -> None:
    file = tmp_path / "payi.db"
    with Ledger(file) as ledger:
        for properties in ({"a": "1", "b": "2"}, {"b": None, "c": "3"}, {}):
            ledger.ingest({**CALL, "use_case_name": "chat", "use_case_id": "7", "use_case_properties": properties})
    with closing(sqlite3.connect(file)) as raw:
        ((name, key, kept),) = raw.execute("SELECT use_case_name, use_case_id, properties FROM payi_use_case_instances")
    assert (name, key, json.loads(kept)) == ("chat", "7", {"a": "1", "c": "3"})


# In a process of its own: a fork of the test runner would go on running tests.
def test_tidying_moves_what_was_written_to_the_file_and_begins_the_log_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payi_middleware.service.store.sqlite._LOG_BEGUN_ANEW", 0)
    flushed: list[tuple[Path, bool]] = []
    flush = sqlite_store._flush
    with Ledger(tmp_path / "payi.db") as ledger:

        def noted(directory: Path) -> None:
            flushed.append((directory, ledger._store._writing.locked()))
            flush(directory)

        monkeypatch.setattr(sqlite_store, "_flush", noted)
        ledger.ingest_bulk([CALL] * 100)
        ledger.tidy()
        assert flushed == [(tmp_path, False)]  # while others may write: the disk takes its time
        shutil.copy(tmp_path / "payi.db", tmp_path / "copy.db")
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            assert copy.execute("SELECT count(*) FROM payi_requests").fetchone() == (100,)
        size = (tmp_path / "payi.db-wal").stat().st_size
        ledger.ingest(CALL)
        assert (tmp_path / "payi.db-wal").stat().st_size == size


def test_those_who_commit_leave_the_log_to_whoever_has_promised_to_tidy(tmp_path: Path) -> None:
    def pages(connection: Connection, _application_id: int) -> int:
        return int(connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one())

    with Ledger(tmp_path / "payi.db") as ledger:
        assert ledger.write(pages) == 1_000
        ledger.will_tidy()
        assert ledger.write(pages) == 65_536


def test_who_promises_to_tidy_waits_for_whoever_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection was taken away from under those who were about to write: they waited for it for 30 seconds."""
    held: list[bool] = []
    with Ledger(tmp_path / "payi.db") as ledger:
        writing = ledger._store._writing
        assert isinstance(writing, type(threading.Lock()))
        monkeypatch.setattr(sqlite_store, "will_tidy", lambda _: held.append(writing.locked()))
        ledger.will_tidy()
        assert held == [True]


def test_a_directory_that_cannot_be_opened_is_not_flushed_and_the_log_is_begun_anew_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payi_middleware.service.store.sqlite._LOG_BEGUN_ANEW", 0)
    flush = sqlite_store._flush
    monkeypatch.setattr(sqlite_store, "_flush", lambda directory: flush(directory / "missing"))
    with Ledger(tmp_path / "payi.db") as ledger:
        ledger.ingest_bulk([CALL] * 100)
        ledger.tidy()
        size = (tmp_path / "payi.db-wal").stat().st_size
        ledger.ingest(CALL)
        assert (tmp_path / "payi.db-wal").stat().st_size == size


def test_a_ledger_is_closed_while_somebody_waits_to_write(tmp_path: Path) -> None:
    """Another process may hold the file for half a minute, and an app that ends must not wait for that."""
    ledger = Ledger(tmp_path / "payi.db")
    closing_it = threading.Thread(target=ledger.close, daemon=True)
    with ledger._store._writing:
        closing_it.start()
        closing_it.join(10)
        assert not closing_it.is_alive()


def test_postgresql_is_told_to_look_at_a_table_that_has_grown_and_then_reads_few_rows_for_a_few() -> None:
    """It knew nothing of a new table, took every row of an application for a few, and read them all, each time."""
    call = {**CALL, "properties": {"why": "x" * 900}}
    with postgresql_url() as url, Ledger(url) as ledger:
        for number in range(4):
            ledger.ingest_bulk([{**call, "provider_response_id": f"{number}-{place}"} for place in range(250)])

        ledger.tidy()

        assert ledger.read(_rows_expected) == 1_000
        ledger.ingest(call)
        ledger.tidy()
        assert ledger.read(_rows_expected) == 1_000  # one more is no reason


def test_a_server_that_knows_no_statistics_of_postgresqls_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others speak its protocol, such as CockroachDB, which cannot be had here: a missing table stands for them."""
    monkeypatch.setattr("payi_middleware.service.store.postgresql._GROWN", text("SELECT oid FROM no_such_catalogue"))
    with postgresql_url() as url, Ledger(url) as ledger:
        ledger.tidy()
        ledger.ingest(CALL)
        assert len(ledger.requests()) == 1


def test_who_adds_up_has_postgresql_look_up_by_index_whatever_it_expects_and_nobody_else() -> None:
    """It takes small bookings for as large as they are on average, and would read all requests: 0.5 s for 130,000."""

    def adding_up(connection: Connection, application_id: int) -> tuple[int, str]:
        return rollups.fold(connection, application_id), _planner(connection, application_id)

    with postgresql_url() as url, Ledger(url) as ledger:
        ledger.ingest(CALL)
        assert ledger.write(adding_up) == (1, "off")
        assert ledger.write(_planner) == "on"


def _planner(connection: Connection, _application_id: int) -> str:
    return str(connection.exec_driver_sql("SHOW enable_seqscan").scalar_one())


def _rows_expected(connection: Connection, _application_id: int) -> int:
    query = "SELECT CAST(reltuples AS int) FROM pg_class WHERE oid = CAST('payi_requests' AS regclass)"
    return int(connection.exec_driver_sql(query).scalar_one())


FORK = """
import os, sys
from payi_middleware.service.ledger import Ledger
call = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": 1_000}}
with Ledger(sys.argv[1]) as ledger:
    ledger.ingest(call)


    def fork(connection):  # a thread that is writing when another one forks
        child = os.fork()
        if child == 0:
            assert ledger._store._writer.pool.checkedout() == 1
            ledger._store._own()
            assert ledger._store._writer.pool.checkedout() == 0
            os._exit(0)
        return child

    assert os.waitpid(ledger._store.write(fork), 0)[1] == 0
    child = os.fork()
    ledger.ingest(call)
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(ledger.requests()) == 3
"""


def test_a_forked_child_uses_connections_and_a_lock_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FORK, str(tmp_path / "payi.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
