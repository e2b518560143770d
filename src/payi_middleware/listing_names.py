"""Which provider of the price catalogue a Pay-i category stands for, and how a resource's name is looked up there."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["SYSTEM", "candidates", "categories_of", "listed_name", "provider_of", "scope_warning"]

SYSTEM = "system."
"""What the names of Pay-i's own categories begin with."""

# Only names that differ from the catalogue's own; "groq", "mistral", "deepseek", "openrouter" ... are the same there.
_PROVIDERS = {
    "azureopenai": "azure",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "google.vertex": "google",
    "google.gemini": "google",
    "vertex": "google",
    "gemini": "google",
    "databricks.azure": "databricks",
    "databricks.aws": "databricks",
    "databricks.google": "databricks",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "togetherai": "together",
    "together-ai": "together",
    "voyage": "voyageai",
}
_CATEGORIES = {
    "openai": ("system.openai",),
    "anthropic": ("system.anthropic",),
    "azure": ("system.azure", "system.azureopenai"),
    "aws": ("system.aws.bedrock",),
    "google": ("system.google.vertex",),
    "databricks": ("system.databricks.aws", "system.databricks.azure", "system.databricks.google"),
    "x-ai": ("xai",),
    "moonshotai": ("moonshot",),
    "voyageai": ("voyage",),
}

# https://docs.aws.amazon.com/bedrock/latest/userguide/geographic-cross-region-inference.html
_REGION = r"(?:us-gov|us|eu|apac|au|jp|ca|sa|in|global)\.(?=[^.]+\.)"
_REGIONAL = "regional."
"""What the catalogue puts before a model of Bedrock that has another price in its global profile."""
# Versions of a model that are not in the catalogue by their own name.
_VERSION = r"(?:-latest|@latest|@default|[-@]20\d\d-?\d\d-?\d\d|-preview-\d\d-\d\d\d\d)$"


def provider_of(category: str) -> str:
    """Return the catalogue's provider id for a category: `system.azureopenai` is `azure`, `groq` is `groq`."""
    name = category.lower().removeprefix(SYSTEM)
    return _PROVIDERS.get(name, name)


def categories_of(provider: str) -> tuple[str, ...]:
    """Return the categories under which a provider of the catalogue is listed."""
    return _CATEGORIES.get(provider, (provider,))


def listed_name(provider: str, model: str) -> str:
    """Return the resource's name under which a model of the catalogue is listed.

    Pay-i names a model on Vertex `google.<model>` or `anthropic.<model>`.
    """
    if provider == "google":
        return f"{'anthropic' if model.startswith('claude') else 'google'}.{model}"
    return model.removeprefix(_REGIONAL)


def candidates(provider: str, resource: str, scope: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the names under which a resource may be in the catalogue, the likeliest first.

    Bedrock takes ARNs, and inference profiles of a region or of the world; Vertex and Gemini take paths. A version of
    a model that the catalogue does not name is looked up without its date or `-latest`.

    Args:
        provider: the catalogue's id.
        resource, scope: as the event named them.

    Yields:
        A name, and why a price that is found by it may be another one's.
    """
    name = resource
    if provider == "google":
        name = resource.rpartition("/")[2].removeprefix("google.").removeprefix("anthropic.")
    elif provider == "aws":
        name = resource.rpartition("/")[2] if resource.startswith("arn:") else resource
        region = re.match(_REGION, name)
        if region is None and _kind(scope) == "global":
            yield f"global.{name}", None
        elif region is not None:
            yield name, None
            name = name[region.end() :]
            if region[0] != "global.":
                yield f"us.{name}", None
    yield name, None
    yield resource, None
    if (shorter := re.sub(_VERSION, "", name)) != name:
        yield shorter, f"{resource} is not in the price list: priced as {shorter}"


def _kind(scope: str | None) -> str:
    return (scope or "").partition(".")[0].lower()


def scope_warning(provider: str, model: str, scope: str | None) -> str | None:
    """Return why a price may be wrong for a resource scope, such as `datazone.us`; None if it is not.

    The catalogue has the prices of global deployments, but for Bedrock, whose regional prices have names of their own.

    Args:
        provider, model: the catalogue's ids.
        scope: as the event named it.
    """
    kind = _kind(scope)
    in_catalogue = {"": True, "global": provider != "aws" or model.startswith("global.")}
    return (
        None
        if in_catalogue.get(kind, provider == "aws")
        else f"no price is known for the scope {(scope or '')[:64]}: priced without it"
    )
