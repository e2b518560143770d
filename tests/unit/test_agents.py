"""Which SDK makes a call."""

from __future__ import annotations

import pytest

from payi_middleware.agents import sdk_of


@pytest.mark.parametrize(
    ("agent", "sdk"),
    [
        ("OpenAI/Python 3.54.0", "openai/3.54.0"),
        (b"AsyncOpenAI/Python 3.54.0", "openai/3.54.0"),
        ("AsyncAnthropic/Python 0.40.0 extra", "anthropic/0.40.0"),
        ("Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux", "boto3/1.44.5"),
        ("python-httpx2/2.16.2", None),
        ("OpenAI/Python ", None),
        (b"\xff\xfe", None),
        ("", None),
        (None, None),
    ],
)
def test_the_sdk_is_read_out_of_the_user_agent(agent: str | bytes | None, sdk: str | None) -> None:
    assert sdk_of(agent) == sdk
