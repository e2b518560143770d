"""Answers of the size and the form that providers give: streams of many words, and 1.5 KB in one body."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import openai_answers, other_answers
from benchmarks.making import Answers

__all__ = ["FAMILIES"]

FAMILIES: Mapping[str, Answers] = {**openai_answers.FAMILIES, **other_answers.FAMILIES}
"""By name. Chunks are events, as hosts flush them, but where the name says that they are cut anywhere."""
