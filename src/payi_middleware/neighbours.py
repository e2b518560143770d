"""Who else instruments this process's provider calls: noticed, said once, and left alone.

Nothing is imported for it: what is not among the loaded modules is not active.
"""

from __future__ import annotations

import sys
from types import ModuleType

from .log import logger, warn

_PAYI = "payi.lib.instrument"
# OpenTelemetry's own packages (the older ones and those of its GenAI group), OpenLLMetry's, OpenInference's.
_ROOTS = ("opentelemetry.instrumentation", "opentelemetry.instrumentation.genai", "openinference.instrumentation")
_SDKS = (
    "alephalpha",
    "anthropic",
    "bedrock",
    "cohere",
    "google_genai",
    "google_generativeai",
    "groq",
    "mistralai",
    "ollama",
    "openai",
    "openai_v2",
    "replicate",
    "sagemaker",
    "together",
    "vertexai",
    "watsonx",
)

_said: set[str] = set()
_called = False


def look() -> None:
    """Log each other instrumentation that is active and was not named yet: one line each. Never raises."""
    try:
        if _payi_is_active() and _is_news(_PAYI):
            warn(
                _PAYI,
                "payi_instrument() of Pay-i's own SDK is active, too, so that each provider call is reported twice: "
                "remove it, or payi_middleware. Pay-i charges one category and provider_response_id once, "
                "to the user and the limits of the report that comes first.",
            )
        for name in _recording():
            if _is_news(name):
                logger.info("%s is active, too, which is fine: it records spans, and reports nothing to Pay-i.", name)
    except Exception as error:  # noqa: BLE001 - fail open: they may be of any version
        warn("neighbours", "Other instrumentations could not be looked for: %s", type(error).__name__)


def look_at_first_call() -> None:
    """Look again at the process's first provider call, as others may come after us."""
    global _called
    if not _called:
        _called = True
        look()


def reset() -> None:
    """Forget what was said, and that there was a call."""
    global _called
    _called = False
    _said.clear()


def _is_news(name: str) -> bool:
    news = name not in _said
    _said.add(name)
    return news


def _payi_is_active() -> bool:
    return getattr(sys.modules.get(_PAYI), "_instrumentor", None) is not None


def _recording() -> list[str]:
    """Name the modules of OpenTelemetry's kind that have instrumented an SDK."""
    named = (f"{root}.{sdk}" for root in _ROOTS for sdk in _SDKS)
    return [name for name in named if (module := sys.modules.get(name)) is not None and _instruments(module)]


def _instruments(module: ModuleType) -> bool:
    """Return whether the one instance of an instrumentor is at work.

    Calling the class would give that instance, too, but run its constructor again and so undo its configuration.
    """
    instrumentors = [
        found for name, found in list(vars(module).items()) if name.endswith("Instrumentor") and isinstance(found, type)
    ]
    return any(
        getattr(getattr(found, "_instance", None), "is_instrumented_by_opentelemetry", False) is True
        for found in instrumentors
    )
