"""Pages made of templates."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from payi_middleware.service.store import clock

from . import formatting
from .assets import assets

__all__ = ["render"]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update({name: getattr(formatting, name) for name in formatting.__all__})
    environment.filters["iso"] = clock.as_text
    environment.globals["asset_version"] = lambda name: assets()[name].version
    return environment


def render(template: str, **context: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**context)
