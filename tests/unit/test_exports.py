"""The public names."""

from __future__ import annotations

from importlib import resources
from inspect import isclass, isfunction
from pathlib import Path

import pytest

import payi_middleware
from payi_middleware import exceptions

NAMES = {
    "PayiMiddleware",
    "PayiWSGIMiddleware",
    "Settings",
    "Annotations",
    "XproxyResult",
    "Summary",
    "instrument",
    "uninstrument",
    "flush",
    "track",
    "track_context",
    "annotate",
    "get_context",
    "ingest",
    "aingest",
    "result_of",
    "aresult_of",
    "PayiTransport",
    "AsyncPayiTransport",
    "parse_headers",
}
ERRORS = {
    "PayiError",
    "ConfigurationError",
    "IngestError",
    "IngestConnectionError",
    "IngestTimeoutError",
    "IngestRefusedError",
}
SHAPES = {"XproxyError"}


def test_the_public_names_are_those_promised() -> None:
    assert set(payi_middleware.__all__) == NAMES | ERRORS | SHAPES
    assert len(payi_middleware.__all__) == len(set(payi_middleware.__all__))


@pytest.mark.parametrize("name", sorted(NAMES | ERRORS | SHAPES))
def test_a_public_name_is_a_documented_class_or_function(name: str) -> None:
    value = getattr(payi_middleware, name)

    assert isclass(value) or isfunction(value)
    assert value.__name__ == name
    assert value.__doc__


def test_every_error_is_public_and_of_one_tree() -> None:
    defined = {value for value in vars(exceptions).values() if isclass(value) and issubclass(value, Exception)}

    assert {error.__name__ for error in defined} == ERRORS
    assert all(issubclass(error, payi_middleware.PayiError) for error in defined)


def test_a_refusal_says_what_pay_i_said() -> None:
    error = payi_middleware.IngestRefusedError(400, "limit_reached", "the limit is used up")

    assert str(error) == "HTTP 400 limit_reached: the limit is used up"
    assert (error.status, error.code, error.message) == (400, "limit_reached", "the limit is used up")


def test_a_star_import_gives_the_public_names_and_no_others() -> None:
    names: dict[str, object] = {}
    exec(f"from {payi_middleware.__name__} import *", names)

    assert set(names) - {"__builtins__"} == NAMES | ERRORS | SHAPES


def test_the_framework_doors_have_their_names() -> None:
    from payi_middleware.fastapi import instrument_app
    from payi_middleware.flask import Payi

    assert isfunction(instrument_app)
    assert callable(Payi().init_app)


def test_the_package_is_typed() -> None:
    assert resources.files(payi_middleware).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_project() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"

    assert f'\nversion = "{payi_middleware.__version__}"\n' in project.read_text()
