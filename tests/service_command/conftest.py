"""Databases to serve: a file, and a PostgreSQL schema."""

from __future__ import annotations

from tests.service.conftest import database

__all__ = ["database"]
