"""The Dockerfile and the compose file say what the package has. No container is built here: that needs an engine."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from payi_middleware.cli import build_parser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_the_image_runs_a_command_that_there_is_and_without_root(dockerfile: str) -> None:
    command = json.loads(re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[-1])
    arguments = build_parser().parse_args(command)
    assert (arguments.host, arguments.port, arguments.db) == ("0.0.0.0", 8000, "sqlite:////data/payi.db")
    assert "USER payi" in dockerfile


def test_the_image_copies_what_the_package_is_built_from_and_installs_an_extra_that_there_is(dockerfile: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (extra,) = re.findall(r"'/src\[(\w+)\]'", dockerfile)
    assert extra in project["project"]["optional-dependencies"]
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()}
    built_from = {
        name.partition("/")[0] for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    }
    assert copied >= {"src", "pyproject.toml", project["project"]["readme"], "LICENSE", *built_from}


def test_compose_serves_a_database_whose_password_is_the_users_own(compose: Any) -> None:
    service = compose["services"]["service"]
    arguments = build_parser().parse_args(service["command"])
    assert arguments.db is None
    assert service["environment"]["PAYI_DB"].startswith("postgresql+psycopg://payi:${POSTGRES_PASSWORD}@database/")
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 30
