"""Every code block in the README and the docs is run, and what they claim is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import payi_middleware
from payi_middleware import Settings
from payi_middleware.cli import build_parser
from payi_middleware.demo.provider import Provider

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RUN_BY_CI = {"make demo", "make test"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .+\n)+", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, provider: Provider, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "OPENAI_API_KEY": "key-of-a-test",
        "OPENAI_BASE_URL": provider.openai_url,
        "ANTHROPIC_API_KEY": "key-of-a-test",
        "ANTHROPIC_BASE_URL": provider.anthropic_url,
    }.items():
        monkeypatch.setenv(name, value)


def run_python(page: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    for number, code in enumerate(blocks(page, "python"), 1):
        exec(compile(code, f"{page.name}, python block {number}", "exec"), namespace)
    return namespace


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_blocks_of_each_page_run_in_order(page: Path) -> None:
    run_python(page)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, _environment: None) -> Iterator[int]:
    """The README's app, served by uvicorn on a free port."""
    monkeypatch.setenv("PAYI_HEADER_WAIT", "10")
    readme = run_python(ROOT / "README.md")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def close_and_send(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await readme["client"].close()  # its connections belong to this loop
            await send(message)

        await readme["app"](scope, receive, close_and_send)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt install curl")
def test_the_readmes_request_is_answered_with_the_headers_that_it_shows(served: int) -> None:
    (block,) = blocks(ROOT / "README.md", "console")
    command, *shown = block.splitlines()
    arguments = shlex.split(command.removeprefix("$ ").replace("127.0.0.1:8000", f"127.0.0.1:{served}"))
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30).stdout
    names = {line.partition(":")[0] for line in answer.splitlines() if line.startswith("x-payi-")}
    assert names == {line.partition(":")[0] for line in shown if line.startswith("x-payi-")}
    assert "HTTP/1.1 200 OK" in answer
    assert "x-payi-status: final" in answer


def test_every_shell_command_of_the_readme_is_one_that_ci_runs_or_an_install_of_extras_that_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    for found in INDENTED.findall(BLOCK.sub("", (ROOT / "README.md").read_text())):
        command = found.split("#")[0].strip()
        if command not in RUN_BY_CI:
            extras = re.fullmatch(r"pip install 'payi-middleware\[([a-z,]+)\]'", command)
            assert extras, command
            assert all(f"\n{extra} = [" in pyproject for extra in extras[1].split(","))
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(command in ci for command in RUN_BY_CI)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_is_one_that_there_is(page: Path) -> None:
    for found in re.findall(r"(?:^    |`)(payi-middleware [^`\n]+)", page.read_text(), re.MULTILINE):
        build_parser().parse_args(shlex.split(found, comments=True)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_no_page_has_a_code_block_that_nothing_runs() -> None:
    for page in PAGES:
        languages = {language for language, _ in BLOCK.findall(page.read_text())}
        assert languages <= {"python", "console", "text"}, page.name
        assert "console" not in languages or page.name == "README.md"


def test_every_setting_is_in_the_docs_and_nothing_else_is() -> None:
    table = (ROOT / "docs" / "settings.md").read_text().partition("| setting |")[2]
    documented = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert documented == set(Settings.model_fields)


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = payi_middleware.__version__
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()


def test_every_dependency_has_its_reason_in_the_docs() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    project = (ROOT / "pyproject.toml").read_text().partition("[dependency-groups]")[0]
    names = re.findall(r'"([a-z][a-z0-9-]+)(?:\[[a-z,]+\])?>=', project)
    assert names
    missing = [name for name in names if name not in reasons and name != "hatchling"]
    assert missing == []
