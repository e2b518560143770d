"""The WSGI door: what servers, apps and clients see of it, and how long a request lives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from openai import OpenAI

from payi_middleware import PayiWSGIMiddleware, Settings, get_context, parse_headers, track_context
from payi_middleware.context import RequestScope, current_frame
from payi_middleware.demo.provider import Provider
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.wsgi import SCOPE_KEY
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange, environ_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Records = Callable[[], list[RequestRecord]]


def streaming(pieces: Callable[[], Iterable[bytes]]) -> WSGIApplication:
    """Make an app whose body is what `pieces` returns."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()

    return app


def answering(body: Iterable[bytes], *, before: Callable[[], object] = bool) -> WSGIApplication:
    """Make an app that does something and answers with a body, with its length if it is known."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before()
        length = [("Content-Length", str(sum(map(len, body))))] if isinstance(body, list) else []
        start_response("200 OK", [("Content-Type", "text/plain"), *length])
        return body

    return app


class Closing:
    """A body that does something when it is closed."""

    def __init__(self, pieces: Iterable[bytes], on_close: Callable[[], object]) -> None:
        self._pieces = pieces
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        self._on_close()


# --- the life of a request ------------------------------------------------------------------------------------------


def test_calls_made_while_the_body_is_read_and_closed_belong_to_the_request(
    ask: Ask, settings: Settings, records: Records
) -> None:
    def pieces() -> Iterator[bytes]:
        yield ask().encode()
        yield ask().encode()

    app = PayiWSGIMiddleware(streaming(lambda: Closing(pieces(), ask)), settings)
    exchange = Exchange(app, environ_of(HTTP_X_USER_ID="alice"))
    exchange.finish()
    assert [record.user_id for record in records()] == ["alice"] * 3
    assert exchange.environ[SCOPE_KEY].summary().calls == 3


def test_a_client_that_goes_away_ends_the_request_and_what_was_streamed_is_booked(
    provider: Provider, settings: Settings, records: Records
) -> None:
    def pieces() -> Iterator[bytes]:
        with (
            OpenAI(base_url=provider.openai_url, api_key="none") as client,
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "Hello?"}],
                stream=True,
                extra_headers={"x-stand-in": '{"endless": true}'},
            ) as chunks,
        ):
            for chunk in chunks:
                yield chunk.id.encode()

    exchange = Exchange(PayiWSGIMiddleware(streaming(pieces), settings), environ_of(HTTP_X_USER_ID="alice"))
    response_id = exchange.step().decode()
    scope: RequestScope = exchange.environ[SCOPE_KEY]
    assert not scope.closed
    exchange.close()
    assert scope.closed
    (record,) = records()
    assert (record.user_id, record.provider_response_id) == ("alice", response_id)
    assert record.properties["system.stream"] == "ended before the provider's last event"


def test_a_body_that_is_closed_without_having_been_read_ends_the_request(settings: Settings) -> None:
    closed: list[bool] = []
    app = PayiWSGIMiddleware(streaming(lambda: Closing([b"never read"], lambda: closed.append(True))), settings)
    exchange = Exchange(app)
    exchange.close()
    assert closed == [True]
    assert exchange.environ[SCOPE_KEY].closed


def test_between_the_steps_of_a_body_nothing_is_in_force_in_the_servers_thread(settings: Settings) -> None:
    inside: list[object] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(2):
            inside.append(getattr(current_frame(), "scope", None))
            yield b"piece"

    exchange = Exchange(PayiWSGIMiddleware(streaming(pieces), settings))
    between = [current_frame()]
    for _ in range(2):
        exchange.step()
        between.append(current_frame())
    exchange.close()
    assert [*between, current_frame()] == [None] * 4
    assert inside == [exchange.environ[SCOPE_KEY]] * 2


def test_a_block_of_track_context_in_a_body_holds_across_its_steps_and_not_between_them(
    ask: Ask, settings: Settings, records: Records
) -> None:
    def pieces() -> Iterator[bytes]:
        with track_context(use_case_step="inside"):
            yield b"first"
            yield ask().encode()
        yield ask().encode()

    exchange = Exchange(PayiWSGIMiddleware(streaming(pieces), settings), environ_of(HTTP_X_USER_ID="alice"))
    for _ in range(3):
        exchange.step()
        assert current_frame() is None
    exchange.close()
    assert [(record.user_id, record.use_case_step) for record in records()] == [("alice", "inside"), ("alice", None)]


def test_bodies_that_are_read_in_turns_on_one_thread_do_not_mix(ask: Ask, settings: Settings, records: Records) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        with track_context(request_tags=[environ["HTTP_X_USER_ID"]]):
            for _ in range(3):
                ask()
                yield b"piece"

    users = ("alice", "bob")
    middleware = PayiWSGIMiddleware(app, settings)
    exchanges = [Exchange(middleware, environ_of(HTTP_X_USER_ID=user)) for user in users]
    for _ in range(3):
        for exchange in exchanges:
            exchange.step()
    for exchange in exchanges:
        exchange.close()
    assert [(record.user_id, record.request_tags) for record in records()] == [(user, [user]) for user in users] * 3


def test_steps_of_a_body_may_run_on_different_threads(ask: Ask, settings: Settings, records: Records) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield ask().encode()

    exchange = Exchange(PayiWSGIMiddleware(streaming(pieces), settings), environ_of(HTTP_X_USER_ID="alice"))
    for action in (exchange.step, exchange.step, exchange.close):
        thread = Thread(target=action)
        thread.start()
        thread.join()
    assert [record.user_id for record in records()] == ["alice"] * 2


def test_an_app_that_leaves_a_block_open_leaves_nothing_in_force_in_the_servers_thread(settings: Settings) -> None:
    app = PayiWSGIMiddleware(answering([b"done"], before=track_context(user_id="left").__enter__), settings)
    Exchange(app).finish()
    assert current_frame() is None


# --- what servers see -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [[b"one", b"two"], (b"one",), []], ids=["list", "tuple", "empty"])
def test_bodies_of_known_length_are_returned_untouched(body: Iterable[bytes], settings: Settings) -> None:
    exchange = Exchange(PayiWSGIMiddleware(answering(body), settings))
    assert exchange.body is body
    assert exchange.environ[SCOPE_KEY].closed


def test_the_servers_own_file_wrapper_is_returned_untouched(settings: Settings) -> None:
    with open(__file__, "rb") as file:
        body = FileWrapper(file)
        environ = environ_of()
        environ["wsgi.file_wrapper"] = FileWrapper
        assert Exchange(PayiWSGIMiddleware(answering(body), settings), environ).body is body


def test_an_app_that_keeps_to_the_specification_still_does(ask: Ask, settings: Settings) -> None:
    app = validator(PayiWSGIMiddleware(validator(answering([b"valid"], before=ask)), settings))
    assert Exchange(app).finish() == b"valid"


def test_exc_info_is_passed_on_to_the_server(settings: Settings) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise LookupError("too late")
        except LookupError:
            given.append(sys.exc_info())
            start_response("500 Internal Server Error", [], given[0])
        return [b"sorry"]

    given: list[Any] = []
    exchange = Exchange(PayiWSGIMiddleware(app, settings))
    assert exchange.exc_info == [None, given[0]]
    assert exchange.status == "500 Internal Server Error"
    assert exchange.headers["X-Payi-Calls"] == "0"


def test_the_write_callable_reaches_the_server(ask: Ask, settings: Settings) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"written")
        ask()
        write(b"again")
        return []

    exchange = Exchange(PayiWSGIMiddleware(app, settings))
    assert exchange.written == [b"written", b"again"]
    assert exchange.environ[SCOPE_KEY].summary().calls == 1


def test_exceptions_of_the_app_go_through_unchanged_and_end_the_request(settings: Settings) -> None:
    failure = LookupError("the app's own")

    def fail() -> None:
        raise failure

    environ = environ_of()
    with pytest.raises(LookupError) as raised:
        Exchange(PayiWSGIMiddleware(answering([], before=fail), settings), environ)
    assert raised.value is failure
    assert environ[SCOPE_KEY].closed
    assert current_frame() is None


def test_exceptions_of_a_body_go_through_unchanged(settings: Settings) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"piece"
        raise failure

    failure = LookupError("the body's own")
    exchange = Exchange(PayiWSGIMiddleware(streaming(pieces), settings))
    exchange.step()
    with pytest.raises(LookupError) as raised:
        exchange.step()
    assert raised.value is failure
    assert current_frame() is None
    exchange.close()
    assert exchange.environ[SCOPE_KEY].closed


def test_an_exception_of_close_goes_through_and_still_ends_the_request(settings: Settings) -> None:
    def fail() -> None:
        raise LookupError("the body's own")

    exchange = Exchange(PayiWSGIMiddleware(streaming(lambda: Closing([], fail)), settings))
    with pytest.raises(LookupError, match="the body's own"):
        exchange.close()
    assert exchange.environ[SCOPE_KEY].closed
    assert current_frame() is None


# --- how it is set up -----------------------------------------------------------------------------------------------


def test_added_twice_it_counts_once(ask: Ask, settings: Settings, records: Records) -> None:
    app = PayiWSGIMiddleware(PayiWSGIMiddleware(answering([b"ok"], before=ask), settings), settings)
    exchange = Exchange(app)
    assert exchange.headers.get_list("X-Payi-Calls") == ["1"]
    assert len(records()) == 1


def test_the_inner_one_of_two_adds_its_identity_source(ask: Ask, settings: Settings, records: Records) -> None:
    inner = PayiWSGIMiddleware(answering([b"ok"], before=ask), settings, [lambda incoming: "alice"])
    Exchange(PayiWSGIMiddleware(inner, settings))
    assert [record.user_id for record in records()] == ["alice"]


def test_turned_off_it_passes_everything_through(ask: Ask, ledger_path: Any) -> None:
    body = Closing([b"piece"], bool)
    app = PayiWSGIMiddleware(answering(body, before=ask), Settings(enabled=False, ledger=ledger_path))
    exchange = Exchange(app)
    assert exchange.body is body
    assert exchange.environ[SCOPE_KEY].summary().calls == 0
    assert not [name for name in exchange.headers if name.startswith("x-payi-")]
    assert not ledger_path.exists()


def test_a_wrong_setting_is_an_error_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    with pytest.raises(ConfigurationError, match="PAYI_HEADER_WAIT"):
        PayiWSGIMiddleware(answering([]))


def test_the_last_result_is_this_requests_own(ask: Ask, settings: Settings) -> None:
    seen: list[tuple[object, object]] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before = get_context().last_result
        ask()
        write = start_response("200 OK", [])  # waits for the result
        assert callable(write)
        after = get_context().last_result
        seen.append((before, after and after.request_id))
        return []

    middleware = PayiWSGIMiddleware(app, settings)
    answers = [parse_headers(Exchange(middleware).headers) for _ in range(2)]
    assert seen == [(None, answer.request_ids[0]) for answer in answers]
    assert answers[0].request_ids != answers[1].request_ids
