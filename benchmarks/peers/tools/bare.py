"""No tool."""

from __future__ import annotations

from benchmarks.peers.tools.base import Tool

TOOL = Tool
