"""What the record of a provider call has of the app's: kept alive until the call has ended, and then only if need be.

The report of a call may be delivered long after. By then the app may have dropped whatever leads to the call, so that
nobody can ask for its result any more, and neither need we.
"""

from __future__ import annotations

from weakref import ref

from .calls import Call
from .context import RequestScope

__all__ = ["Holding"]


class Holding:
    """Hold a call, and the web request or the block that it is made in, if there is one.

    Whoever inherits from it sets both, and that there is no `_call_ref` yet. Later that alone may be set instead, with
    the request or block in the call's `made_in`: then neither is kept alive.
    """

    __slots__ = ("_call", "_call_ref", "_scope")

    _call: Call | None
    _call_ref: ref[Call] | None
    _scope: RequestScope | None

    @property
    def call(self) -> Call:
        """The call as whoever made it sees it; where nobody has it any more, one that nobody will see."""
        call = self._call
        if call is None and self._call_ref is not None:
            call = self._call_ref()
        return Call() if call is None else call

    @property
    def scope(self) -> RequestScope | None:
        """The web request or the block that the call is made in, as long as anybody has that, and the call with it."""
        scope = self._scope
        if scope is None and self._call_ref is not None and (call := self._call_ref()) is not None:
            found = call.made_in
            scope = None if found is None else found()
        return scope

    @property
    def is_watched(self) -> bool:
        """Whether anybody can still ask what the call has cost: who has the request has its calls, too."""
        return self._call_ref is None or self._call_ref() is not None
