"""Which provider of the price catalogue a Pay-i category stands for, and how a resource's name is looked up there."""

from __future__ import annotations

from collections.abc import Iterator

_SYSTEM = "system."

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


def provider_of(category: str) -> str:
    """Return the catalogue's provider id for a category: `system.azureopenai` is `azure`, `groq` is `groq`."""
    name = category.lower().removeprefix(_SYSTEM)
    return _PROVIDERS.get(name, name)


def model_names(provider: str, resource: str) -> Iterator[str]:
    """Yield the names under which a resource may be in the catalogue, the likeliest first.

    Pay-i names a model on Vertex `google.<model>` or `anthropic.<model>`; Bedrock also takes ARNs, Vertex and Gemini
    resource paths, which end in the model's name.
    """
    yield resource
    last = resource.rpartition("/")[2]
    if provider == "google":
        yield last.removeprefix("google.").removeprefix("anthropic.")
    elif provider == "aws" and resource.startswith("arn:"):
        yield last
