"""Who gets in, and for how long."""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.dashboard import door
from payi_middleware.service.dashboard.door import COOKIE
from tests.dashboard.conftest import Site
from tests.service_api.serving import served

PAGES = ("/", "/spend/users", "/requests", "/limits", "/use-cases", "/unknown", "/live", "/live/rows", "/suggest/user")


def ask(url: str, path: str, headers: dict[str, str], method: str = "GET", body: str = "") -> tuple[int, str]:
    """Send a request with a Host of one's own, and return its answer's status and where it leads."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, path, body=body or None, headers={**form, **headers})
    answer = connection.getresponse()
    told = answer.status, answer.getheader("location") or ""
    connection.close()
    return told


@pytest.mark.parametrize("path", [*PAGES, "/export/users.csv", "/panel/users", "/requests/req_1", "/limits/team"])
def test_nothing_is_shown_to_who_has_not_signed_in(shared: Site, path: str) -> None:
    with shared.client() as client:
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
        assert "alice" not in answer.text


def test_a_key_opens_the_page_that_was_asked_for(site: Site) -> None:
    with site.client() as client:
        form = client.get(client.get("/spend/users?period=7d").headers["location"]).text
        wanted = re.search(r'name="next" value="([^"]+)"', form)
        assert wanted
        answer = client.post("/sign-in", data={"key": f" {site.key}\n", "next": wanted[1].replace("&amp;", "&")})
        assert (answer.status_code, answer.headers["location"]) == (303, "/spend/users?period=7d")
        assert client.get("/spend/users?period=7d").status_code == 200


@pytest.mark.parametrize("leads", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "x", ""])
def test_signing_in_never_leads_to_another_site(shared: Site, leads: str) -> None:
    with shared.client() as client:
        answer = client.post("/sign-in", data={"key": shared.key, "next": leads})
        assert answer.headers["location"] == "/"


def test_the_cookie_tells_no_secret_and_is_kept_from_scripts_and_other_sites(shared: Site) -> None:
    with shared.client() as client:
        answer = client.post("/sign-in", data={"key": shared.key})
        cookie = answer.headers["set-cookie"]
        assert shared.key.split("_", 2)[2] not in cookie
        for attribute in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={door.SESSION_SECONDS}"):
            assert attribute in cookie
        assert "Secure" not in cookie
        encrypted = client.post("/sign-in", data={"key": shared.key}, headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in encrypted.headers["set-cookie"]


@pytest.mark.parametrize("key", ["", "payi_x_y", "payi_", "ü", "\ud800", "x" * 5000, "{key}x"])
def test_a_wrong_key_is_refused_and_leaves_no_cookie(site: Site, key: str) -> None:
    with site.client() as client:
        body = "key=" + key.replace("{key}", site.key).encode("utf-8", "surrogatepass").decode("latin-1")
        answer = client.post(
            "/sign-in", content=body.encode("latin-1"), headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code in (401, 413)
        assert "set-cookie" not in answer.headers
        assert "payi_x_y" not in answer.text


def test_a_revoked_key_ends_its_sessions_at_once_and_no_others(site: Site) -> None:
    other = site.ledger.create_key("other", "default")
    with site.signed_in() as client, site.signed_in(other) as spared:
        assert client.get("/").status_code == 200
        names = [name for name, *_ in site.ledger.named_keys() if name != "other"]
        for name in names:
            site.ledger.revoke_key(name)
        assert client.get("/").status_code == 303
        assert spared.get("/").status_code == 200


def test_a_session_ends_when_it_is_old(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.signed_in() as client:
        monkeypatch.setattr(door, "SESSION_SECONDS", -1)
        assert client.get("/").status_code == 303


def test_a_cookie_that_was_tampered_with_opens_nothing(site: Site) -> None:
    other = site.ledger.create_key("other")
    with site.signed_in() as client, site.signed_in(other) as neighbour:
        own, foreign = client.cookies[COOKIE], neighbour.cookies[COOKIE]
    key_id, time, signature = own.split(".")
    forged = [
        f"{foreign.split('.')[0]}.{time}.{signature}",
        f"{key_id}.{foreign.split('.', 1)[1]}",
        f"{key_id}.{time}",
        f"{key_id}.{time}.{signature[:-2]}AA",
        f"{key_id}..",
        "....",
        "\u00fc",
    ]
    for value in forged:
        headers = {"Cookie": f"{COOKIE}={value}".encode().decode("latin-1")}
        assert ask(site.url, "/", headers)[0] == 303, value
    assert ask(site.url, "/", {"Cookie": f"{COOKIE}={own}"})[0] == 200


def test_sessions_are_good_in_every_process_on_the_same_database(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    with served(database) as first, served(database) as second:
        key = first.key()
        answer = httpx.post(f"{first.url}/sign-in", data={"key": key}, trust_env=False)
        cookies = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        assert ask(second.url, "/", cookies)[0] == 200


def test_signing_out_takes_the_cookie_away(site: Site) -> None:
    with site.signed_in() as client:
        assert client.post("/sign-out").headers["location"] == "/sign-in"
        assert client.get("/").status_code == 303


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}]
)
def test_forms_of_other_sites_are_refused(shared: Site, path: str, headers: dict[str, str]) -> None:
    with shared.signed_in() as client:
        assert client.post(path, data={"key": shared.key}, headers=headers).status_code == 403
        assert client.get("/").status_code == 200


def test_our_own_forms_are_taken(shared: Site) -> None:
    with shared.client() as client:
        answer = client.post("/sign-in", data={"key": shared.key}, headers={"Origin": shared.url})
        assert answer.status_code == 303


def test_who_tries_too_many_keys_has_to_wait_even_with_the_right_one(site: Site) -> None:
    with site.client() as client:
        told = [client.post("/sign-in", data={"key": f"payi_{number}_x"}).status_code for number in range(11)]
        assert told == [401] * 10 + [429]
        last = client.post("/sign-in", data={"key": site.key})
        assert last.status_code == 429
        assert 0 < int(last.headers["retry-after"]) <= 60


def test_every_answer_keeps_scripts_and_frames_of_others_out(shared: Site) -> None:
    with shared.signed_in() as client:
        for path in (
            *PAGES,
            "/sign-in",
            "/requests/none",
            "/assets/dashboard.css",
            "/assets/none",
            "/export/users.csv",
        ):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store" or path.startswith("/assets/d")


def test_a_link_from_another_site_has_the_browser_come_again_with_its_cookie(shared: Site) -> None:
    with shared.client() as client:
        answer = client.get("/limits?x=1", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
        assert answer.status_code == 200
        assert 'http-equiv="refresh"' in answer.text


def test_an_open_dashboard_is_for_this_machine_only(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path / 'payi.db'}", ServiceConfig(open_dashboard=True)) as service:
        port = urlsplit(service.url).port
        assert ask(service.url, "/", {})[0] == 200
        assert ask(service.url, "/", {"Host": f"localhost:{port}"})[0] == 200
        for headers in (
            {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": "[bad"},
            {"X-Forwarded-For": "203.0.113.7"},
            {"Forwarded": "for=203.0.113.7"},
            {"Via": "1.1 proxy"},
        ):
            assert ask(service.url, "/", headers)[0] == 303, headers
            assert ask(service.url, "/export/users.csv", headers)[0] == 303, headers


def test_the_dashboard_is_not_open_unless_that_was_asked_for(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path / 'payi.db'}") as service:
        assert ask(service.url, "/", {})[0] == 303
