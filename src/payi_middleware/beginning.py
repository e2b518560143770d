"""Where the recording of a provider call begins: whose it is, and whether it is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .agents import sdk_of
from .annotations import NOTHING, Annotations
from .context import Frame
from .kinds import Kind
from .providers import Recognition, recognised
from .recorder import Exchange, Owner
from .urls import Target

__all__ = ["begin", "owner_in", "set_default_owner"]

Custom = Mapping[str, tuple[str, str | None]]

_default_owner: Callable[[], Owner | None] = lambda: None  # noqa: E731


def set_default_owner(find: Callable[[], Owner | None]) -> None:
    """Set who receives calls made outside the requests of any app."""
    global _default_owner
    _default_owner = find


def begin(
    method: str,
    target: Target,
    headers: Mapping[str, str],
    body: bytes | None,
    frame: Frame | None,
    annotations: Annotations = NOTHING,
    agent: str | bytes | None = None,
) -> Exchange | None:
    """Begin to record a provider call; None if the request is not one, or if nobody wants to know.

    Args:
        target: where it goes to.
        headers: the request's headers, looked up by lower-case names.
        body: the request's body, or None where it is not in memory.
        frame: what is in force where the call is made.
        annotations: what the app put on the call itself.
        agent: the `user-agent` among the headers, where it is at hand already.
    """
    owner: Owner | None = (None if frame is None else frame.scope.owner) or _default_owner()
    if owner is None:
        return None
    if agent is None:
        agent = headers.get("user-agent")
    key = method, target, agent
    known = _kinds.get(key)
    if known is None or known[0] is not owner.providers or (known[1] and not known[2].holds(headers, owner.providers)):
        known = _find(key, headers, owner.providers)
    kind = known[3]
    return None if kind is None else Exchange(owner, kind, frame, body, annotations)


_Key = tuple[str, Target, str | bytes | None]
_Found = tuple[Custom, bool, Recognition, Kind | None]
_MOST_KINDS = 512
_kinds: dict[_Key, _Found] = {}
"""With which custom hosts, whether by headers, as what, and of which kind calls were recognised."""


def _find(key: _Key, headers: Mapping[str, str], custom: Custom) -> _Found:
    method, target, agent = key
    recognition = recognised(method, target.host, target.port, target.path, headers, custom)
    match, noted = recognition.match, recognition.noted
    kind = None if match is None else Kind(match, target.uri, sdk_of(agent))
    found = custom, noted != (), recognition, kind
    if noted is not None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        _kinds[key] = found
    return found


def owner_in(frame: Frame | None) -> Owner | None:
    """Return who receives the calls made where this is in force: the request's app, else the process's default."""
    owner: Owner | None = None if frame is None else frame.scope.owner
    return owner if owner is not None else _default_owner()
