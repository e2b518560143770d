"""Every wire format that is read: one table, put together of what each wire's own file says.

A new wire is a file with a `WIRE` (see `wiring.Wire`), named here in WIRES, in CUSTOM where `Settings.providers` may
name it, and there too (`settings.WIRE_FAMILIES`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import (
    alephalpha,
    anthropic_wire,
    bedrock_wire,
    cohere_wire,
    deepgram,
    google_wire,
    huggingface,
    mistral_wire,
    ollama_wire,
    openai_wire,
    replicate,
    sagemaker_wire,
    voyage,
    watsonx_wire,
)
from .rows import ROWS, Row
from .wiring import Format, Wire

__all__ = ["ALL_ROWS", "BY_PARENT", "BY_START", "BY_WORD", "CUSTOM", "FORMATS", "WIRES"]

_OPENAI, _ANTHROPIC = openai_wire.WIRE, anthropic_wire.WIRE

_OTHERS = (
    alephalpha.WIRE,
    bedrock_wire.WIRE,
    cohere_wire.WIRE,
    deepgram.WIRE,
    google_wire.WIRE,
    huggingface.WIRE,
    mistral_wire.WIRE,
    ollama_wire.WIRE,
    replicate.WIRE,
    sagemaker_wire.WIRE,
    voyage.WIRE,
    watsonx_wire.WIRE,
)

# The first that recognises a request has it: those that know their calls by name come before those that guess.
WIRES: tuple[Wire, ...] = (_ANTHROPIC, *_OTHERS, _OPENAI)

# The wires that a host which `Settings.providers` names may speak.
CUSTOM: Mapping[str, tuple[Wire, ...]] = MappingProxyType(
    {
        "openai": (_OPENAI,),
        "anthropic": (_ANTHROPIC,),
        **{wire.name: (wire, _OPENAI) for wire in _OTHERS},  # each has OpenAI's chat, too
    }
)

ALL_ROWS: tuple[Row, ...] = (*ROWS, *(row for wire in WIRES for row in wire.rows))

FORMATS: Mapping[str, Format] = MappingProxyType(
    {api: reading for wire in WIRES for api, reading in wire.formats.items()}
)

BY_WORD: Mapping[str, tuple[Wire, ...]] = MappingProxyType(
    {word: tuple(wire for wire in WIRES if word in wire.words) for word in sorted({w for x in WIRES for w in x.words})}
)

BY_START: tuple[tuple[str, Wire], ...] = tuple((start, wire) for wire in WIRES for start in wire.starts)

BY_PARENT: tuple[tuple[str, Wire], ...] = tuple((parent, wire) for wire in WIRES for parent in sorted(wire.parents))
