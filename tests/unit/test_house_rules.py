"""Small files, small functions, and reasons where a rule is switched off."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from .sources import modules, tree

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(module: str) -> list[str]:
    return modules()[module].read_text(encoding="utf-8").splitlines()


def comments(module: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO("\n".join([*lines(module), ""])).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def functions(module: str) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree(module)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Return the lines of a function's body, without its docstring and the classes made in it, whose methods count."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return sum(
        (statement.end_lineno or 0) - statement.lineno + 1
        for statement in body
        if not isinstance(statement, ast.ClassDef)
    )


@pytest.mark.parametrize("module", modules())
def test_no_file_is_long(module: str) -> None:
    assert len(lines(module)) <= LONGEST_FILE


@pytest.mark.parametrize("module", modules())
def test_no_function_is_long(module: str) -> None:
    assert {
        function.name: length(function) for function in functions(module) if length(function) > LONGEST_FUNCTION
    } == {}


@pytest.mark.parametrize("module", modules())
def test_every_exemption_from_a_check_says_which_check(module: str) -> None:
    bare = [
        comment
        for comment in comments(module)
        if re.search(r"type:\s*ignore(?!\[[a-z0-9-]+(,\s*[a-z0-9-]+)*\])|noqa(?!: [A-Z]+[0-9]+)", comment)
    ]

    assert bare == []


@pytest.mark.parametrize("module", modules())
def test_nothing_is_left_to_be_done(module: str) -> None:
    assert not [comment for comment in comments(module) if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", comment)]


@pytest.mark.parametrize("module", [module for module in modules() if modules()[module].stat().st_size])
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(tree(module))


@pytest.mark.parametrize("module", modules())
def test_every_public_class_and_function_says_what_it_is_for(module: str) -> None:
    silent = [
        node.name
        for node in tree(module).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_")
        if ast.get_docstring(node) is None
    ]

    assert silent == []
