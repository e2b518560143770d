"""What a recognised request is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Match"]


@dataclass(frozen=True, slots=True)
class Match:
    """Name what a request is: the wire format `api`, Pay-i's `category`, and the `provider` (a row's name).

    `resource_from` is "request" or "response": which of the two models names Pay-i's resource. `model_from_path` is the
    model, deployment or engine that the path names. `publisher` is whose model it is, where Pay-i's resources name that
    too (Google's platforms). `notes` are Pay-i request properties that the request's headers tell.
    """

    api: str
    category: str
    provider: str
    resource_from: str = "request"
    model_from_path: str | None = None
    publisher: str | None = None
    notes: tuple[tuple[str, str], ...] = ()

    def resource(self, model: str) -> str:
        """Return the name of the Pay-i resource for a model: the model's own, or `publisher.model`.

        A path in front of the model (`models/x`, `publishers/p/models/x`, `p/x`) is not part of its name, but a
        publisher in it comes before the one that is expected at this host.
        """
        if self.publisher is None:
            return model
        *path, name = model.split("/")
        named = [part for part in path if part not in ("publishers", "models")]
        return f"{named[-1] if named else self.publisher}.{name}"
