"""Settings: arguments, environment variables, and the one error that says what is wrong."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from payi_middleware import Annotations, ConfigurationError, PayiError, Settings

SECRET = "sk-never-to-be-seen"
CASES: dict[str, tuple[str, Any, Any]] = {
    "enabled": ("false", False, False),
    "api_key": (SECRET, SECRET, SecretStr(SECRET)),
    "base_url": ("https://payi.example.com/", "https://payi.example.com", "https://payi.example.com"),
    "ledger": ("/tmp/ledger.db", "/tmp/ledger.db", Path("/tmp/ledger.db")),
    "headers": ("off", "off", "off"),
    "header_wait": ("0.5", 0.5, 0.5),
    "stream_wait": ("0.5", 0.5, 0.5),
    "trailers": ("off", False, False),
    "sse_summary": ("on", True, True),
    "results_path": ("/payi/", "/payi", "/payi"),
    "report": ("inline", "inline", "inline"),
    "inline_timeout": ("2", 2, 2.0),
    "trusted_proxies": (
        "10.0.0.0/8, ::1",
        ["10.0.0.0/8", ip_network("::1")],
        (ip_network("10.0.0.0/8"), ip_network("::1")),
    ),
    "user_id_header": ("X-User", "X-User", "X-User"),
    "session_id_header": ("X-Session", "X-Session", "X-Session"),
    "identity_max_length": ("64", 64, 64),
    "user_id_hmac_key": (SECRET, SECRET, SecretStr(SECRET)),
    "providers": (
        "LLM.internal=openai, 10.0.0.7:8080=anthropic",
        {"llm.internal": "openai", "10.0.0.7:8080": ("anthropic", None)},
        {"llm.internal": ("openai", None), "10.0.0.7:8080": ("anthropic", None)},
    ),
    "stream_usage": ("no", False, False),
    "log_prompt_and_response": ("1", True, True),
    "user_id": ("batch", "batch", "batch"),
    "account_name": ("acme", "acme", "acme"),
    "use_case_name": ("support-chat", "support-chat", "support-chat"),
    "use_case_version": ("3", 3, 3),
    "use_case_step": ("plan", "plan", "plan"),
    "use_case_properties": ("tier=gold, lang = en", {"tier": "gold", "lang": "en"}, {"tier": "gold", "lang": "en"}),
    "limit_ids": ("l1, l2,", ["l1", "l2"], ("l1", "l2")),
    "request_tags": ('["a", "b"]', ("a", "b"), ("a", "b")),
    "request_properties": ('{"plan": "pro", "x": null}', {"plan": "pro", "x": None}, {"plan": "pro", "x": None}),
    "mode": ("proxy", "proxy", "proxy"),
    "on_proxy_failure": ("fail", "fail", "fail"),
    "keep_xproxy_result": ("yes", True, True),
    "limits": ("off", "off", "off"),
    "limit_wait": ("0", 0, 0.0),
    "blocked_status": ("429", 429, 429),
    "redis_url": ("redis://r", SecretStr("redis://r"), SecretStr("redis://r")),
    "journal": ("/var/lib/payi", "/var/lib/payi", Path("/var/lib/payi")),
    "journal_max_bytes": ("2097152", 2 * 1024**2, 2 * 1024**2),
    "queue_size": ("5", 5, 5),
    "queue_bytes": ("2048", 2048, 2048),
    "ingest_timeout": ("1.5", 1.5, 1.5),
    "ingest_connections": ("2", 2, 2),
    "shutdown_timeout": ("0", 0, 0.0),
}
"""For each setting: the text of its variable, an argument of the same meaning, and the value of both."""


def redacted(item: dict[str, Any]) -> dict[str, Any]:
    return item


def test_every_setting_is_tested_here() -> None:
    assert set(CASES) == set(Settings.model_fields) - {"redact", "on_limit", "on_summary"}


@pytest.mark.parametrize("name", CASES)
def test_a_setting_is_read_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, _, value = CASES[name]
    monkeypatch.setenv(f"PAYI_{name.upper()}", text)

    assert getattr(Settings(), name) == value
    assert getattr(Settings(), name) != Settings.model_fields[name].get_default(call_default_factory=True)


@pytest.mark.parametrize("name", CASES)
def test_a_setting_is_taken_from_an_argument(name: str) -> None:
    _, argument, value = CASES[name]

    assert getattr(Settings(**{name: argument}), name) == value


@pytest.mark.parametrize("name", CASES)
def test_an_argument_wins_over_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, argument, value = CASES[name]
    monkeypatch.setenv(f"PAYI_{name.upper()}", "not even valid: \x01")

    assert getattr(Settings(**{name: argument}), name) == value


@pytest.mark.parametrize("name", CASES)
def test_a_blank_variable_counts_as_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PAYI_{name.upper()}", " ")

    assert Settings() == Settings.model_construct()


def test_callables_are_taken_as_arguments() -> None:
    def mode(original: Any) -> Any:
        return "off"

    settings = Settings(redact=redacted, headers=mode)

    assert settings.redact is redacted
    assert settings.headers is mode


def test_a_redaction_cannot_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_REDACT", "os.system")

    assert Settings().redact is None


def test_custom_hosts_may_name_their_category_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_PROVIDERS", '{"LLM.internal": ["anthropic", "my.category"]}')

    assert Settings().providers == {"llm.internal": ("anthropic", "my.category")}


@pytest.mark.parametrize("text", ["off", " OFF "])
def test_the_journal_can_be_switched_off(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_JOURNAL", text)

    assert Settings().journal == "off"
    assert Settings(journal=text).journal == "off"


def test_the_journal_is_where_the_user_s_programs_keep_their_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    journal = Settings().journal

    assert isinstance(journal, Path)
    assert journal.parts[-2:] == ("payi-middleware", "journal")
    assert sys.platform != "linux" or journal == tmp_path / "payi-middleware" / "journal"


def test_where_reports_go_follows_from_key_and_url() -> None:
    assert Settings().ingest_url is None
    assert Settings(base_url=None, api_key=None).ingest_url is None
    assert Settings(api_key="k").ingest_url == "https://api.pay-i.com"
    assert Settings(base_url="http://localhost:8000/").ingest_url == "http://localhost:8000"
    assert Settings(base_url="http://localhost:8000", api_key="k").ingest_url == "http://localhost:8000"


def test_defaults_annotate_calls_and_what_is_empty_says_nothing() -> None:
    assert Settings().default_annotations() == Annotations()
    given: dict[str, Any] = {
        "user_id": "batch",
        "account_name": "acme",
        "use_case_name": "chat",
        "use_case_version": 0,
        "use_case_step": "s",
        "use_case_properties": {"a": "1"},
        "limit_ids": ("l1",),
        "request_tags": ("t1",),
        "request_properties": {"b": "2"},
        "log_prompt_and_response": True,
    }
    assert Settings(**given).default_annotations() == Annotations(**given)


# --- what is wrong ---------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, Any, str]] = [
    ("base_url", "payi.example.com", "http or https"),
    ("base_url", "ftp://payi.example.com", "http or https"),
    ("base_url", "https://", "http or https"),
    ("base_url", "https://user:pa/ss@host", "http or https"),
    ("base_url", "http://localhost:99999", "http or https"),
    ("base_url", "https://user:secret@host", "user or password"),
    ("api_key", "", "at least 1"),
    ("base_url", 5, "http or https"),
    ("headers", "loud", "'summary' or 'off'"),
    ("header_wait", -0.1, "greater than or equal to 0"),
    ("header_wait", "soon", "valid number"),
    ("header_wait", float("nan"), "finite"),
    ("inline_timeout", float("inf"), "finite"),
    ("shutdown_timeout", -1, "greater than or equal to 0"),
    ("ingest_timeout", 0, "greater than 0"),
    ("report", "later", "'background' or 'inline'"),
    ("trusted_proxies", "10.0.0.1/8", "10.0.0.0/8"),
    ("trusted_proxies", ["my-proxy"], "'my-proxy' is no IP network"),
    ("trusted_proxies", 5, "not a list"),
    ("trusted_proxies", "[", "expecting value"),
    ("user_id_header", "X User", "pattern"),
    ("session_id_header", "", "pattern"),
    ("identity_max_length", 0, "greater than or equal to 1"),
    ("identity_max_length", 4097, "less than or equal to 4096"),
    ("providers", {"h": "telex"}, "write one of openai, anthropic, "),
    ("providers", {"h": ("openai", "a", "b")}, "'h' needs a wire format"),
    ("providers", {"h": 5}, "'h' needs a wire format"),
    ("providers", {"h": ("openai", 5)}, "valid string"),
    ("providers", "llm.internal", "write key=value"),
    ("providers", 5, "not a mapping"),
    ("use_case_name", "support chat", "pattern"),
    ("use_case_name", "x" * 65, "pattern"),
    ("use_case_version", "one", "valid integer"),
    ("use_case_properties", "tier", "write key=value"),
    ("use_case_properties", 5, "dictionary"),
    ("request_properties", "{", "expecting property name"),
    ("limit_ids", 5, "tuple"),
    ("journal", 5, "neither a directory nor off"),
    ("journal", "", "neither a directory nor off"),
    ("journal", "False", "neither a directory nor off"),
    ("journal_max_bytes", 1024, "greater than or equal to 1048576"),
    ("queue_size", 0, "greater than or equal to 1"),
    ("queue_bytes", 10, "greater than or equal to 1024"),
    ("ingest_connections", 65, "less than or equal to 64"),
    ("enabled", "perhaps", "valid boolean"),
    ("user_id", 5, "valid string"),
    ("redact", "not callable", "callable"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_wrong_setting_is_one_error_that_names_it_and_the_fix(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**{name: value})

    error = caught.value
    assert isinstance(error, (PayiError, ValueError))
    assert error.setting == name
    assert said in error.problem.lower() or said in error.problem
    assert error.fix
    assert str(error) == f"{name}: {error.problem}. {error.fix}"
    assert "\n" not in str(error)
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, value) for name, value, _ in WRONG if isinstance(value, str) and value.strip() and name != "redact"],
)
def test_a_wrong_variable_is_one_error_that_names_the_variable(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"PAYI_{name.upper()}", text)

    with pytest.raises(ConfigurationError) as caught:
        Settings()

    assert caught.value.setting == f"PAYI_{name.upper()}"


def test_an_unknown_setting_is_an_error_that_suggests_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"headr_wait: there is no such setting\. Did you mean header_wait\?"):
        Settings(headr_wait=1)


def test_an_unknown_setting_like_no_other_points_to_the_list() -> None:
    with pytest.raises(ConfigurationError, match=r"zzz: there is no such setting\. The settings are listed"):
        Settings(zzz=1)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PAYI_APIKEY", "PAYI_API_KEY"),
        ("PAYI_HEADER_WAITS", "PAYI_HEADER_WAIT"),
        ("PAYI_LIMIT_ID", "PAYI_LIMIT_IDS"),
        ("PAYI_USER_ID_HMACKEY", "PAYI_USER_ID_HMAC_KEY"),
    ],
)
def test_a_misspelt_variable_is_an_error_because_it_would_silently_do_nothing(
    misspelt: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(misspelt, SECRET)

    with pytest.raises(ConfigurationError) as caught:
        Settings()

    assert caught.value.setting == misspelt
    assert meant in caught.value.fix
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("variable", ["PAYI_CUSTOM_HEADERS", "PAYI_LOG", "PAYI_SOMETHING_ELSE_ENTIRELY", "PAYIX"])
def test_variables_of_others_disturb_nobody(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "X-Team: blue")

    assert Settings() == Settings.model_construct()


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = Settings(api_key=SECRET, user_id_hmac_key=SECRET)

    assert SECRET not in repr(settings) + str(settings)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    "wrong",
    [
        {"header_wait": -1},
        {"user_id": [SECRET]},
        {"base_url": f"htp://{SECRET}@host"},
        {"base_url": f"https://user:{SECRET}/@host"},
        {"user_id_hmac_key": {"key": SECRET}},
        {"api_key": SECRET.encode() * 2, "queue_size": 0},
        {"api_ky": SECRET},
    ],
)
def test_secrets_are_in_no_error(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**{"api_key": SECRET, **wrong})

    assert SECRET not in str(caught.value) + repr(caught.value)


# --- frozen ----------------------------------------------------------------------------------------------------------


def test_settings_cannot_be_changed() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.header_wait = 5.0
    assert settings.header_wait == 0.1


def test_what_the_caller_changes_later_changes_nothing() -> None:
    limits, hosts, properties = ["l1"], {"h": "openai"}, {"a": "1"}
    settings = Settings(limit_ids=limits, providers=hosts, request_properties=properties)

    limits.append("l2")
    hosts["i"] = "anthropic"
    properties["a"] = "2"

    assert settings.limit_ids == ("l1",)
    assert settings.providers == {"h": ("openai", None)}
    assert settings.request_properties == {"a": "1"}


def test_equal_settings_are_equal_wherever_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(providers={"H": "openai"}, limit_ids=["l1"], api_key="k")
    monkeypatch.setenv("PAYI_PROVIDERS", "h=openai")
    monkeypatch.setenv("PAYI_LIMIT_IDS", "l1")
    monkeypatch.setenv("PAYI_API_KEY", "k")

    assert Settings() == given
    assert pickle.loads(pickle.dumps(given)) == given
