"""The ready-made sources that read what the app's own layers found out: user, session, route."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from payi_middleware.annotations import Annotations
from payi_middleware.exceptions import ConfigurationError

from .incoming import Incoming, Trust
from .values import is_name, text

Reader = str | Callable[[Any], str | None]

_IDS = ("identity", "get_id", "id", "pk", "username", "display_name")
"""Where users keep their id: Starlette's `BaseUser.identity`, Flask-Login's `get_id()`, ORM models, Django's `pk`."""


@dataclass(frozen=True, slots=True)
class AuthenticatedUser:
    """Take the user id from the app's own user object.

    A user whose `is_authenticated` (attribute or method) is false is nobody. Without `attribute`, the first of
    `identity`, `get_id()`, `id`, `pk`, `username`, `display_name` that has a value is the id.

    Args:
        attribute: the attribute, method or key that holds the id, or a function of the user object.
        account: the same for the account name; None reads none.

    Raises:
        ConfigurationError: an argument is neither a name nor a function.
    """

    attribute: Reader | None = None
    account: Reader | None = None

    name: ClassVar[str] = "AuthenticatedUser"
    trust: ClassVar[Trust] = Trust.AUTHENTICATED
    late: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for setting, value in (("attribute", self.attribute), ("account", self.account)):
            if value is not None and not callable(value) and not is_name(value):
                raise ConfigurationError(
                    f"AuthenticatedUser.{setting}",
                    "neither the name of an attribute nor a function of the user",
                    "Write it like attribute='email' or attribute=lambda user: user.email.",
                )

    def read(self, incoming: Incoming) -> Annotations | None:
        user = incoming.user
        if user is None or not _is_authenticated(user):
            return None
        if self.attribute is not None:
            user_id = _read(user, self.attribute)
        elif isinstance(user, str):
            user_id = user
        else:
            user_id = next((found for name in _IDS if (found := _read(user, name))), None)
        account = None if self.account is None else _read(user, self.account)
        return Annotations(user_id=user_id, account_name=account) if user_id or account else None


def _is_authenticated(user: object) -> bool:
    said = _attribute(user, "is_authenticated")
    return said is None or bool(said)


def _read(user: object, reader: Reader) -> str | None:
    return text(_attribute(user, reader) if isinstance(reader, str) else reader(user))


def _attribute(user: object, name: str) -> object:
    try:
        value = user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)
        return value() if callable(value) else value
    except NotImplementedError:  # Starlette's BaseUser, where a subclass defines only some of its properties
        return None


@dataclass(frozen=True, slots=True)
class Session:
    """Take the session id, and the user id if asked, from the framework's session.

    The framework signed it or keeps it on the server, so it counts as the app's own word. Reading leaves no trace:
    a session that was untouched does not make the response vary by cookie.

    Args:
        session_key: the key of the session id; None reads none.
        user_key: the key of the user id; None reads none.
        account_key: the key of the account name; None reads none.

    Raises:
        ConfigurationError: a key is not a str, or all are None.
    """

    session_key: str | None = "session_id"
    user_key: str | None = None
    account_key: str | None = None

    name: ClassVar[str] = "Session"
    trust: ClassVar[Trust] = Trust.AUTHENTICATED
    late: ClassVar[bool] = True

    def __post_init__(self) -> None:
        keys = [key for key in (self.session_key, self.user_key, self.account_key) if key is not None]
        if not keys or not all(map(is_name, keys)):
            raise ConfigurationError(
                "Session", "its keys must be names of entries in the session", "Write it like user_key='user_id'."
            )

    def read(self, incoming: Incoming) -> Annotations | None:
        session = incoming.session
        if session is None:
            return None
        untouched = getattr(session, "accessed", None) is False
        try:
            session_id, user_id, account = (
                None if key is None else text(session.get(key))
                for key in (self.session_key, self.user_key, self.account_key)
            )
        finally:
            if untouched:  # Flask and Django add `Vary: Cookie` to the answer of whoever looked
                session.accessed = False  # type: ignore[attr-defined]
        if not (session_id or user_id or account):
            return None
        return Annotations(session_id=session_id, user_id=user_id, account_name=account)


_PARAMETER = r"\(\?P<(\w+)>[^)]*\)|<(?:[^<>]*:)?(\w+)>|\{(\w+)(?::[^{}]*)?\}"
"""A parameter of Django's `re_path`, of Flask and Django, of Starlette."""

_OTHER = r"[^A-Za-z0-9._-]+"


def use_case_name(route: str) -> str:
    """Write a route's template as a use case name: `/chat/{id}` is `chat.id`, `/` is `root`; cut at 64 characters."""
    plain = re.sub(_PARAMETER, lambda found: "".join(filter(None, found.groups())), route)
    return re.sub(_OTHER, ".", plain).strip(".")[:64].rstrip(".") or "root"


@dataclass(frozen=True, slots=True)
class Route:
    """Name the use case step, or the use case, after the route's template.

    Args:
        field: "use_case_step" takes the template as it is, "use_case_name" as `use_case_name` writes it.

    Raises:
        ConfigurationError: another field.
    """

    field: Literal["use_case_step", "use_case_name"] = "use_case_step"

    name: ClassVar[str] = "Route"
    trust: ClassVar[Trust] = Trust.ANONYMOUS
    late: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.field not in ("use_case_step", "use_case_name"):
            raise ConfigurationError(
                "Route.field",
                "a route names a use case step or a use case",
                "Write 'use_case_step' or 'use_case_name'.",
            )

    def read(self, incoming: Incoming) -> Annotations | None:
        route = incoming.route
        if not route:
            return None
        if self.field == "use_case_name":
            return Annotations(use_case_name=use_case_name(route))
        return Annotations(use_case_step=route)
