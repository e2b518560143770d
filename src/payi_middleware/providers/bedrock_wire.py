"""Which requests speak Amazon Bedrock's wire formats.

Paths: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from .bedrock_usage import USAGE_HEADERS, guardrail_asked
from .first_use import AtFirstUse, Making
from .rows import Row
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_APIS = {
    "converse": "bedrock.converse",
    "converse-stream": "bedrock.converse_stream",
    "invoke": "bedrock.invoke",
    "invoke-with-response-stream": "bedrock.invoke_stream",
}
_INVOKE_HEADERS = (*USAGE_HEADERS, "x-amzn-bedrock-service-tier")
_GUARDRAIL = ("guardrailIdentifier", "guardrailVersion")
# A vendor and its model, or the name of a resource of the customer's.
_MODEL = re.compile(r"[a-z0-9-]+\.[\w.:-]+|arn:aws[\w-]*:(?:bedrock|sagemaker):[\w.:/-]+")


def _recognise(target: Target) -> Found | None:
    api = _APIS.get(target.word)
    if api is None or "model" not in target.segments[:-2]:
        return None
    named = target.segments[target.segments.index("model") + 1 : -1]
    model = "/".join(named)  # the name of a resource has a slash in it, which some clients leave as it is
    if len(named) > 1 and not model.startswith("arn:"):
        return None
    return Found(api, model, form=True, notes=_guardrail(target)) if _is_sure(target, model) else None


def _is_sure(target: Target, model: str) -> bool:
    """Tell Bedrock behind a gateway, an endpoint of one's own or a proxy from anybody's `/model/x/invoke`."""
    signed = target.headers.get("authorization") or ""
    return target.at("bedrock") or "/bedrock/aws4_request" in signed or bool(_MODEL.fullmatch(unquote(model)))


def _guardrail(target: Target) -> tuple[tuple[str, str], ...]:
    """Return the properties of the guardrail that the headers of `invoke` ask for."""
    config = {name: target.headers.get(f"x-amzn-bedrock-{name.lower()}") for name in _GUARDRAIL}
    return tuple(guardrail_asked(config).items())


@AtFirstUse
def _converse() -> Making:
    from .bedrock_converse import BedrockConverse

    return BedrockConverse


@AtFirstUse
def _invoke() -> Making:
    from .bedrock_invoke import BedrockInvoke

    return BedrockInvoke


WIRE = Wire(
    name="bedrock",
    category="system.aws.bedrock",
    words=frozenset(_APIS),
    recognise=_recognise,
    formats={
        "bedrock.converse": Format(_converse),
        "bedrock.converse_stream": Format(_converse),
        "bedrock.invoke": Format(_invoke, headers=_INVOKE_HEADERS),
        "bedrock.invoke_stream": Format(_invoke),
    },
    rows=(
        Row(
            "bedrock",
            "system.aws.bedrock",
            (
                "bedrock-runtime.*.amazonaws.com.cn",
                "bedrock-runtime.*.api.aws",
                "bedrock-runtime-fips.*.api.aws",
                "*.bedrock-runtime.*.vpce.amazonaws.com",
            ),
            "https://docs.aws.amazon.com/general/latest/gr/bedrock.html",
        ),
    ),
)
