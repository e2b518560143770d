"""Amazon Bedrock's counters, wherever it tells them, and the units of its guardrails.

Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
Guardrails: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailUsage.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .usage import Usage
from .values import count, mapping, rows, text

__all__ = [
    "USAGE_HEADERS",
    "completed",
    "guardrail_asked",
    "guardrail_counts",
    "header_usage",
    "intervention",
    "usage_from",
    "with_counts",
]

_GUARDRAIL = "system.aws.bedrock.guardrail."
_UNITS = MappingProxyType(
    {
        "topicPolicyUnits": "guardrail_topic",
        "contentPolicyUnits": "guardrail_content",
        "wordPolicyUnits": "guardrail_word_free",
        "automatedReasoningPolicyUnits": "guardrail_automated_reasoning",
        "sensitiveInformationPolicyUnits": "guardrail_sensitive_information",
        "sensitiveInformationPolicyFreeUnits": "guardrail_sensitive_information_free",
        "contextualGroundingPolicyUnits": "guardrail_contextual_grounding",
        "contentPolicyImageUnits": "guardrail_content_image",
    }
)
_HEADERS = MappingProxyType(
    {
        "inputTokenCount": "x-amzn-bedrock-input-token-count",
        "outputTokenCount": "x-amzn-bedrock-output-token-count",
        "cacheReadInputTokenCount": "x-amzn-bedrock-cache-read-input-token-count",
        "cacheWriteInputTokenCount": "x-amzn-bedrock-cache-write-input-token-count",
    }
)
USAGE_HEADERS = tuple(_HEADERS.values())
"""The headers of an answer to `invoke` that `header_usage` reads."""
_COUNT = re.compile(r"[0-9]{1,15}")
_DEPTH = 4  # trace, input or outputs, guardrail, list


def usage_from(raw: object) -> Usage | None:
    """Return the inclusive usage in Bedrock's own counters; None where they count nothing.

    Converse, Amazon's own models and `amazon-bedrock-invocationMetrics` count alike, under two spellings: what is read
    from a cache or written to it lies beside the input. A write without a lifetime is one of five minutes.
    """
    told = mapping(raw)
    fresh = count(told.get("inputTokens"), told.get("inputTokenCount"))
    output = count(told.get("outputTokens"), told.get("outputTokenCount"))
    if fresh is None and output is None:
        return None
    read = count(told.get("cacheReadInputTokens"), told.get("cacheReadInputTokenCount"))
    write = count(told.get("cacheWriteInputTokens"), told.get("cacheWriteInputTokenCount"))
    details = rows(told.get("cacheDetails"))
    hour = sum(count(detail.get("inputTokens")) or 0 for detail in details if detail.get("ttl") == "1h")
    write = max(write or 0, hour) if details else write
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (write or 0),
        output_tokens=output,
        cache_read=read,
        cache_write=None if write is None else write - hour,
        cache_write_1h=hour if details else None,
    )


def header_usage(headers: Mapping[str, str]) -> Usage | None:
    """Return the usage in the headers of an answer to `invoke`."""
    told = {name: headers.get(header) or "" for name, header in _HEADERS.items()}
    return usage_from({name: int(value) for name, value in told.items() if _COUNT.fullmatch(value)})


def completed(usage: Usage | None, other: Usage | None) -> Usage | None:
    """Return `usage`, in which `other` stands in for a whole side that it does not tell."""
    if usage is None or other is None:
        return usage or other
    if usage.input_tokens is None:
        usage = replace(other, output_tokens=usage.output_tokens, counts=usage.counts)
    return usage if usage.output_tokens is not None else replace(usage, output_tokens=other.output_tokens)


def with_counts(usage: Usage | None, counts: Mapping[str, Mapping[str, int]]) -> Usage | None:
    """Return `usage` with what is counted besides tokens."""
    return replace(usage or Usage(), counts={**(usage or Usage()).counts, **counts}) if counts else usage


def guardrail_counts(trace: object) -> dict[str, dict[str, int]]:
    """Return the Pay-i units of a `guardrail` trace, those of the prompt's assessments and of the answer's summed up.

    Both are billed: https://aws.amazon.com/bedrock/pricing/
    """
    sums: dict[str, int] = {}
    for told in _assessed(trace, _DEPTH):
        for name, unit in _UNITS.items():
            if amount := count(told.get(name)):
                sums[unit] = sums.get(unit, 0) + amount
    return {unit: {"input": amount} for unit, amount in sums.items()}


def _assessed(node: object, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the usage of each assessment in a trace, whose nesting differs between Converse and `invoke`."""
    if isinstance(node, dict) and "invocationMetrics" in node:
        yield mapping(mapping(node["invocationMetrics"]).get("usage"))
    elif depth:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        for child in inner:
            yield from _assessed(child, depth - 1)


def guardrail_asked(config: object) -> dict[str, str]:
    """Return the properties of the guardrail that a call asks for, from Converse's `guardrailConfig`."""
    told = mapping(config)
    named = {"id": text(told.get("guardrailIdentifier")), "version": text(told.get("guardrailVersion"), 64)}
    return {_GUARDRAIL + name: value for name, value in named.items() if value}


def intervention(action: object) -> dict[str, str]:
    """Return the properties of an answer in which a guardrail intervened, by what Bedrock calls that; else none.

    It is a failure in Pay-i's sense, though the call has succeeded.
    """
    told = text(action, 64)
    if told not in ("INTERVENED", "GUARDRAIL_INTERVENED", "guardrail_intervened"):
        return {}
    return {
        f"{_GUARDRAIL}action": told,
        "system.failure": told,
        "system.failure.description": "a guardrail of Bedrock intervened",
    }
