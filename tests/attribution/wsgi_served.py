"""The app as servers of their own load it: by gunicorn as `wsgi_served:app`, by gevent as a program.

`STAND_IN_URL` is the provider's address. `SLOW_REPORTS` makes a backlog: each report then takes that many seconds.
With `ASK_WHILE_LOADING`, one provider call is made when the app is loaded. Run as a program with `LISTENING_FD`, the
number of a listening socket to serve, it serves until it is told to end.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import os
import signal
import time
from typing import Any

from flask import Flask

from payi_middleware import Settings
from tests.attribution.wsgi_app import Providers, everybody, make_app
from tests.attribution.wsgi_world import USERS


def _slowly(report: dict[str, Any]) -> dict[str, Any]:
    time.sleep(float(os.environ.get("SLOW_REPORTS", "0")))
    return report


def _loaded() -> Flask:
    providers = Providers(os.environ["STAND_IN_URL"])
    settings = Settings(redact=_slowly, header_wait=0.0, shutdown_timeout=30.0)
    made = make_app(providers, everybody(USERS), settings)
    if "ASK_WHILE_LOADING" in os.environ:
        providers.ask_openai("nobody")
    return made


app = _loaded()


def _serve_with_gevent() -> None:
    import socket

    import gevent
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(socket.socket(fileno=int(os.environ["LISTENING_FD"])), app, log=None)
    gevent.signal_handler(signal.SIGTERM, server.stop)
    server.serve_forever()


if __name__ == "__main__":
    _serve_with_gevent()
