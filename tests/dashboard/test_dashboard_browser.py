"""The dashboard in a real browser: seen, clicked, filtered, exported."""

from __future__ import annotations

import csv
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from payi_middleware.service.dashboard.formatting import money
from tests.dashboard.conftest import Site
from tests.dashboard.test_dashboard_sums import stored
from tests.dashboard.world import LONG


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_a_wrong_key_is_told_and_the_right_one_leads_where_one_wanted_to_go(
    context: BrowserContext, shared: Site
) -> None:
    page = context.new_page()
    page.goto(f"{shared.url}/limits")
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_label("API key").fill(shared.key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{shared.url}/limits")
    expect(page.get_by_role("heading", name="Limits", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(f"{shared.url}/")
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_overview_shows_sums_a_chart_and_who_spent_most(browser: Page, shared: Site) -> None:
    tiles = browser.get_by_role("list", name="Sums").get_by_role("listitem")
    expect(tiles).to_have_count(5)
    chart = browser.get_by_role("img", name=re.compile("Spend by model"))
    expect(chart).to_be_visible()
    painted = chart.evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte)"
    )
    assert painted
    expect(browser.get_by_role("region", name="By user").get_by_role("row")).to_have_count(6)


def test_the_chart_s_table_adds_up_to_what_is_above_it(browser: Page) -> None:
    browser.get_by_text("The same as a table").click()
    amounts = browser.locator("#chart-data td[data-value]").evaluate_all("cells => cells.map(c => c.dataset.value)")
    told = browser.get_by_role("list", name="Sums").get_by_role("listitem").first.locator(".value").inner_text()
    assert money(sum(map(Decimal, amounts), Decimal())) == told


def test_a_name_that_is_clicked_becomes_a_filter_and_its_chip_takes_it_off(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/?period=90d")
    browser.get_by_role("region", name="By use case").get_by_role("link", name="support-chat").click()
    expect(browser.get_by_role("list", name="Filters in force")).to_contain_text("support-chat")
    assert query(browser) == {"period": ["90d"], "use_case": ["support-chat"]}
    browser.get_by_role("region", name="By model").get_by_role("link", name="gpt-4o-mini").click()
    assert query(browser)["resource"] == ["gpt-4o-mini"]
    by_user = browser.get_by_role("region", name="By user")  # comes later: no sums are kept by three names
    expect(by_user).to_be_visible()
    wanted = [
        row
        for row in stored(shared.ledger)
        if (row["use_case_name"], row["resource"]) == ("support-chat", "gpt-4o-mini")
    ]
    counts = Counter(row["user_id"] or "(no user)" for row in wanted)
    shown = dict(
        zip(*(by_user.locator(cells).all_inner_texts() for cells in ("tbody th", "tbody td:last-child")), strict=True)
    )
    assert len(shown) == 5
    assert {name: int(count) for name, count in shown.items() if name in counts}.items() <= counts.items()
    assert len(shown.keys() & counts.keys()) >= 4
    browser.get_by_role("link", name="Take off the filter by use case").click()
    assert "use_case" not in query(browser)
    browser.get_by_role("link", name="Clear all").click()
    assert query(browser) == {"period": ["90d"]}


def test_the_form_filters_offers_names_and_leaves_empty_fields_out_of_the_address(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/requests?period=90d")
    browser.get_by_text("Dates and filters").click()
    browser.get_by_label("User").press_sequentially("ali")
    expect(browser.locator("#names-user option")).to_have_count(1)
    expect(browser.locator("#names-user option")).to_have_attribute("value", "alice")
    browser.get_by_label("User").fill("alice")
    browser.get_by_label("Status").select_option("failed")
    browser.get_by_role("button", name="Apply").click()
    expect(browser.get_by_role("list", name="Filters in force")).to_contain_text("alice")
    assert query(browser) == {"period": ["90d"], "user": ["alice"], "status": ["failed"]}
    wanted = [row for row in stored(shared.ledger) if row["failed"] and row["user_id"] == "alice"]
    expect(browser.locator("tbody tr")).to_have_count(len(wanted))


def test_a_period_can_be_chosen_by_name_and_by_days(browser: Page, shared: Site) -> None:
    browser.get_by_role("group", name="Period").get_by_role("link", name="7 days").click()
    expect(browser.get_by_role("heading", name="Last 7 days")).to_be_visible()
    browser.get_by_text("Dates and filters").click()
    browser.get_by_label("From").fill("2026-01-02")
    browser.get_by_label("To", exact=True).fill("2026-01-03")
    browser.get_by_role("button", name="Apply").click()
    expect(browser.get_by_role("heading", level=1)).to_have_text("2 Jan 2026 \N{EN DASH} 3 Jan 2026")
    expect(browser.get_by_text("No request in this period")).to_be_visible()


def test_a_table_is_sorted_by_its_headings_and_turned_page_by_page(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/spend/users?period=90d")
    browser.get_by_role("columnheader", name="Requests").get_by_role("link").click()
    expect(browser.get_by_role("columnheader", name="Requests")).to_have_attribute("aria-sort", "descending")
    counts = [int(text) for text in browser.locator("tbody tr td:nth-child(5)").all_inner_texts() if text.isdigit()]
    assert counts == sorted(counts, reverse=True)
    browser.goto(f"{shared.url}/requests?period=90d")
    links = "links => links.map(link => link.href)"
    first = browser.locator("tbody th a").evaluate_all(links)
    browser.get_by_role("link", name="More").click()
    expect(browser.get_by_role("link", name="Back")).to_be_visible()
    assert not set(first) & set(browser.locator("tbody th a").evaluate_all(links))


def test_a_file_is_downloaded_with_what_is_on_the_page(browser: Page, shared: Site, tmp_path: Path) -> None:
    browser.goto(f"{shared.url}/spend/models?period=90d")
    with browser.expect_download() as waiting:
        browser.get_by_role("link", name="CSV file of spend by model").click()
    waiting.value.save_as(tmp_path / "models.csv")
    assert waiting.value.suggested_filename == "models.csv"
    with (tmp_path / "models.csv").open(encoding="utf-8-sig", newline="") as file:
        told = [row["resource"] for row in csv.DictReader(file)]
    assert told == browser.locator(".panel:not(.chart) tbody th").all_inner_texts()


def test_one_request_shows_its_units_costs_limits_and_properties(browser: Page, shared: Site) -> None:
    row = next(row for row in stored(shared.ledger) if row["limits"] and row["units"] and row["resource_id"])
    browser.goto(f"{shared.url}/requests/{row['request_id']}")
    units = browser.get_by_role("region", name="Units and cost")
    expect(units).to_contain_text("text")
    expect(units).to_contain_text(f"{row['input_tokens']:,}")
    expect(units).to_contain_text("$")
    expect(browser.get_by_role("region", name="Limits")).to_contain_text("team")
    expect(browser.get_by_role("region", name="Request properties")).to_contain_text(row["properties"]["ticket"])
    expect(browser.get_by_text("nightly")).to_be_visible()
    browser.get_by_role("region", name="Limits").get_by_role("link", name="team").click()
    expect(browser.get_by_role("heading", name="Team budget")).to_be_visible()


def test_a_limit_shows_how_much_of_it_is_used_and_its_resets(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/limits")
    trial = browser.get_by_role("listitem").filter(has_text="Trial")
    expect(trial.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"% of \$0\.0500 spent"))
    expect(trial.get_by_text("blocking")).to_be_visible()
    trial.get_by_role("link", name="Trial").click()
    expect(browser.get_by_role("heading", level=1)).to_have_text("Trial")
    expect(browser.get_by_text("It was never reset.")).to_be_visible()


def test_a_use_case_shows_its_steps_and_instances(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/use-cases?period=90d")
    browser.get_by_role("row", name=re.compile("support-chat")).get_by_role("link").click()
    expect(browser.get_by_role("region", name="By step")).to_contain_text("classify")
    browser.get_by_role("region", name="Instances").get_by_role("link", name="case 3/β").click()
    expect(browser.get_by_role("heading", level=1)).to_contain_text("case 3/β")
    expect(browser.get_by_role("region", name="Its requests").get_by_role("row").nth(1)).to_be_visible()


def test_models_without_a_price_are_pointed_out(browser: Page) -> None:
    browser.get_by_role("link", name="See which").click()
    expect(browser.get_by_role("region", name="Models without a known price")).to_contain_text("llama/7b")


def test_names_from_outside_are_shown_as_they_are_and_run_nothing(browser: Page, shared: Site) -> None:
    browser.on("dialog", lambda dialog: pytest.fail(dialog.message))
    browser.goto(f"{shared.url}/spend/users?period=90d")
    expect(browser.get_by_role("link", name="<script>alert(1)</script>")).to_be_visible()
    long = browser.get_by_role("link", name=re.compile("^a-very-long"))
    expect(long).to_have_attribute("title", LONG)
    assert len(long.inner_text()) < len(LONG)


def test_what_comes_in_appears_on_the_live_page_and_not_while_it_is_paused(browser: Page, shared: Site) -> None:
    browser.goto(f"{shared.url}/live")
    item = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 7}}}
    shared.ledger.ingest({**item, "user_id": "somebody new"})
    expect(browser.get_by_role("link", name="somebody new").first).to_be_visible()
    browser.get_by_role("button", name="Pause").click()
    expect(browser.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    shared.ledger.ingest({**item, "user_id": "somebody later"})
    browser.get_by_role("button", name="Pause").click()
    expect(browser.get_by_role("link", name="somebody later")).to_be_visible()


def test_the_colours_follow_the_system_until_they_are_switched_and_then_that_is_remembered(browser: Page) -> None:
    def ground() -> str:
        return str(browser.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    browser.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    browser.get_by_role("button", name="Switch to light colours").click()
    assert ground() == light
    browser.reload()
    assert ground() == light
    browser.get_by_role("button", name="Switch to dark colours").click()
    browser.emulate_media(color_scheme="light")
    assert ground() == dark


def test_the_keyboard_leads_to_the_content_first_and_everything_that_has_the_focus_shows_it(browser: Page) -> None:
    browser.keyboard.press("Tab")
    expect(browser.get_by_role("link", name="Skip to the content")).to_be_focused()
    browser.keyboard.press("Enter")
    expect(browser.locator("main")).to_be_focused()
    for _ in range(12):
        browser.keyboard.press("Tab")
        outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", browser.evaluate("document.activeElement.outerHTML")


@pytest.mark.parametrize("path", ["/", "/spend/users", "/requests", "/limits/team", "/use-cases/support-chat", "/live"])
def test_no_page_is_wider_than_a_phone(browser: Page, shared: Site, path: str) -> None:
    browser.set_viewport_size({"width": 390, "height": 844})
    browser.goto(f"{shared.url}{path}")
    assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_pages_work_without_scripts(chromium: Browser, shared: Site) -> None:
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{shared.url}/sign-in")
        page.get_by_label("API key").fill(shared.key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("The same as a table").click()
        expect(page.locator("#chart-data")).to_be_visible()
        page.get_by_text("Dates and filters").click()
        page.get_by_role("combobox", name="User").fill("alice")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_role("list", name="Filters in force")).to_contain_text("alice")
