"""Write docs/providers.md from the registry of wire formats: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from payi_middleware.providers import recognise
from payi_middleware.providers.registry import ALL_ROWS, FORMATS, WIRES
from payi_middleware.providers.rows import Row
from payi_middleware.providers.wiring import Wire
from tests.docs.providers_told import GROUPS, TOLD

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
ANY = "any host"
_TITLES = {"alephalpha": "Aleph Alpha", "huggingface": "Hugging Face", "openai": "OpenAI", "sagemaker": "SageMaker"}
_START = """\
# Providers

What is metered: requests of these forms, made through httpx, httpx2, aiohttp, requests or boto3, and so by the SDKs
built on them. A call is recognised by its method, host and path, whoever wrote it; anything else passes by untouched.
Each attempt of an SDK that tries again is a call; those that urllib3 makes by itself (`max_retries` of an adapter of
requests') are one. `make docs` writes this page from the tables that the package itself reads.

A host that is not listed, such as a gateway of your own, is metered where the form of a call leaves no doubt ("any
host" below), in the category of the provider whose form it is. Name the host in the setting `providers` to meter all of
a form's calls there, or to choose their category:

```python
from payi_middleware import Settings

settings = Settings(providers={"llm.internal": "cohere", "10.0.0.7:8080": ("anthropic", "my.category")})
```

Where a provider tells no usage, the call is reported without it, and the property `system.usage.missing` says why;
`system.usage.partial` marks the usage of a stream that ended before its end. No usage is ever estimated here.
"""
_HOSTS = """
## Hosts

"Asked" marks providers whose streams tell their usage only if they are asked to, and are asked
([`stream_usage`](settings.md)). "Answer" marks those where the model that answers names Pay-i's resource, and not the
one that the request names.

| Provider | Hosts | Pay-i category | Remarks |
|---|---|---|---|
"""
_CALLS = """
## Calls

Units are [Pay-i's](https://docs.pay-i.com); each token is in one of them only, and a unit that counts nothing is left
out. `GET` marks answers that are picked up later. Some units are named together here:

"""
_COLUMNS = """
| API | Request | Recognised at | Answers | Units | Remarks |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the page as it should be."""
    hosts = "".join(sorted({_host(row) for row in ALL_ROWS}))
    groups = "".join(f"- *{name}*: {_quoted(units)}\n" for name, units in GROUPS.items())
    calls = "".join(_wire(wire) for wire in sorted(WIRES, key=lambda wire: wire.name))
    return f"{_START}{_HOSTS}{hosts}{_CALLS}{groups}{calls}"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _host(row: Row) -> str:
    category = f"`{row.category}`"
    if row.anthropic_category:
        category += f", Anthropic's messages `{row.anthropic_category}`"
    remarks = [*(["asked"] if row.stream_usage else []), *(["answer"] if row.resource_from == "response" else [])]
    return f"| [{row.name}]({row.source}) | {_quoted(row.hosts)} | {category} | {', '.join(remarks)} |\n"


def _wire(wire: Wire) -> str:
    title = _TITLES.get(wire.name, wire.name.capitalize())
    return f"\n### {title}\n{_COLUMNS}" + "".join(_call(api) for api in wire.formats)


def _call(api: str) -> str:
    told = TOLD[api]
    headers = "".join(f", `{name}`" for name in told.headers)
    request = f"`{method(api)} {told.path}`{headers}"
    cells = (f"`{api}`", request, ", ".join(places(api)), told.answers, _units(told.units), told.silent)
    return f"| {' | '.join(cells)} |\n"


def _units(units: tuple[str, ...]) -> str:
    """Name units, those of a whole group by its name."""
    groups = [name for name, members in GROUPS.items() if set(members) <= set(units)]
    rest = [unit for unit in units if not any(unit in GROUPS[name] for name in groups)]
    return ", ".join([*(f"*{name}*" for name in groups), *(f"`{unit}`" for unit in rest)]) or "none"


def method(api: str) -> str:
    """Return the method of an api's requests."""
    return "GET" if FORMATS[api].fetched else "POST"


def places(api: str) -> list[str]:
    """Return where an api's example is recognised: at any host, or at the providers named."""
    if _recognised(api, "llm.example.com"):
        return [ANY]
    return sorted({row.name for row in ALL_ROWS if any(_recognised(api, host) for host in _examples(row))})


def _examples(row: Row) -> Iterator[str]:
    return (host.replace("*", "x") for host in row.hosts)


def _recognised(api: str, host: str) -> bool:
    match = recognise(method(api), host, None, TOLD[api].path, TOLD[api].headers)
    return match is not None and match.api == api


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
