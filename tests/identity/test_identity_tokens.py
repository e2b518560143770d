"""JSON Web Tokens: a valid signature is an identity wherever the request came from, anything else is none."""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

import jwt
import pytest

from payi_middleware.annotations import NOTHING
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.identity import JWT

from .web_request import STRANGER, WebRequest, who

SECRET = "a secret of at least sixty-four bytes, long enough for any of them"
OTHER = "another secret of at least sixty-four bytes, as long as the first"


def bearer(claims: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode(claims, key, algorithm, headers={"kid": "k1"})}


def test_a_valid_token_needs_no_trusted_peer() -> None:
    request = WebRequest(bearer({"sub": "alice", "sid": "s1", "org": "acme", "exp": time.time() + 60}), STRANGER)

    found = who(request, [JWT(SECRET, ["HS256"], account_claim="org")])

    assert (found.user_id, found.session_id, found.account_name) == ("alice", "s1", "acme")


@pytest.mark.parametrize(
    "headers",
    [
        bearer({"sub": "mallory"}, OTHER),
        bearer({"sub": "mallory", "exp": 1}),
        bearer({"sub": "mallory", "nbf": 10**11}),
        bearer({"sub": "mallory", "aud": "another app"}),
        bearer({"sub": "mallory"}, algorithm="HS512"),
        {"Authorization": "Bearer " + jwt.encode({"sub": "mallory"}, "", "none")},
        {"Authorization": "Basic bWFsbG9yeTp4"},
        {"Authorization": jwt.encode({"sub": "mallory"}, SECRET)},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer josé"},
        {"Authorization": "Bearer \ud800"},
        {"Authorization": "Bearer " + "x" * 100_000},
        {},
    ],
)
def test_any_other_token_is_no_identity_and_no_error(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert who(WebRequest(headers), [JWT(SECRET, ["HS256"])]) is NOTHING
    assert not caplog.records


def test_a_token_nested_without_end_is_skipped() -> None:
    header = base64.urlsafe_b64encode(b"[" * 90_000).decode().rstrip("=")

    assert who(WebRequest({"Authorization": f"Bearer {header}.e30.AA"}), [JWT(SECRET, ["HS256"])]) is NOTHING


def test_audience_and_issuer_are_checked() -> None:
    source = JWT(SECRET, ["HS256"], audience="app", issuer="idp")

    assert who(WebRequest(bearer({"sub": "a", "aud": "app", "iss": "idp"})), [source]).user_id == "a"
    assert who(WebRequest(bearer({"sub": "a", "aud": "app", "iss": "evil"})), [source]) is NOTHING
    assert who(WebRequest(bearer({"sub": "a", "aud": "b", "iss": "idp"})), [source]) is NOTHING
    assert who(WebRequest(bearer({"sub": "a", "iss": "idp"})), [source]) is NOTHING


def test_the_app_names_the_claims_and_numbers_become_text() -> None:
    source = JWT(SECRET, ["HS256"], user_claim="uid", session_claim=None)
    request = WebRequest(bearer({"uid": 7, "sub": "x", "sid": "s1"}))

    assert (who(request, [source]).user_id, who(request, [source]).session_id) == ("7", None)
    assert who(WebRequest(bearer_with_number())).user_id is None
    assert who(WebRequest(bearer_with_number()), [JWT(SECRET, ["HS256"])]).user_id == "7"


def bearer_with_number() -> dict[str, str]:
    payload = json.dumps({"sub": 7}).encode()
    return {"Authorization": "Bearer " + jwt.api_jws.encode(payload, SECRET, "HS256")}


@pytest.mark.parametrize("claim", [["a"], {"a": "b"}, True, None, ""])
def test_a_claim_that_can_be_no_id_names_nobody(claim: object) -> None:
    assert who(WebRequest(bearer({"uid": claim})), [JWT(SECRET, ["HS256"], user_claim="uid")]) is NOTHING


def test_the_token_may_be_in_another_header_or_a_cookie() -> None:
    token = jwt.encode({"sub": "alice"}, SECRET)
    bare = JWT(SECRET, ["HS256"], header="X-Assertion", cookie="access")

    for headers in (
        {"X-Assertion": token},
        {"X-Assertion": f"Bearer {token}"},
        {"Cookie": f'a=b; bad; access="{token}"; c=d'},
        {"Cookie": f"access={token}"},
    ):
        assert who(WebRequest(headers), [bare]).user_id == "alice"
    assert who(WebRequest({"Cookie": f"xaccess={token}"}), [bare]) is NOTHING
    both = WebRequest({"Authorization": "Basic x:y", "Cookie": f"access={token}"})
    assert who(both, [JWT(SECRET, ["HS256"], cookie="access")]).user_id == "alice"


def test_the_key_may_be_looked_up_by_the_tokens_header(caplog: pytest.LogCaptureFixture) -> None:
    keys = {"k1": SECRET}
    source = JWT(lambda header: keys[header["kid"]], ["HS256"])

    assert who(WebRequest(bearer({"sub": "alice"})), [source]).user_id == "alice"
    keys.clear()
    assert who(WebRequest(bearer({"sub": "alice"})), [source]) is NOTHING
    assert "JWT" in caplog.text


def test_a_jwk_is_a_key_too() -> None:
    key = jwt.PyJWK({"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")})

    assert who(WebRequest(bearer({"sub": "alice"})), [JWT(key, ["HS256"])]).user_id == "alice"


@pytest.mark.parametrize(
    ("key", "algorithms", "said"),
    [
        (SECRET, [], "not a list of algorithms"),
        (SECRET, "HS256", "not a list of algorithms"),
        (SECRET, ["none"], "'none' accepts tokens that anybody can write"),
        (SECRET, ["HS256", "None"], "'none' accepts tokens that anybody can write"),
        (SECRET, ["HS25"], "not available"),
        ("", ["HS256"], "it is empty"),
        (None, ["HS256"], "it is empty"),
        ("-----BEGIN PUBLIC KEY-----\nMFk=\n-----END PUBLIC KEY-----", ["HS256"], "does not suit HS256"),
    ],
)
def test_a_configuration_that_lets_anybody_or_nobody_in_is_refused(key: Any, algorithms: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        JWT(key, algorithms)


def test_secrets_and_key_pairs_cannot_be_mixed_or_the_missing_library_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"must not be mixed|payi-middleware\[jwt\]"):
        JWT(SECRET, ["HS256", "RS256"])


def test_without_pyjwt_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "jwt"]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ConfigurationError, match=r"pip install 'payi-middleware\[jwt\]'"):
        JWT(SECRET, ["HS256"])


def test_the_key_is_not_in_the_repr() -> None:
    assert SECRET not in repr(JWT(SECRET, ["HS256"]))
