"""Which response ids do not tell one answer from another."""

from __future__ import annotations

import re

__all__ = ["is_unique"]

# Ollama draws its ids of 999, or of a million: https://github.com/ollama/ollama/blob/main/middleware/openai.go
_DRAWN = re.compile(r"[a-z]+[-_]\d{1,6}")
# Counters that begin anew with the server, and Cloudflare's milliseconds.
_REPEATING = re.compile(r"\d{1,6}|id-\d{13}")


def is_unique(response_id: str | None, provider: str, fingerprint: object = None) -> bool:
    """Return whether no other answer of this provider has the id, as far as ids of this form go.

    `fingerprint` is the answer's `system_fingerprint`, by which Ollama is known on any host.
    """
    if response_id is None:
        return True
    if (provider == "ollama" or fingerprint == "fp_ollama") and _DRAWN.fullmatch(response_id):
        return False
    return _REPEATING.fullmatch(response_id) is None
