"""A virtual environment for each peer, kept in `.bench/`, and made anew when what is in it would differ."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.roster import BASE, ENVIRONMENTS

__all__ = ["ROOT", "prepared", "versions"]

ROOT = Path(__file__).resolve().parents[2]
_CACHE = ROOT / ".bench"


def prepared(name: str) -> Path:
    """Return the Python of an environment.

    Raises:
        RuntimeError: it could not be made.
    """
    folder = _CACHE / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    project = f"{ROOT}[local]" if name == "ours" else ""
    wanted = [*BASE, *ENVIRONMENTS[name]]
    told = [sys.version, *wanted, (ROOT / "pyproject.toml").read_text(encoding="utf-8") if project else ""]
    stamp, mark = hashlib.sha256("\0".join(told).encode()).hexdigest(), folder / ".stamp"
    if mark.is_file() and mark.read_text(encoding="utf-8") == stamp:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    install = [*wanted, *(["--editable", project] if project else [])]
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"):
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *install])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *install])
    mark.write_text(stamp, encoding="utf-8")
    return python


def versions() -> list[str]:
    """Return what is compared, with versions, as the roster pins it."""
    told = {*BASE, *(requirement for requirements in ENVIRONMENTS.values() for requirement in requirements)}
    return sorted(requirement.replace("==", " ") for requirement in told)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
