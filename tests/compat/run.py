"""Run each case in an environment of its own: the oldest and newest versions, and libraries that sit on SDKs.

    python -m tests.compat.run [row ...]

The environments are kept in `.compat/` and made anew when what is in them would differ: other requirements, other
minimum versions, or a new week, which may bring newer versions.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".compat"
PYPROJECT = ROOT / "pyproject.toml"
TIMEOUT = 300  # seconds for one case
# Ours and the SDKs' settings, and proxies, would lead calls elsewhere; litellm would fetch its prices at import.
FOREIGN = (
    *("PAYI_", "OPENAI_", "ANTHROPIC_", "GROQ_", "MISTRAL_", "CO_", "GOOGLE_", "GEMINI_", "AWS_", "BOTO_"),
    *("LITELLM_", "LANGCHAIN_", "LANGSMITH_", "INSTRUCTOR_"),
)


@dataclass(frozen=True)
class Row:
    """Name an environment by its requirements, and the cases (module of `cases`, arguments) that run in it.

    `oldest` pins each direct requirement of ours, those of its `extras` included, to its minimum.
    """

    name: str
    requirements: tuple[str, ...]
    cases: tuple[str, ...]
    extras: tuple[str, ...] = ("local",)
    oldest: bool = False


SDKS = ("transports httpx", "openai_sdk", "anthropic_sdk", "doors")
OLDEST_AWS = ("boto3==1.34.116", "botocore==1.34.116")
ROWS = (
    Row("langchain", ("langchain-openai", "langchain-anthropic"), ("langchain",)),
    Row("litellm", ("litellm",), ("litellm_library",)),
    Row("pydantic-ai", ("pydantic-ai-slim[openai,anthropic]",), ("pydantic_ai_agents",)),
    Row("instructor", ("instructor",), ("instructor_openai",)),
    Row("oldest", (), SDKS, ("demo", "jwt", "compression"), oldest=True),
    Row("newest", ("httpx2",), (*SDKS, "transports httpx2"), ("demo", "jwt", "compression")),
    Row("oldest-httpx2", ("httpx2==2.0.0",), ("transports httpx2",)),
    Row(
        "oldest-sdks",
        ("groq==0.13.0", "cohere==5.8.0", "mistralai==1.3.0", "google-genai==1.7.0", *OLDEST_AWS),
        ("groq_sdk", "cohere_sdk metering", "mistral_sdk metering", "google_sdk metering", "bedrock_sdk"),
    ),
    Row(
        "oldest-results",
        ("cohere==5.16.0", "mistralai==2.0.0", "google-genai==1.22.0"),
        ("cohere_sdk", "mistral_sdk", "google_sdk"),
    ),
    Row(
        "newest-sdks",
        ("groq", "cohere", "mistralai", "google-genai", "aiohttp", "boto3"),
        ("groq_sdk", "cohere_sdk", "mistral_sdk", "google_sdk", "aiohttp_client", "bedrock_sdk"),
    ),
    Row(
        "oldest-aiobotocore", ("aiobotocore==2.13.1", "aiohttp==3.9.2", "boto3"), ("aiobotocore_sdk", "aiohttp_client")
    ),
    Row("newest-aiobotocore", ("aiobotocore", "boto3"), ("aiobotocore_sdk",)),
)


def minimums(extras: tuple[str, ...]) -> Iterator[str]:
    """Yield our direct requirements, each pinned to the oldest version that it allows."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += optional[extra]
    for requirement in wanted:
        if requirement.startswith(project["name"]):
            inner = requirement.partition("[")[2].rstrip("]")
            yield from minimums(tuple(inner.split(",")))
        else:
            yield requirement.replace(">=", "==")


def requirements(row: Row) -> list[str]:
    """Return what is installed for a row, besides this project."""
    return sorted({*row.requirements, *(minimums(row.extras) if row.oldest else ())})


def stamp(row: Row) -> str:
    """Return what an environment is the same for as long as it is the same."""
    year, week, _ = dt.datetime.now(dt.UTC).isocalendar()
    told = [sys.version, PYPROJECT.read_text(encoding="utf-8"), f"{year}-{week}", *row.extras, *requirements(row)]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def prepared(row: Row) -> Path:
    """Return the Python of a row's environment, made if it is not there or not as it should be."""
    folder = CACHE / row.name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark, wanted = folder / ".stamp", stamp(row)
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    install = ["--editable", f"{ROOT}[{','.join(row.extras)}]", *requirements(row)]
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"):
        run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        run([uv, "pip", "install", "--quiet", "--python", str(python), *install])
    else:
        run([sys.executable, "-m", "venv", str(folder)])
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *install])
    mark.write_text(wanted, encoding="utf-8")
    return python


def run(command: list[str], *, environment: dict[str, str] | None = None, folder: str | None = None) -> None:
    """Run a command; raises RuntimeError with the end of its output if it fails."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-6000:])


def play(python: Path, case: str) -> None:
    """Run one case in an empty folder, without the settings of whoever runs it."""
    module, *arguments = case.split()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")
    }
    environment |= {"PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with tempfile.TemporaryDirectory() as folder:
        environment["PAYI_JOURNAL"] = str(Path(folder) / "journal")
        run([str(python), "-m", f"tests.compat.cases.{module}", *arguments], environment=environment, folder=folder)


def outcomes(row: Row) -> list[tuple[str, str]]:
    """Run a row; return (case, what went wrong, empty if nothing) for each of its cases."""
    begun = time.monotonic()
    try:
        python = prepared(row)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return [(f"{row.name}: {case}", str(error)) for case in row.cases]
    found = []
    for case in row.cases:
        try:
            play(python, case)
            wrong = ""
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            wrong = str(error)
        found.append((f"{row.name}: {case}", wrong))
        print(f"{'FAILED' if wrong else 'ok    '} {row.name}: {case} ({time.monotonic() - begun:.0f} s)", flush=True)
    return found


def main(wanted: list[str]) -> int:
    """Run the rows of these names, or all; return the exit code."""
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        print(f"no such row: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    CACHE.mkdir(exist_ok=True)
    rows = [row for row in ROWS if not wanted or row.name in wanted]
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = [outcome for done in pool.map(outcomes, rows) for outcome in done]
    failed = [(case, wrong) for case, wrong in found if wrong]
    for case, wrong in failed:
        print(f"\n--- {case}\n{wrong}")
    print(f"\n{len(found) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
