"""From the inclusive usage to Pay-i's exclusive units."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Usage, units

COUNTS = st.none() | st.integers(0, 10**9)
COUNTERS = [field.name for field in fields(Usage) if field.type == "int | None" and field.name != "web_search_requests"]


def test_cached_and_reasoning_tokens_leave_the_text() -> None:
    found, properties = units(Usage(input_tokens=16, output_tokens=8, cache_read=9, reasoning=5))
    assert found == {
        "text": {"input": 7, "output": 3},
        "text_cache_read": {"input": 9},
        "reasoning": {"output": 5},
    }
    assert properties == {}


def test_cache_writes_of_both_lifetimes_are_apart() -> None:
    found, _ = units(Usage(input_tokens=100, output_tokens=1, cache_write=20, cache_write_1h=30))
    assert found == {
        "text": {"input": 50, "output": 1},
        "text_cache_write": {"input": 20},
        "text_cache_write_1h": {"input": 30},
    }


def test_audio_and_images_are_told_apart() -> None:
    usage = Usage(
        input_tokens=100,
        output_tokens=60,
        audio_input=10,
        audio_output=7,
        image_input=20,
        image_output=40,
        video_input=5,
    )
    found, _ = units(usage)
    assert found == {
        "text": {"input": 65, "output": 13},
        "audio": {"input": 10, "output": 7},
        "vision": {"input": 20},
        "image": {"output": 40},
        "video": {"input": 5},
    }


def test_cached_audio_is_neither_fresh_audio_nor_cached_text() -> None:
    found, _ = units(Usage(input_tokens=100, cache_read=30, audio_input=25, audio_cache_read=20))
    assert found == {
        "text": {"input": 65},
        "text_cache_read": {"input": 10},
        "audio": {"input": 5},
        "audio_cache_read": {"input": 20},
    }


def test_an_embedding_has_no_output() -> None:
    assert units(Usage(input_tokens=4)) == ({"text": {"input": 4}}, {})


def test_large_context_is_said_of_every_token_unit_and_not_of_searches() -> None:
    found, _ = units(
        Usage(input_tokens=300_000, output_tokens=5, cache_read=100_000, web_search_requests=2, large_context=True)
    )
    assert found == {
        "text_large_context": {"input": 200_000, "output": 5},
        "text_cache_read_large_context": {"input": 100_000},
        "web_search_request": {"output": 2},
    }


def test_reasoning_without_a_price_of_its_own_stays_text() -> None:
    assert units(Usage(output_tokens=9, reasoning=4, reasoning_as_text=True))[0] == {"text": {"output": 9}}


def test_more_cached_than_asked_is_cut_and_noted() -> None:
    found, properties = units(Usage(input_tokens=7, output_tokens=1, cache_read=161))
    assert found == {"text": {"input": 0, "output": 1}, "text_cache_read": {"input": 7}}
    assert properties == {"system.usage.clamped": "cache_read"}


def test_more_reasoning_than_completion_is_cut_and_noted() -> None:
    found, properties = units(Usage(input_tokens=17, output_tokens=128, reasoning=130))
    assert found == {"text": {"input": 17, "output": 0}, "reasoning": {"output": 128}}
    assert properties == {"system.usage.clamped": "reasoning"}


def test_several_cuts_are_all_noted() -> None:
    _, properties = units(Usage(input_tokens=5, output_tokens=1, cache_read=4, cache_write=4, audio_output=3))
    assert properties == {"system.usage.clamped": "cache_write,audio_output"}


def test_a_part_of_an_unknown_whole_is_still_reported() -> None:
    assert units(Usage(cache_read=5, reasoning=2))[0] == {"text_cache_read": {"input": 5}, "reasoning": {"output": 2}}


def test_no_usage_has_no_units() -> None:
    assert units(Usage()) == ({}, {})


@given(st.builds(Usage, **dict.fromkeys(COUNTERS, COUNTS)))
def test_units_are_never_negative_and_sum_up_to_the_totals(usage: Usage) -> None:
    assert len(COUNTERS) == 15
    found, _ = units(usage)
    for side, total in (("input", usage.input_tokens), ("output", usage.output_tokens)):
        counts = [unit[side] for unit in found.values() if side in unit]
        assert all(count >= 0 for count in counts)
        if total is not None:
            assert sum(counts) == total
