"""Limits shared out through a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from payi_middleware.granting import Asked
from payi_middleware.limits import redis_shares
from payi_middleware.limits.redis_shares import RedisShares
from tests.redis_server import REDIS_URL, need_redis


@pytest.fixture
def shares() -> Iterator[RedisShares]:
    need_redis()
    opened = RedisShares(REDIS_URL, f"test-{uuid4()}")
    yield opened
    opened.close()


def test_what_one_process_holds_another_cannot_have(shares: RedisShares) -> None:
    assert shares.share("budget", "one", Asked(0, 60, 60), 100, 0).granted == 60

    second = shares.share("budget", "two", Asked(0, 60, 60), 100, 0)

    assert (second.granted, second.left) == (0, 40)


def test_what_is_given_back_another_can_have(shares: RedisShares) -> None:
    shares.share("budget", "one", Asked(0, 60, 60), 100, 0)
    shares.share("budget", "one", Asked(0), 100, 0)

    assert shares.share("budget", "two", Asked(0, 60, 60), 100, 0).granted == 60


def test_what_a_process_held_that_was_killed_is_free_again(
    shares: RedisShares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_shares, "_HELD_MS", 0)
    shares.share("budget", "killed", Asked(0, 60, 60), 100, 0)

    assert shares.share("budget", "two", Asked(0, 60, 60), 100, 0).granted == 60


def test_the_spend_that_another_process_knows_counts(shares: RedisShares) -> None:
    shares.share("budget", "one", Asked(0), 100, 90)

    told = shares.share("budget", "two", Asked(0, 20, 20), 100, 10)

    assert (told.granted, told.spent) == (20, 90)  # alone, and the last one
    assert shares.share("budget", "three", Asked(0, 5, 5), 100, 10).granted == 0


def test_a_limit_that_was_reset_is_believed_after_a_while(shares: RedisShares, monkeypatch: pytest.MonkeyPatch) -> None:
    shares.share("budget", "one", Asked(0), 100, 100)
    assert shares.share("budget", "one", Asked(0, 5, 5), 100, 0).granted == 0

    monkeypatch.setattr(redis_shares, "_RESET_MS", -1)

    assert shares.share("budget", "one", Asked(0, 5, 5), 100, 0).granted >= 5


def test_limits_of_different_accounts_are_different(shares: RedisShares) -> None:
    shares.share("budget", "one", Asked(0, 100, 100), 100, 0)
    other = RedisShares(REDIS_URL, f"test-{uuid4()}")

    assert other.share("budget", "one", Asked(0, 100, 100), 100, 0).granted == 100
    other.close()
