"""axe-core finds no serious fault on any page, in either scheme: https://github.com/dequelabs/axe-core"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.dashboard.conftest import Site
from tests.dashboard.test_dashboard_sums import stored

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    "/",
    "/?period=24h",
    "/?user=alice&status=ok",
    "/?from=2020-01-01&to=2020-01-02",
    "/spend/users?period=90d",
    "/spend/steps",
    "/spend/models",
    "/requests",
    "/requests?sort=dearest&status=failed",
    "/requests/{request}",
    "/limits",
    "/limits/team",
    "/limits/trial%2F1",
    "/use-cases",
    "/use-cases/support-chat?period=90d",
    "/use-cases/support-chat/case%203%2F%CE%B2?period=90d",
    "/unknown",
    "/live",
    "/sign-in",
    "/requests/there-is-none",
)


def faults(page: Page) -> list[str]:
    page.evaluate(AXE)
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['html'][:200]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_serious_fault(browser: Page, shared: Site, path: str, scheme: Any) -> None:
    browser.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    browser.goto(shared.url + path.replace("{request}", stored(shared.ledger)[0]["request_id"]))
    for summary in browser.locator("summary").all():
        summary.click()
    assert faults(browser) == []
