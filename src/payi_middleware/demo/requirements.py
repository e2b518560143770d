"""What the demo needs to be installed."""

from importlib.util import find_spec
from typing import Final

# Import name and the name to install it by: the `demo` extra in pyproject.toml.
_NEEDED: Final = {
    "anthropic": "anthropic",
    "fastapi": "fastapi",
    "flask": "flask",
    "genai_prices": "genai-prices",
    "itsdangerous": "itsdangerous",
    "jinja2": "jinja2",
    "openai": "openai",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "waitress": "waitress",
}


def missing_requirement() -> str | None:
    """Return a sentence that says what is missing and how to get it, or None."""
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if not missing:
        return None
    return f"not installed: {', '.join(missing)}. Get everything with: pip install 'payi-middleware[demo]'"
