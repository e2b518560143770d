"""Which providers can be called through us: data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FAMILIES", "Family", "family_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """What is called at one of the paths below `/api/v1/proxy`.

    Args:
        path: its segments below that.
        wire: the wire format that its hosts speak (a name of `providers.registry.CUSTOM`).
        category: Pay-i's category of calls to a host that is not known to be another provider's.
        base: where calls go that name no host themselves; None if they have to.
        root: the path that is meant where a base URI has none.
        known_root: the same, at the provider's own hosts only.
        answered_model: the request names a deployment, so that only the answer tells the model.
        signed: requests carry an AWS signature of host, path and body.
    """

    path: tuple[str, ...]
    wire: str
    category: str
    base: str | None = None
    root: str = ""
    known_root: str = ""
    answered_model: bool = False
    signed: bool = False


FAMILIES = (
    # https://platform.openai.com/docs/api-reference
    Family(("openai", "v1"), "openai", "system.openai", base="https://api.openai.com", root="/v1"),
    # https://learn.microsoft.com/azure/ai-foundry/openai/reference
    Family(("azure.openai",), "openai", "system.azureopenai", answered_model=True),
    # https://docs.anthropic.com/en/api/messages
    Family(("anthropic",), "anthropic", "system.anthropic", base="https://api.anthropic.com"),
    # https://learn.microsoft.com/azure/ai-foundry/foundry-models/how-to/use-foundry-models-claude
    Family(("azure.anthropic",), "anthropic", "system.azure", known_root="/anthropic"),
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/welcome.html
    Family(("aws.bedrock",), "bedrock", "system.aws.bedrock", signed=True),
)


def family_of(segments: Sequence[str]) -> tuple[Family, Sequence[str]] | None:
    """Return the family that a path below `/api/v1/proxy` is of, and what follows in the path; None if there is none.

    Args:
        segments: the path's segments, as they were sent.
    """
    for family in FAMILIES:
        length = len(family.path)
        if tuple(segments[:length]) == family.path:
            return family, segments[length:]
    return None
