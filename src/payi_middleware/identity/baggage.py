"""The ready-made source that another service vouches for: W3C baggage, read by OpenTelemetry's propagator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from opentelemetry.baggage import get_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from payi_middleware.annotations import Annotations
from payi_middleware.log import warn

from .forwarded import check_names
from .incoming import Incoming, Trust

_PROPAGATOR = W3CBaggagePropagator()
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
"""The octets of a value (https://www.w3.org/TR/baggage/#definition). The propagator logs a member that has others,
value and all, and a user id does not belong into a log."""

_PAIR_LENGTH = 4096
"""Characters of a member; the propagator takes no longer one."""


@dataclass(frozen=True, slots=True)
class Baggage:
    """Take the identity from W3C baggage (https://www.w3.org/TR/baggage/), from trusted peers only.

    OpenTelemetry's own propagator reads it, so that the app's `opentelemetry.baggage` and this agree; the properties
    of a member (`user.id=alice;tier=gold`) are not part of its value here.

    Args:
        user_id: the member of the user id.
        session_id: the member of the session id; None reads none.
        account_name: the member of the account name; None reads none.

    Raises:
        ConfigurationError: a name cannot be a member's.
    """

    user_id: str | None = "user.id"
    session_id: str | None = "session.id"
    account_name: str | None = None

    name: ClassVar[str] = "Baggage"
    trust: ClassVar[Trust] = Trust.PROXY
    late: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_names("Baggage", (self.user_id, self.session_id, self.account_name))

    def read(self, incoming: Incoming) -> Annotations | None:
        header = incoming.header("baggage")
        if not header:
            return None
        names = {"user_id": self.user_id, "session_id": self.session_id, "account_name": self.account_name}
        members = _members(header, {name for name in names.values() if name is not None})
        values: dict[str, Any] = {
            field: _decoded(name, members[name]) for field, name in names.items() if name in members
        }
        return Annotations(**values) if values else None


def _members(header: str, wanted: set[str]) -> dict[str, str]:
    """Find the members that were asked for, so that the propagator neither reads nor logs any other."""
    found = {}
    for member in header.split(","):
        name, _, value = member.partition(";")[0].partition("=")
        if (name := name.strip(" \t")) in wanted:
            found[name] = value.strip(" \t")
    return found


def _decoded(name: str, value: str) -> str | None:
    if len(name) + 1 + len(value) > _PAIR_LENGTH or not _VALUE.fullmatch(value):
        warn(f"identity Baggage {name}", "The baggage member %s is too long or not percent-encoded: dropped", name)
        return None
    decoded = get_baggage(name, _PROPAGATOR.extract({"baggage": f"{name}={value}"}, Context()))
    return decoded if isinstance(decoded, str) else None
