"""Settings: one frozen value, from arguments first and `PAYI_*` environment variables second.

This is the only reader of the process environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from .annotations import NOTHING, Annotations, Properties, ReportMode
from .exceptions import ConfigurationError

PREFIX = "PAYI_"
HOSTED_URL = "https://api.pay-i.com"
FOREIGN_VARIABLES = frozenset({"PAYI_CUSTOM_HEADERS", "PAYI_LOG"})
"""Variables of Pay-i's own SDK that mean nothing here."""

Network = IPv4Network | IPv6Network
HeadersMode = Literal["summary", "off"]
WIRE_FAMILIES = (
    "openai",
    "anthropic",
    "alephalpha",
    "bedrock",
    "cohere",
    "deepgram",
    "google",
    "huggingface",
    "mistral",
    "ollama",
    "replicate",
    "sagemaker",
    "voyage",
    "watsonx",
)
"""What a custom host may speak: its own paths, and OpenAI's chat in all cases but Anthropic's."""


def _split(value: Any) -> Any:
    """Read a list from an environment variable: JSON, or items separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _mapping(value: Any) -> Any:
    """Read a mapping from an environment variable: JSON, or `key=value` pairs separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if bad := [key for key, equals, _ in pairs if not equals]:
        raise ValueError(f"{bad[0].strip()!r} has no value; write key=value")
    return {key.strip(): item.strip() for key, _, item in pairs}


def _networks(value: Any) -> Any:
    networks = []
    items = _split(value)
    if not isinstance(items, Iterable):
        raise ValueError("not a list of IP networks; write them like 10.0.0.0/8, 127.0.0.1")
    for item in items:
        try:
            networks.append(item if isinstance(item, Network) else ip_network(str(item)))
        except ValueError as error:
            raise ValueError(f"{item!r} is no IP network ({error}); write it like 10.0.0.0/8 or 127.0.0.1") from None
    return tuple(networks)


def _url(value: Any) -> Any:
    if value is None:
        return None
    parts = urlsplit(str(value))
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_valid_port(parts):
        raise ValueError(f"not an http or https URL; write it like {HOSTED_URL}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user or password, which would show in logs; the key goes into api_key")
    return str(value).rstrip("/")


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # its text is not repeated: it may be the rest of a password
        return False


def _providers(value: Any) -> Any:
    rows: dict[str, tuple[str, str | None]] = {}
    given = _mapping(value)
    if not isinstance(given, Mapping):
        raise ValueError("not a mapping; write it like {'llm.internal': 'openai'}")
    for host, family in given.items():
        row = (family, None) if isinstance(family, str) else family
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise ValueError(f"{host!r} needs a wire format, or a pair of wire format and category")
        wire, category = row
        if wire not in WIRE_FAMILIES:
            raise ValueError(f"{wire!r} is no wire format known here; write one of {', '.join(WIRE_FAMILIES)}")
        rows[str(host).lower()] = (wire, category)
    return MappingProxyType(rows)


def _path(value: Any) -> Any:
    if value is None:
        return None
    path = str(value).strip().rstrip("/")
    if not path.startswith("/") or re.search(r"[^\w/.~-]|//", path):
        raise ValueError("not the path of a URL; write it like /payi")
    return path


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _journal(value: Any) -> Any:
    text = str(value).strip() if isinstance(value, str | Path) else ""
    if text.lower() in ("", ".", *_SWITCHES):
        raise ValueError("neither a directory nor off; write a path like /var/lib/payi/journal, or off")
    return "off" if text.lower() == "off" else Path(text)


def _state_directory() -> Path:
    from platformdirs import user_state_path

    return user_state_path("payi-middleware", appauthor=False) / "journal"


_CODE = frozenset({"redact", "on_limit", "on_summary"})
"""Settings that no text can say."""
_SWITCHES = ("on", "yes", "no", "true", "false", "none", "0", "1")
"""What somebody may write who takes the journal for a switch; a directory of that name would help nobody."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """How the middleware behaves. Every field can come from an environment variable: `header_wait` from
    `PAYI_HEADER_WAIT`. Lists are comma-separated there, mappings `key=value` pairs or JSON.

    Args:
        enabled: False turns everything off: requests and provider calls pass through untouched.
        api_key: Pay-i's API key.
        base_url: Pay-i's address, or that of a self-hosted service; https://api.pay-i.com if only the key is given.
        ledger: the embedded ledger's SQLite file, used when neither `api_key` nor `base_url` is set.
        headers: "summary" adds the `X-Payi-*` response headers, "off" adds none; a callable is given the ASGI scope
            or WSGI environ of each request and returns one of the two.
        header_wait: seconds that the start of a response may wait for results that are not in yet; 0 never waits.
        stream_wait: the same for what follows the last byte of a streamed body, and for `on_summary`.
        trailers: send the summary of a streamed response as HTTP trailers, to clients that say `TE: trailers`, where
            the server knows how.
        sse_summary: send it as the last event of `text/event-stream` responses; a callable is given the ASGI scope or
            WSGI environ of each request and returns whether to.
        on_summary: called as `on_summary(summary)` or `on_summary(summary, scope_or_environ)` when a request that made
            provider calls is over, background tasks included; `async def` is awaited, on ASGI only.
        results_path: answer `GET <results_path>/results/<id>` with the summary of an earlier request of the same user.
        report: "background" reports after the provider's answer was handed over; "inline" holds the answer until
            the result is in.
        inline_timeout: seconds that "inline" may hold an answer.
        trusted_proxies: the networks of the direct peers whose identity headers count.
        user_id_header, session_id_header: the names of the plain identity headers.
        identity_max_length: characters that an identity value may have; a longer one is dropped.
        user_id_hmac_key: if set, user ids leave the process only as HMAC-SHA256 of this key, in hex.
        providers: custom hosts (`host` or `host:port`) and the wire format they speak, with a category if wanted:
            `{"llm.internal": "openai", "10.0.0.7:8080": ("anthropic", "my.category")}`.
        stream_usage: ask streams that tell their usage only if asked (OpenAI's chat completions) for it, and take what
            that adds out again.
        log_prompt_and_response: send prompts and answers along with the reports.
        redact: given the report's body before it leaves, returns the one to send; if it raises, nothing is sent.
        user_id, account_name, use_case_name, use_case_version, use_case_step, use_case_properties, limit_ids,
        request_tags, request_properties: what calls are annotated with unless something more specific says otherwise.
        mode: "direct" calls providers directly; "proxy" routes calls through Pay-i, which can refuse them; "auto"
            routes those that a limit of type block is in force for. `track_context(proxy=True)` (or False) wins.
        on_proxy_failure: what becomes of a call when Pay-i cannot be reached: "direct" makes it directly, "fail" lets
            it fail; None fails those that a limit of type block is in force for, and makes the others.
        keep_xproxy_result: leave Pay-i's `xproxy_result` in the answers of routed calls.
        limits: "enforce" refuses calls that a block limit has no room for; "off" leaves limits to the service.
        limit_wait: seconds that a call may wait for room in a limit, or for its state to be known; 0 never waits.
        on_limit: called as `on_limit(state, limit, call)` for a call whose limit is exceeded, overrun or blocked;
            returns a model to ask for instead, True to let the call pass, or None.
        blocked_status: 402 or 429 answers web requests with that status, before the app sees them, as long as a limit
            which their calls would name is reached.
        redis_url: where processes share limits out among them, if the service does not: `redis://host:6379/0`.
        journal: the directory where reports are kept until they are delivered, so that they survive the process;
            "off" keeps them in memory only.
        journal_max_bytes: what the reports that wait there may take, in bytes; beyond it the oldest that were refused
            for good go first.
        queue_size: reports that may wait in memory, where the journal cannot be used; beyond it the oldest is dropped
            and counted.
        queue_bytes: bytes of request and response bodies that may wait in memory.
        ingest_timeout: seconds that one delivery attempt may take.
        ingest_connections: deliveries under way at once.
        shutdown_timeout: seconds that a shutdown may wait for undelivered reports.

    Raises:
        ConfigurationError: names the setting and the fix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    enabled: bool = True
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    base_url: Annotated[str | None, BeforeValidator(_url)] = None
    ledger: Path = Path("payi.db")
    headers: HeadersMode | Callable[[Any], HeadersMode] = "summary"
    header_wait: Seconds = 0.1
    stream_wait: Seconds = 1.0
    trailers: bool = True
    sse_summary: bool | Callable[[Any], bool] = False
    on_summary: Callable[..., Any] | None = None
    results_path: Annotated[str | None, BeforeValidator(_path)] = None
    report: ReportMode = "background"
    inline_timeout: Seconds = 5.0
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = (
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    )
    user_id_header: str = Field("X-User-ID", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    session_id_header: str = Field("X-Session-ID", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    identity_max_length: int = Field(256, ge=1, le=4096)
    user_id_hmac_key: SecretStr | None = None
    providers: Annotated[Mapping[str, tuple[str, str | None]], BeforeValidator(_providers)] = Field(
        default_factory=dict
    )
    stream_usage: bool = True
    log_prompt_and_response: bool = False
    redact: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    user_id: str | None = None
    account_name: str | None = None
    use_case_name: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: Annotated[Properties | None, BeforeValidator(_mapping)] = None
    limit_ids: Texts = ()
    request_tags: Texts = ()
    request_properties: Annotated[Properties | None, BeforeValidator(_mapping)] = None
    mode: Literal["direct", "proxy", "auto"] = "direct"
    on_proxy_failure: Literal["direct", "fail"] | None = None
    keep_xproxy_result: bool = False
    limits: Literal["enforce", "off"] = "enforce"
    limit_wait: Seconds = 5.0
    on_limit: Callable[[str, Any, Any], str | bool | None] | None = None
    blocked_status: Annotated[Literal[402, 429] | None, BeforeValidator(_number)] = None
    redis_url: SecretStr | None = None
    journal: Annotated[Literal["off"] | Path, BeforeValidator(_journal)] = Field(default_factory=_state_directory)
    journal_max_bytes: int = Field(1024**3, ge=1024**2)
    queue_size: int = Field(10_000, ge=1)
    queue_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    ingest_timeout: float = Field(10.0, gt=0, allow_inf_nan=False)
    ingest_connections: int = Field(8, ge=1, le=64)
    shutdown_timeout: Seconds = 5.0

    def __init__(self, **values: Any) -> None:
        environment = _from_environment(values)
        try:
            super().__init__(**environment, **values)
        except ValidationError as error:
            raise _explained(error, values) from None

    @property
    def ingest_url(self) -> str | None:
        """The Pay-i service to report to; None means the embedded ledger."""
        return self.base_url or (HOSTED_URL if self.api_key is not None else None)

    @property
    def tells_results(self) -> bool:
        """Whether results are told to anybody but those who wait for them."""
        told = self.headers != "off" or self.sse_summary or self.on_summary or self.results_path
        return bool(told)

    def default_annotations(self) -> Annotations:
        """What calls are annotated with unless something more specific says otherwise."""
        told = Annotations(
            user_id=self.user_id,
            account_name=self.account_name,
            use_case_name=self.use_case_name,
            use_case_version=self.use_case_version,
            use_case_step=self.use_case_step,
            use_case_properties=self.use_case_properties or None,
            limit_ids=self.limit_ids or None,
            request_tags=self.request_tags or None,
            request_properties=self.request_properties or None,
            log_prompt_and_response=self.log_prompt_and_response or None,
        )
        return NOTHING if told == NOTHING else told  # of which it is known that there is nothing in it


def _from_environment(given: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the `PAYI_*` variables; a misspelt one is an error, because it would silently do nothing."""
    names = {PREFIX + name.upper(): name for name in Settings.model_fields if name not in _CODE}
    found: dict[str, Any] = {}
    for variable, text in os.environ.items():
        name = names.get(variable)
        if name is not None and name not in given and text.strip():
            found[name] = text
        elif name is None and variable.startswith(PREFIX) and variable not in FOREIGN_VARIABLES:
            refuse_misspelt(variable, names)
    return found


def refuse_misspelt(variable: str, names: Mapping[str, str]) -> None:
    """Complain about the name of a setting that is almost one, because it would silently do nothing.

    Args:
        variable: the name as the user wrote it.
        names: the settings by the names that they have there.

    Raises:
        ConfigurationError: it looks like one of `names`; others may be somebody else's.
    """
    if near := _most_like(variable, names, cutoff=0.85):
        raise ConfigurationError(variable, "there is no such setting", f"Did you mean {near}?")


def _most_like(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches  # as few have misspelt anything

    return next(iter(get_close_matches(name, [*names], n=1, cutoff=cutoff)), None)


def _explained(error: ValidationError, given: Mapping[str, Any]) -> ConfigurationError:
    """Turn the first thing that is wrong into one sentence, without the value: it may be a secret."""
    detail = error.errors(include_url=False, include_input=False)[0]
    name = str(detail["loc"][0]) if detail["loc"] else "Settings"
    if detail["type"] == "extra_forbidden":
        near = _most_like(name, Settings.model_fields)
        hint = f"Did you mean {near}?" if near else "The settings are listed in the docstring of Settings."
        return ConfigurationError(name, "there is no such setting", hint)
    setting = name if name in given else PREFIX + name.upper()
    problem = detail["msg"].removeprefix("Value error, ")
    return ConfigurationError(setting, problem[:1].lower() + problem[1:], "Correct it or leave it out.")
