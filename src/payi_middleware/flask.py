"""The Flask door: the extension `Payi`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, g, has_request_context, request
from flask.globals import app_ctx, request_ctx

from .identity import Source
from .meter import Meter
from .settings import PREFIX, Settings, refuse_misspelt
from .wsgi import INCOMING_KEY, SCOPE_KEY, PayiWSGIMiddleware, WsgiIncoming

EXTENSION = "payi"


class Payi:
    """Know, per request, what a Flask app's provider calls cost and who asked for them.

    `Payi(app)`, or `Payi()` and `init_app(app)` later. The request's scope is `flask.g.payi`.

    Args:
        app: the application.
        settings: how to behave; None takes `app.config` (`PAYI_HEADER_WAIT = 0.2`), then the environment.
        identity: where the request's user and session come from; None takes Flask-Login's user, Flask's session and,
            from trusted peers, headers.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        app: Flask | None = None,
        settings: Settings | None = None,
        identity: Sequence[Source | Callable[..., Any]] | None = None,
    ) -> None:
        self._settings = settings
        self._identity = identity
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the middleware around an app; calling it again for the same app changes nothing.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        if EXTENSION in app.extensions:
            return
        settings = self._settings or Settings(**_configured(app.config))
        middleware = PayiWSGIMiddleware(app.wsgi_app, settings, self._identity, incoming=FlaskIncoming)
        app.wsgi_app = middleware  # type: ignore[method-assign]
        app.before_request_funcs.setdefault(None, []).insert(0, _enter)
        app.extensions[EXTENSION] = middleware.meter


def meter_of(app: Flask) -> Meter:
    """Return the meter of an app that has the extension."""
    meter: Meter = app.extensions[EXTENSION]
    return meter


def _configured(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {PREFIX + name.upper(): name for name in Settings.model_fields}
    for key in config:
        if key.startswith(PREFIX) and key not in names:
            refuse_misspelt(key, names)
    return {names[key]: value for key, value in config.items() if key in names and value is not None}


def _enter() -> None:
    """Hand out the scope, and remember the context: threads of the request have none of their own."""
    scope = request.environ.get(SCOPE_KEY)
    if scope is not None:
        g.payi = scope
    incoming = request.environ.get(INCOMING_KEY)
    if isinstance(incoming, FlaskIncoming):
        incoming.remember()


class FlaskIncoming(WsgiIncoming):
    """One request as the identity sources see it, with what Flask and Flask-Login know."""

    __slots__ = ("_globals", "_logins", "_route", "_session")

    def __init__(self, environ: Any) -> None:
        super().__init__(environ)
        self._globals: Any = None
        self._logins = False
        self._session: Any = None
        self._route: str | None = None

    def remember(self) -> None:
        """Keep what only the request's own thread can reach."""
        self._globals = app_ctx.g
        self._logins = hasattr(app_ctx.app, "login_manager")
        context: Any = request_ctx
        held = vars(context._get_current_object())  # the attribute would mark the session as used: Vary: Cookie
        self._session = held.get("_session", held.get("session"))
        self._route = None if request.url_rule is None else request.url_rule.rule

    @property
    def user(self) -> object | None:
        """Flask-Login's user, without loading it where the request's context is out of reach."""
        flask_login = sys.modules.get("flask_login")
        if flask_login is None or not self._logins:
            return None
        if has_request_context():
            used = getattr(self._session, "accessed", None)
            user: object | None = flask_login.utils._get_user()
            if used is False:
                self._session.accessed = False
            return user
        if (loaded := getattr(self._globals, "_login_user", None)) is not None:
            return loaded  # type: ignore[no-any-return]
        user_id = None if self._session is None else self._session.get("_user_id")
        return None if user_id is None else _SessionUser(user_id)

    @property
    def session(self) -> Mapping[str, Any] | None:
        """Flask's session."""
        return self._session if isinstance(self._session, Mapping) else None

    @property
    def route(self) -> str | None:
        """The rule of the matched route."""
        return self._route


class _SessionUser:
    """A user known by the id that Flask-Login keeps in the signed session."""

    def __init__(self, user_id: object) -> None:
        self.identity = str(user_id)
        self.is_authenticated = True
