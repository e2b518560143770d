"""Bar charts as SVG: text is text, and both the lines and the letters show on a dark page as on a light one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["bars"]

_INK, _OURS, _PEER = "#808080", "#2f81f7", "#9a9a9a"


def bars(
    path: Path, title: str, unit: str, values: Mapping[str, float], ours: frozenset[str], target: float | None
) -> None:
    """Draw one.

    Args:
        values: by name, from the top down.
        ours: names that are drawn in another colour.
        target: what ours are not to pass; a line, where there is one.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": path.stem,
        "font.family": "sans-serif",
        "font.size": 10,
    }
    colours: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    )
    with mpl.rc_context({**style, **colours}):
        figure, axes = plt.subplots(figsize=(8, 0.9 + 0.32 * len(values)))
        names = list(values)[::-1]
        drawn = axes.barh(
            [name.replace("*", "").replace("`", "") for name in names],
            [values[name] for name in names],
            color=[_OURS if name in ours else _PEER for name in names],
        )
        axes.bar_label(drawn, [f" {values[name]:.3g}" for name in names], color=_INK)
        if target is not None:
            axes.axvline(target, color=_OURS, linestyle="--", linewidth=1)
        axes.set_title(title, loc="left")
        axes.set_xlabel(unit if target is None else f"{unit}; dashed: our target")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.1)
        figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
