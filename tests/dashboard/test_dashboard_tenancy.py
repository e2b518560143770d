"""A second key sees nothing of the first."""

from __future__ import annotations

import re

import pytest

from payi_middleware.service.dashboard.site import EXPORTS
from tests.dashboard.conftest import Site

PAGES = (
    "/",
    "/?user=alice",
    "/?status=failed",
    *(f"/spend/{path}" for path in ("users", "accounts", "use-cases", "steps", "models", "categories")),
    "/requests",
    "/requests?sort=dearest",
    "/requests?sort=slowest",
    "/requests?limit=team",
    "/limits",
    "/use-cases",
    "/unknown",
    "/live",
    "/live/rows",
    "/panel/users?user=alice&use_case=support-chat",
    "/suggest/user?user=a",
    "/suggest/resource?resource=gpt",
)
SECRETS = ("alice", "acme", "support-chat", "gpt-4o", "llama", "Team budget", "trial/1", "T-1", "req_")
"""What is in the first one's books."""


def shown(text: str) -> str:
    """Return a page without what was asked for: its links and filters repeat that."""
    text = re.sub(r'(?:href|value|action|hx-get|aria-label|title)="[^"]*"', "", text)
    return re.sub(r'<ul class="chips".*?</ul>', "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_shows_anything_of_another_application(shared: Site, path: str) -> None:
    with shared.signed_in(shared.service.key("stranger")) as stranger:
        answer = stranger.get(path)
        assert answer.status_code == 200
        assert [secret for secret in SECRETS if secret in shown(answer.text)] == []


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_no_file_has_anything_of_another_application(shared: Site, name: str) -> None:
    with shared.signed_in() as owner:
        request_id = re.findall(r'href="/requests/(req_[^"]+)"', owner.get("/requests").text)[0]
    query = {
        "users": "",
        "limit-users": "?limit=team",
        "limit-history": "?limit=team",
        "limit-requests": "?limit=team",
        "kpis": "?use_case=support-chat",
        "instances": "?use_case=support-chat",
    }.get(name, "")
    if name.startswith("request-"):
        query = f"?request={request_id}"
    with shared.signed_in(shared.service.key("stranger")) as stranger:
        if query.startswith("?request"):
            assert stranger.get(f"/export/{name}.csv{query}").status_code == 404
            return
        answer = stranger.get(f"/export/{name}.csv{query}")
        assert answer.status_code == 200
        header, *rows = answer.text.splitlines()
        assert header
        assert rows == [] or name == "spend-over-time"
        assert [secret for secret in SECRETS if secret in "".join(rows)] == []


def test_what_belongs_to_another_application_is_not_found_under_its_own_address(shared: Site) -> None:
    with shared.signed_in() as owner, shared.signed_in(shared.service.key("stranger")) as stranger:
        request_id = re.findall(r'href="/requests/(req_[^"]+)"', owner.get("/requests").text)[0]
        for path in (
            f"/requests/{request_id}",
            "/limits/team",
            "/limits/trial%2F1",
            "/use-cases/support-chat",
            "/use-cases/support-chat/case%203%2F%CE%B2",
        ):
            assert owner.get(path).status_code == 200, path
            answer = stranger.get(path)
            assert answer.status_code == 404, path
            assert [secret for secret in SECRETS if secret in shown(answer.text)] == []
