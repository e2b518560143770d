"""The counters of deliveries as OpenTelemetry metrics, read by the real SDK.

Its meter provider can be set once in a process: each test has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.transport.serving import unused_port

_SCRIPT = """
import json, os, sys
import openai
import payi_middleware as payi
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()

def use_sdk():
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))

def call():
    with openai.OpenAI(base_url={url!r}, api_key="key") as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "hi"}}])

def told():
    data = reader.get_metrics_data()
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {{
        metric.name: {{
            "unit": metric.unit,
            "kind": type(metric.data).__name__,
            "monotonic": getattr(metric.data, "is_monotonic", None),
            "values": [[dict(point.attributes), point.value] for point in metric.data.data_points],
        }}
        for scope in scopes
        if scope.scope.name == "payi_middleware"
        for metric in scope.metrics
    }}

{body}
"""


def run(provider: Provider, body: str, **values: object) -> Any:
    script = _SCRIPT.format(url=provider.openai_url, body=body.format(**values))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return json.loads(done.stdout)


def values(told: dict[str, Any], destination: object) -> dict[str, float]:
    """Return the values by name; there must be one for each, of this destination."""
    assert {str(metric["values"][0][0]) for metric in told.values()} == {str({"payi.destination": str(destination)})}
    found = {}
    for name, metric in told.items():
        ((_, found[name.removeprefix("payi.reports.")]),) = metric["values"]
    return found


@pytest.mark.parametrize(("first", "second"), [("use_sdk()", ""), ("", "use_sdk()")], ids=["before", "after"])
def test_deliveries_are_counted_whenever_the_sdk_is_set_up(
    provider: Provider, ledger_path: Path, first: str, second: str
) -> None:
    body = """
{first}
meter = payi.instrument(payi.Settings(ledger={ledger!r}))
call()
call()
meter.flush(30)
{second}
print(json.dumps(told()))
"""
    told = run(provider, body, ledger=str(ledger_path), first=first, second=second)
    names = ("queued", "delivered", "retried", "refused", "dropped", "adopted", "oldest_age")
    assert set(told) == {f"payi.reports.{name}" for name in names}
    assert values(told, ledger_path) == {
        "queued": 0,
        "delivered": 2,
        "retried": 0,
        "refused": 0,
        "dropped": 0,
        "adopted": 0,
        "oldest_age": 0,
    }
    kinds = {
        name.removeprefix("payi.reports."): (told[name]["unit"], told[name]["kind"], told[name]["monotonic"])
        for name in told
    }
    assert kinds.pop("oldest_age") == ("s", "Gauge", None)
    assert kinds.pop("queued") == ("{report}", "Sum", False)
    assert set(kinds.values()) == {("{report}", "Sum", True)}


def test_an_outage_shows_as_reports_that_wait_and_grow_old(provider: Provider) -> None:
    body = """
use_sdk()
meter = payi.instrument(payi.Settings(base_url="http://127.0.0.1:{port}", shutdown_timeout=0))
call()
while not meter.stats()["retried"]:
    meter.flush(0.01)
print(json.dumps([told(), told()]))
"""
    with unused_port() as port:
        first, second = run(provider, body, port=port)
    before, after = (values(told, f"http://127.0.0.1:{port}") for told in (first, second))
    assert (before["queued"], before["delivered"], before["retried"] > 0) == (1, 0, True)
    assert 0 < before["oldest_age"] < after["oldest_age"]


def test_what_a_service_refuses_is_counted(provider: Provider, ingest: Ingest) -> None:
    ingest.mode = 400
    body = """
use_sdk()
meter = payi.instrument(payi.Settings(base_url={url!r}))
call()
meter.flush(30)
print(json.dumps(told()))
"""
    found = values(run(provider, body, url=ingest.url), ingest.url)
    assert (found["refused"], found["delivered"], found["queued"]) == (1, 0, 0)


def test_meters_of_one_destination_are_added_up_and_those_of_others_kept_apart(
    provider: Provider, tmp_path: Path
) -> None:
    body = """
use_sdk()
for ledger, header_wait in (({first!r}, 0), ({first!r}, 1), ({second!r}, 0)):
    meter = payi.instrument(payi.Settings(ledger=ledger, header_wait=header_wait))
    call()
payi.flush(30)
print(json.dumps(told()["payi.reports.delivered"]["values"]))
"""
    first, second = str(tmp_path / "first.db"), str(tmp_path / "second.db")
    found = run(provider, body, first=first, second=second)
    assert {attributes["payi.destination"]: value for attributes, value in found} == {first: 2, second: 1}


def test_the_child_of_a_fork_does_not_tell_its_parents_numbers(provider: Provider, ledger_path: Path) -> None:
    body = """
use_sdk()
meter = payi.instrument(payi.Settings(ledger={ledger!r}))
call()
meter.flush(30)
meter.close()
child = os.fork()
if not child:
    print(json.dumps(told()), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert values(run(provider, body, ledger=str(ledger_path)), ledger_path)["delivered"] == 0


def test_without_an_sdk_nothing_happens(provider: Provider, ledger_path: Path) -> None:
    script = f"""
import sys
sys.modules["opentelemetry.sdk"] = None
import openai, payi_middleware as payi
meter = payi.instrument(payi.Settings(ledger={str(ledger_path)!r}))
with openai.OpenAI(base_url={provider.openai_url!r}, api_key="key") as client:
    client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "hi"}}])
assert meter.flush(30)
print(meter.stats()["delivered"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
