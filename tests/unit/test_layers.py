"""The rooms of the house: imports point down or stay on their floor."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from .sources import PACKAGE, foreign, modules, ours, tree

FLOORS: dict[str, tuple[str, ...]] = {
    # values, no I/O, no state
    "ground": ("exceptions", "log", "forks", "waking", "courtesy", "annotations", "settings", "results"),
    # pure translation
    "first": (
        "headers",
        "providers",
        "stream_usage",
        "identity",
        "report",
        "routing",
        "granting",
        "listing_names",
        "packed_prices",
        "agents",
        "urls",
        "raw_headers",
    ),
    # memory
    "second": ("calls", "tally", "identification", "context", "tracking"),
    # I/O
    "third": (
        "limits",
        "proxying",
        "owner",
        "unfinished",
        "holding",
        "kinds",
        "recorder",
        "beginning",
        "gatekeeping",
        "identifying",
        "metering",
        "underway",
        "importing",
        "transport",
        "aiohttp_body",
        "aiohttp_refusal",
        "aiohttp",
        "urllib3_body",
        "botocore",
        "requests",
        "neighbours",
        "patching",
        "sdk",
        "observing",
        "journal",
        "delivery",
        "ingest",
        "service",
        "embedded",
        "ending",
        "metrics",
        "destinations",
        "limiting",
        "meter",
        "access",
    ),
    # may import anything below; the frameworks belong here
    "doors": ("responding", "blocking", "streaming", "asgi", "wsgi", "fastapi", "flask"),
    # everything together
    "roof": ("", "demo", "journal_command", "service_command", "cli"),
}
"""From the ground up. A room is a module or a package; "" is the package's own `__init__`."""

FRAMEWORKS = {"starlette", "fastapi", "flask", "django", "werkzeug", "quart", "litestar", "uvicorn"}
NEVER: dict[str, set[str]] = {
    "transport": {"ingest", "delivery", "meter"},
    "recorder": {"ingest", "delivery", "meter"},
    "context": {"meter", "delivery", "ingest", "settings", "identity"},
    "identity": {"context", "recorder", "meter"},
    "providers": {"settings", "annotations", "context"},
}
"""Rooms that must not know others, whatever the floors say."""

FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS.values()) for room in rooms}


def room(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("module", modules())
def test_every_module_is_in_a_room(module: str) -> None:
    assert room(module) in FLOOR_OF, f"say in FLOORS where {module} belongs"


@pytest.mark.parametrize("module", modules())
def test_imports_point_down_or_stay_on_their_floor(module: str) -> None:
    up = {other for other in ours(module) if FLOOR_OF[room(other)] > FLOOR_OF[room(module)]}

    assert not up, f"{module} imports {up}"


def test_no_imports_go_round_in_circles() -> None:
    graph = {module: ours(module) - {""} for module in modules() if module}

    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", modules())
def test_a_module_of_a_package_does_not_import_the_package_itself(module: str) -> None:
    parent = module.rpartition(".")[0]

    assert "." not in module or parent not in ours(module)


@pytest.mark.parametrize(
    "module", [module for module in modules() if room(module) not in ("service", "service_command", "demo")]
)
def test_frameworks_are_imported_in_the_doors_only(module: str) -> None:
    used = {name.partition(".")[0] for name in foreign(module)} & FRAMEWORKS

    assert not used or room(module) in FLOORS["doors"], f"{module} imports {used}"


@pytest.mark.parametrize("module", [module for module in modules() if room(module) in NEVER])
def test_rooms_that_must_not_know_others_do_not(module: str) -> None:
    known = {room(other) for other in ours(module)} & NEVER[room(module)]

    assert not known, f"{module} imports {known}"


@pytest.mark.parametrize("module", [module for module in modules() if room(module) == "service"])
def test_the_service_uses_the_ground_and_the_first_floor_only(module: str) -> None:
    used = {room(other) for other in ours(module)} - {"service"}

    assert used <= {*FLOORS["ground"], *FLOORS["first"]}, f"{module} imports {used}"


def test_only_the_embedded_sink_and_the_demo_know_the_service() -> None:
    knowing = {room(module) for module in modules() if any(room(other) == "service" for other in ours(module))}

    assert knowing <= {"service", "embedded", "service_command", "demo"}


@pytest.mark.parametrize("module", modules())
def test_the_context_is_carried_by_opentelemetry_alone(module: str) -> None:
    assert not any(name.partition(".")[0] == "contextvars" for name in foreign(module))


@pytest.mark.parametrize("module", [module for module in modules() if room(module) not in ("settings", "cli", "demo")])
def test_only_settings_read_the_environment(module: str) -> None:
    readers = {"environ", "environb", "getenv", "getenvb"}
    attributes = {
        node.attr
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }

    assert not attributes & readers
    assert not foreign(module) & {f"os.{name}" for name in readers}


def test_the_rooms_named_here_exist() -> None:
    assert {room(module) for module in modules()} == set(FLOOR_OF)
    assert set(NEVER) <= set(FLOOR_OF)
    assert {other for others in NEVER.values() for other in others} <= set(FLOOR_OF)


HEAVY = [
    "aiohttp",
    "requests",
    "urllib3",
    "anyio",
    "asyncio",
    "platformdirs",
    "sqlalchemy",
    "genai_prices",
    "starlette",
    "fastapi",
    "flask",
    "django",
    "uvicorn",
    "opentelemetry.instrumentation",
    "opentelemetry.metrics",
    "openai",
    "anthropic",
    "jwt",
    f"{PACKAGE}.providers.openai_chat",  # as every reader of answers that has a file of its own
    f"{PACKAGE}.providers.anthropic",
    f"{PACKAGE}.providers.gemini",
    f"{PACKAGE}.providers.bedrock_invoke",
    f"{PACKAGE}.providers.cohere",
    f"{PACKAGE}.providers.mistral",
    f"{PACKAGE}.providers.ollama",
    f"{PACKAGE}.providers.watsonx",
    "brotli",
    "zstandard",
    "opentelemetry.baggage",
    f"{PACKAGE}.identity.tokens",
    f"{PACKAGE}.journal.inspection",
    f"{PACKAGE}.limits.gate",
    f"{PACKAGE}.proxying.passage",
    "concurrent.futures",
]


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import sys, json, {PACKAGE}; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *HEAVY], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == []
