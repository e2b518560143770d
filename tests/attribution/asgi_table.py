"""The table of handler shapes: what a row is, and how it is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Body, FastAPI

from tests.attribution.asgi_kit import Kit

User = Annotated[str, Body(embed=True)]
Build = Callable[[FastAPI, Kit], None]
DECOY = "front-desk"
"""Whom the identity header names where the app itself knows better."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One row.

    Args:
        build: adds `POST /` to an app.
        calls: provider calls that each request makes.
        in_headers: how many of them are over when the response starts.
        decoy: whom the identity header names; None: the user.
    """

    build: Build
    calls: int = 2
    in_headers: int = 2
    decoy: str | None = None


SHAPES: dict[str, Shape] = {}


def shape(
    name: str, calls: int = 2, in_headers: int | None = None, decoy: str | None = None
) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        SHAPES[name] = Shape(build, calls, calls if in_headers is None else in_headers, decoy)
        return build

    return add
