"""What the stand-in provider can be told to do, for all calls or for one."""

import dataclasses
import json
from typing import Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

HEADER: Final = "x-stand-in"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Behaviour:
    """Describe how the stand-in provider answers.

    `latency` is in seconds before the first byte, `chunk_delay` in seconds between two frames, `retry_after` in
    seconds. `chunks` is the number of text pieces of a streamed answer; the answer grows to at least that many words
    (default: one piece per word). A `status` of 400 or more is answered with the provider's own error body.
    `reset_after` drops the connection after that many frames of a stream, or halfway through a plain answer. `endless`
    streams until the client leaves. `gzip` compresses answers and streams, asked for or not. The token counts are added
    to those of the texts, `tool_call` names a function to call and `web_searches` the number of searches claimed.
    """

    latency: float = Field(default=0.0, ge=0)
    chunk_delay: float = Field(default=0.0, ge=0)
    chunks: int | None = Field(default=None, ge=1)
    status: int = Field(default=200, ge=200, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    reset_after: int | None = Field(default=None, ge=0)
    endless: bool = False
    gzip: bool = False
    cached_tokens: int = Field(default=0, ge=0)
    cache_write_tokens: int = Field(default=0, ge=0)
    cache_write_1h_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)
    web_searches: int = Field(default=0, ge=0)
    tool_call: str | None = None

    def amended(self, header: str | None) -> "Behaviour":
        """Return a copy with the fields of one call's `x-stand-in` header, a JSON object.

        Raises ValueError if the header is no JSON object, names no field of this class or gives it a wrong value.
        """
        if header is None:
            return self
        changes = json.loads(header)
        if not isinstance(changes, dict):
            raise ValueError(f"{HEADER} must be a JSON object")
        return dataclasses.replace(self, **changes)
