"""`xProxy-*` headers to annotations, and summaries to `X-Payi-*` headers and back."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware import Annotations, Summary, parse_headers
from payi_middleware.annotations import NOTHING
from payi_middleware.headers import ANNOTATION_HEADERS, read_annotations, split_item, write_summary
from payi_middleware.results import decimal_text

CLEAN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~=, -]*")
"""The tokens of RFC 9110, and the separators of lists and pairs."""
HOSTILE = [
    "a\r\nSet-Cookie: x=1",
    "a\rb",
    "a\nb",
    "a\x00b",
    "a,b=c; d",
    "🦀",
    "josé",
    "用户",
    "\ud800",
    "x" * 100_000,
    "🦀" * 100_000,
    " ",
    "%41",
    '"quoted"',
    "\x7f\x80",
]


def size(headers: list[tuple[str, str]]) -> int:
    return sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers)


def _getter(headers: Mapping[str, str]) -> Any:
    lowered = {name.lower(): value for name, value in headers.items()}
    return lambda name: lowered.get(name.lower())


# --- xProxy-* --------------------------------------------------------------------------------------------------------

ENCODED = b64encode(b'{"plan":"pro"}').decode()


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("xProxy-User-ID", " alice ", {"user_id": "alice"}),
        ("xProxy-User-ID", "", {"user_id": ""}),
        ("xProxy-Account-Name", "acme", {"account_name": "acme"}),
        ("xProxy-UseCase-Name", "chat", {"use_case_name": "chat"}),
        ("xProxy-UseCase-ID", "c1", {"use_case_id": "c1"}),
        ("xProxy-UseCase-Step", "plan", {"use_case_step": "plan"}),
        ("xProxy-UseCase-Version", " 3 ", {"use_case_version": 3}),
        ("xProxy-UseCase-Version", "0", {"use_case_version": 0}),
        ("xProxy-Resource-Scope", "datazone.us", {"resource_scope": "datazone.us"}),
        ("xProxy-PriceAs-Category", "system.openai", {"price_as_category": "system.openai"}),
        ("xProxy-PriceAs-Resource", "gpt-5", {"price_as_resource": "gpt-5"}),
        ("xProxy-Limit-IDs", "l1, l2 ,,l1", {"limit_ids": ("l1", "l2")}),
        ("xProxy-Limit-IDs", "", {"limit_ids": ()}),
        ("xProxy-Request-Tags", "a,b", {"request_tags": ("a", "b")}),
        ("xProxy-Request-Properties", '{"plan": "pro"}', {"request_properties": {"plan": "pro"}}),
        ("xProxy-Request-Properties", ENCODED, {"request_properties": {"plan": "pro"}}),
        ("xProxy-Request-Properties", "", {"request_properties": {}}),
        ("xProxy-UseCase-Properties", '{"k": null, "n": 5}', {"use_case_properties": {"k": None, "n": "5"}}),
        ("xProxy-UseCase-Properties", ENCODED, {"use_case_properties": {"plan": "pro"}}),
        ("xProxy-Logging-Disable", "False", {"log_prompt_and_response": True}),
        ("xProxy-Logging-Disable", "True", {"log_prompt_and_response": False}),
        ("xProxy-Logging-Disable", "false", {"log_prompt_and_response": False}),
    ],
)
def test_an_annotation_header_is_read_whatever_the_case_of_its_name(
    header: str, value: str, expected: dict[str, Any]
) -> None:
    assert read_annotations(_getter({header: value})) == Annotations(**expected)
    assert read_annotations(_getter({header.upper(): value})) == Annotations(**expected)


def test_every_annotation_header_says_something() -> None:
    values = dict.fromkeys(ANNOTATION_HEADERS, "1") | {
        "xProxy-Request-Properties": "{}",
        "xProxy-UseCase-Properties": "{}",
    }
    for name in ANNOTATION_HEADERS:
        assert read_annotations(_getter({name: values[name]})) != NOTHING


def test_no_headers_say_nothing() -> None:
    assert read_annotations(_getter({"X-User-ID": "alice", "xProxy-api-key": "k"})) is NOTHING


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[1]",
        "5",
        "nonsense!",
        "{'a': 1}",
        "é",
        "{" + '"a":{' * 20_000,
        '{"a": ' + "9" * 5_000 + "}",
        b64encode(b"\xff\xfe").decode(),
        b64encode(b"[]").decode(),
    ],
)
@pytest.mark.parametrize("header", ["xProxy-Request-Properties", "xProxy-UseCase-Properties"])
def test_properties_that_cannot_be_read_count_as_absent_and_are_not_repeated(
    header: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_annotations(_getter({header: value})) is NOTHING
    assert [record.getMessage() for record in caplog.records] == [
        f"The header {header} is not a JSON object: it was ignored"
    ]


@pytest.mark.parametrize("value", ["one", "-1", "1.5", "\uff11", "9" * 5_000, "1_000"])
def test_a_version_that_is_no_whole_number_counts_as_absent(value: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read_annotations(_getter({"xProxy-UseCase-Version": value})) is NOTHING
    assert len(caplog.records) == 1


def test_an_empty_version_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert read_annotations(_getter({"xProxy-UseCase-Version": " "})) is NOTHING
    assert not caplog.records


@given(st.sampled_from(ANNOTATION_HEADERS), st.text())
def test_reading_never_fails_whatever_a_header_says(header: str, value: str) -> None:
    assert isinstance(read_annotations(_getter({header: value})), Annotations)


# --- X-Payi-*: writing -----------------------------------------------------------------------------------------------


def test_a_summary_is_written_as_documented() -> None:
    summary = Summary(
        calls=2,
        status="final",
        request_ids=("r1", "r2"),
        resource_ids=("m1",),
        use_case_ids=("chat-1", "a b"),
        cost=Decimal("0.00120"),
        cost_input=Decimal("1E-7"),
        cost_output=Decimal("0.0011999"),
        cost_currency="usd",
        cost_source="payi",
        limits={"team": "ok", "alice": "overrun"},
        blocked_limit_ids=("l1",),
    )

    assert dict(write_summary(summary)) == {
        "X-Payi-Calls": "2",
        "X-Payi-Status": "final",
        "X-Payi-Request-Id": "r1, r2",
        "X-Payi-Resource-Id": "m1",
        "X-Payi-Use-Case-Id": "chat-1, a%20b",
        "X-Payi-Limits": "team=ok, alice=overrun",
        "X-Payi-Blocked-Limit-Ids": "l1",
        "X-Payi-Cost": "0.0012",
        "X-Payi-Cost-Input": "0.0000001",
        "X-Payi-Cost-Output": "0.0011999",
        "X-Payi-Cost-Currency": "usd",
        "X-Payi-Cost-Source": "payi",
    }


def test_what_is_not_known_has_no_header() -> None:
    assert write_summary(Summary()) == [("X-Payi-Calls", "0"), ("X-Payi-Status", "final")]


def test_a_cost_without_currency_and_source_is_pay_is_in_usd() -> None:
    written = dict(write_summary(Summary(cost=Decimal(1))))

    assert (written["X-Payi-Cost-Currency"], written["X-Payi-Cost-Source"]) == ("usd", "payi")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0.000", "0"), ("1E+3", "1000"), ("1E-12", "0.000000000001"), ("10.50", "10.5"), ("100", "100")],
)
def test_an_amount_is_written_without_exponent_and_trailing_zeros(amount: str, text: str) -> None:
    assert decimal_text(Decimal(amount)) == text


@pytest.mark.parametrize("amount", ["1E+5000", "1E+999999", "1E-5000", "0." + "1" * 500])
def test_an_amount_that_is_no_amount_of_money_is_left_out(amount: str) -> None:
    written = write_summary(Summary(cost=Decimal(amount), cost_input=Decimal(amount)))

    assert written == [("X-Payi-Calls", "0"), ("X-Payi-Status", "final")]


def test_an_amount_that_is_no_number_is_left_out() -> None:
    written = write_summary(Summary.model_construct(cost=Decimal("NaN"), cost_output=Decimal("Infinity")))

    assert written == [("X-Payi-Calls", "0"), ("X-Payi-Status", "final")]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_written_as_clean_ascii_and_stays_small(text: str) -> None:
    summary = Summary(
        calls=1,
        request_ids=(text,),
        resource_ids=(text,),
        use_case_ids=(text,),
        cost=Decimal(1),
        cost_currency=text,
        limits={text: text},
        blocked_limit_ids=(text,),
    )

    headers = write_summary(summary)

    assert size(headers) <= 4096
    for name, value in headers:
        assert re.fullmatch(r"X-Payi-[A-Za-z-]+", name)
        assert CLEAN.fullmatch(value)
        assert value == value.strip() != ""


def test_the_longest_summary_fills_no_more_than_four_kib() -> None:
    ids = tuple(f"{number:032x}" for number in range(256))
    amount = Decimal("123456789012345.123456789012345678901234567890")
    summary = Summary(
        calls=10**9,
        status="pending",
        request_ids=ids,
        resource_ids=ids,
        use_case_ids=ids,
        cost=-amount,
        cost_input=-amount,
        cost_output=-amount,
        cost_currency="x" * 14,
        cost_source="estimate",
        limits=dict.fromkeys(ids, "blocked_external"),
        blocked_limit_ids=ids,
    )

    headers = write_summary(summary)

    assert 3_500 < size(headers) <= 4096
    assert len(headers) == 12


def test_a_list_that_does_not_fit_is_cut_between_items() -> None:
    ids = tuple(f"{number:032x}" for number in range(256))

    read = parse_headers(dict(write_summary(Summary(request_ids=ids))))

    assert 0 < len(read.request_ids) < 256
    assert read.request_ids == ids[: len(read.request_ids)]


# --- X-Payi-*: reading back ------------------------------------------------------------------------------------------

printable = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
few = st.lists(printable, max_size=3).map(tuple)
money = st.none() | st.decimals(0, 10**6, places=9)
summaries = st.builds(
    Summary,
    calls=st.integers(0, 10**6),
    status=st.sampled_from(["final", "pending"]),
    request_ids=few,
    resource_ids=few,
    use_case_ids=few,
    cost=money.filter(lambda amount: amount is not None),
    cost_input=money,
    cost_output=money,
    cost_currency=st.sampled_from(["usd", "eur"]),
    cost_source=st.sampled_from(["payi", "estimate", "mixed"]),
    limits=st.dictionaries(printable, printable, max_size=3),
    blocked_limit_ids=few,
)


@given(summaries)
def test_a_summary_is_read_back_as_it_was_written(summary: Summary) -> None:
    assert parse_headers(dict(write_summary(summary))) == summary


@given(
    st.builds(Summary.model_copy, summaries, update=st.just({"cost": None, "cost_input": None, "cost_output": None}))
)
def test_a_summary_without_a_cost_is_read_back_without_currency_and_source(summary: Summary) -> None:
    read = parse_headers(dict(write_summary(summary)))

    assert read == summary.model_copy(update={"cost_currency": None, "cost_source": None})


@given(st.lists(st.text(), max_size=400), st.dictionaries(st.text(), st.text(), max_size=50), st.decimals())
def test_no_summary_needs_more_than_four_kib_or_unclean_text(
    texts: list[str], limits: dict[str, str], amount: Decimal
) -> None:
    headers = write_summary(
        Summary.model_construct(
            request_ids=tuple(texts),
            resource_ids=tuple(texts),
            use_case_ids=tuple(texts),
            limits=limits,
            cost=amount,
            cost_currency="".join(texts),
        )
    )

    assert size(headers) <= 4096
    assert all(CLEAN.fullmatch(value) for _, value in headers)


def test_headers_are_read_whatever_the_case_of_their_names() -> None:
    assert parse_headers({"x-payi-calls": "2", "X-PAYI-COST": "0.5"}) == Summary(calls=2, cost=Decimal("0.5"))


def test_a_response_without_our_headers_has_no_calls() -> None:
    assert parse_headers({"content-type": "text/plain"}) == Summary()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Payi-Calls", "many"),
        ("X-Payi-Calls", "-1"),
        ("X-Payi-Calls", "²"),
        ("X-Payi-Calls", "9" * 5_000),
        ("X-Payi-Status", "soon"),
        ("X-Payi-Cost", "cheap"),
        ("X-Payi-Cost", "NaN"),
        ("X-Payi-Cost-Input", "Infinity"),
        ("X-Payi-Cost-Output", "1E+99999999999999999999"),
        ("X-Payi-Cost-Source", "hearsay"),
        ("X-Payi-Request-Id", " , ,"),
    ],
)
def test_what_cannot_be_read_counts_as_absent(name: str, value: str) -> None:
    assert parse_headers({name: value}) == Summary()


@given(st.dictionaries(st.sampled_from([name for name, _ in write_summary(Summary(cost=Decimal(1)))]), st.text()))
def test_reading_back_never_fails_whatever_a_proxy_made_of_it(headers: dict[str, str]) -> None:
    assert isinstance(parse_headers(headers), Summary)


# --- what fits into headers ------------------------------------------------------------------------------------------

ITEM: dict[str, Any] = {
    "category": "system.openai",
    "units": {"text": {"input": 1}},
    "user_id": "alice",
    "account_name": "acme inc",
    "use_case_name": "chat",
    "use_case_id": "c1",
    "use_case_version": 0,
    "use_case_step": "plan",
    "scope": "datazone.us",
    "limit_ids": ["l1", "l2"],
    "request_tags": ["a"],
    "properties": {"josé": "🦀"},
}


def test_the_context_travels_in_headers_and_the_rest_in_the_body() -> None:
    assert split_item(ITEM) == (
        {
            "xProxy-User-ID": "alice",
            "xProxy-Account-Name": "acme inc",
            "xProxy-UseCase-Name": "chat",
            "xProxy-UseCase-ID": "c1",
            "xProxy-UseCase-Version": "0",
            "xProxy-UseCase-Step": "plan",
            "xProxy-Resource-Scope": "datazone.us",
            "xProxy-Limit-IDs": "l1,l2",
            "xProxy-Request-Tags": "a",
        },
        {"category": "system.openai", "units": {"text": {"input": 1}}, "properties": {"josé": "🦀"}},
    )


def test_an_item_without_context_needs_no_headers() -> None:
    assert split_item({"category": "c", "units": {}, "user_id": None}) == ({}, {"category": "c", "units": {}})


@pytest.mark.parametrize("value", ["josé", "a\nb", "a\x00b", "a\x7f", " alice", "alice ", "", "🦀", "\ta"])
@pytest.mark.parametrize("field", ["user_id", "account_name", "use_case_id", "use_case_step", "scope"])
def test_a_text_that_a_header_would_harm_does_not_fit(field: str, value: str) -> None:
    assert split_item({**ITEM, field: value}) is None


@pytest.mark.parametrize("items", [["a,b"], ["a", "é"], ["a", ""], [" a"]])
@pytest.mark.parametrize("field", ["limit_ids", "request_tags"])
def test_a_list_that_a_header_would_harm_does_not_fit(field: str, items: list[str]) -> None:
    assert split_item({**ITEM, field: items}) is None


def test_a_comma_in_a_plain_value_fits() -> None:
    parts = split_item({**ITEM, "account_name": "acme, inc"})

    assert parts is not None
    assert parts[0]["xProxy-Account-Name"] == "acme, inc"


@given(st.dictionaries(st.sampled_from(["user_id", "account_name", "use_case_id"]), st.text(min_size=1)))
def test_what_travels_in_headers_arrives_as_it_was(item: dict[str, str]) -> None:
    parts = split_item(item)

    if parts is not None:
        read = read_annotations(_getter({name: value.encode("latin-1").decode() for name, value in parts[0].items()}))
        expected = json.loads(json.dumps(item))
        assert {name: getattr(read, name) for name in item} == expected
