"""Whom Flask itself knows, by Flask-Login and by its session, is who is charged, whatever the headers say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, session
from flask_login import LoginManager, UserMixin, current_user, login_user

from payi_middleware import Settings, flush
from payi_middleware.demo.provider import Provider
from payi_middleware.flask import Payi
from tests.attribution.wsgi_app import Gate, Providers, everybody
from tests.attribution.wsgi_world import (
    USERS,
    ask_as_everybody,
    assert_everybody_is_charged_for_their_own,
    booked,
    under_waitress,
)
