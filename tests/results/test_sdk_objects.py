"""An SDK's answer behaves as without us, whether its result is in or not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from payi_middleware import Settings, instrument, result_of
from tests.results.asking import ANTHROPIC, OPENAI

PLAIN = ("chat", "chat raw", "responses", "embeddings", "messages", "beta")


def _roundtrip(answer: Any) -> Any:
    return pickle.loads(pickle.dumps(answer))


def _union(cls: Any) -> Any:
    return cls | int


class _Holder(BaseModel):
    held: Any


LOOKS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "dict": lambda answer: dict(vars(answer)),
    "iteration": list,
    "model_dump": lambda answer: answer.model_dump(),
    "model_dump_json": lambda answer: answer.model_dump_json(),
    "to_dict": lambda answer: answer.to_dict(),
    "model_fields_set": lambda answer: answer.model_fields_set,
    "extra": lambda answer: answer.model_extra,
    "in a model": lambda answer: _Holder(held=answer).model_dump(),
    "in a union": lambda answer: TypeAdapter(_union(type(answer))).dump_python(answer),
    "pickle": lambda answer: b"payi" in pickle.dumps(answer),  # or it could not be read where we are not installed
    "deepcopy": lambda answer: vars(copy.deepcopy(answer)),
    "copy": lambda answer: vars(copy.copy(answer)),
    "model_copy": lambda answer: vars(answer.model_copy()),
}


@pytest.fixture(params=PLAIN)
def answer(request: pytest.FixtureRequest, openai_client: Any, anthropic_client: Any) -> Any:
    """Ask before anything is instrumented, and again with it; the second answer has the first one's content."""
    name = request.param
    ask = (OPENAI | ANTHROPIC)[name]
    return lambda: ask(openai_client if name in OPENAI else anthropic_client)


def test_an_answer_with_its_result_looks_as_before_it_came(settings: Settings, answer: Any) -> None:
    without_us = answer()
    before = {name: look(without_us) for name, look in LOOKS.items()}
    assert before == {name: look(without_us) for name, look in LOOKS.items()}
    instrument(settings)
    metered = answer()
    twin = _roundtrip(metered)
    result_of(metered, timeout=10)
    assert metered.xproxy_result
    for name, look in LOOKS.items():
        assert look(metered) == look(twin), name
    assert metered == twin
    assert _roundtrip(metered) == metered == copy.deepcopy(metered)
    assert type(twin) is type(without_us)


def test_whoever_puts_an_attribute_of_that_name_on_an_answer_has_it(settings: Settings, answer: Any) -> None:
    instrument(settings)
    metered = answer()
    result_of(metered, timeout=10)
    metered.xproxy_result = "theirs"
    assert metered.xproxy_result == "theirs"


def test_no_field_of_ours_shows_in_the_schema_or_the_fields(settings: Settings, answer: Any) -> None:
    without_us = answer()
    schema, fields = type(without_us).model_json_schema(), list(type(without_us).model_fields)
    instrument(settings)
    metered = answer()
    result_of(metered, timeout=10)
    assert (type(metered).model_json_schema(), list(type(metered).model_fields)) == (schema, fields)
