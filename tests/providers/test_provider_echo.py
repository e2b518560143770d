"""Events that differ from an earlier one in their words only."""

from __future__ import annotations

from payi_middleware.providers.echo import Echo

EVENT = b'data: {"id":"a","delta":{"content":"%s"},"finish_reason":null,"obfuscation":"%s"}\n\n'


def learned(example: bytes = EVENT % (b"Hi", b"xyz")) -> Echo:
    echo = Echo()
    assert not echo.fits(example)
    echo.learn(example)
    return echo


def test_other_words_and_other_padding_are_an_echo() -> None:
    echo = learned()
    assert echo.fits(EVENT % (b"", b""))
    assert echo.fits(EVENT % (b" you\\n", b"abcdef"))
    assert echo.fits(EVENT % (b"one", b"x") + EVENT % (b"two", b"y"))


def test_any_other_difference_is_none() -> None:
    echo = learned()
    event = EVENT % (b"Hi", b"xyz")
    assert not echo.fits(event.replace(b"null", b'"stop"'))
    assert not echo.fits(event.replace(b'"xyz"', b'"xyz","usage":{}'))
    assert not echo.fits(event.replace(b'"xyz"', b'"xyz'))
    assert not echo.fits(event.replace(b'"id"', b'"ID"'))
    assert not echo.fits(event + b"data: [DONE]\n\n")
    assert not echo.fits(event[:-2])


def test_a_quote_that_is_there_once_does_not_count_twice() -> None:
    flat = b'data: {"content":"%s"}\n\n'
    echo = learned(flat % b"Hi")
    assert echo.fits(flat % b"")
    assert echo.fits(flat % b"one" + flat % b"")
    assert not echo.fits(b'data: {"content":"}\n\n')
    assert not echo.fits(b'data: {"content":"')


def test_words_with_a_quote_are_looked_at_closely() -> None:
    echo = learned()
    assert not echo.fits(EVENT % (b'\\"', b""))
    echo.learn(EVENT.replace(b"null", b"0") % (b'\\"', b""))
    assert not echo.fits(EVENT.replace(b"null", b"0") % (b"Hi", b""))


def test_only_known_padding_may_differ_at_the_end() -> None:
    flat = b'data: {"content":"%s","finish_reason":"%s"}\n\n'
    echo = learned(flat % (b"Hi", b""))
    assert echo.fits(flat % (b"you", b""))
    assert not echo.fits(flat % (b"you", b"stop"))


def test_several_events_at_once_are_no_example() -> None:
    echo = Echo()
    echo.learn(EVENT % (b"Hi", b"x") * 2)
    assert not echo.fits(EVENT % (b"Hi", b"x"))


def test_an_example_with_reasoning_is_known_to_be_hidden() -> None:
    assert learned(EVENT.replace(b'"content"', b'"reasoning_content"') % (b"Hm", b"x")).hidden
    assert not learned().hidden


def test_a_stream_of_strangers_is_given_up_at_last() -> None:
    echo = Echo()
    for number in range(5000):
        echo.learn(b'data: {"id":%d,"content":"x"}\n\n' % number)
    assert echo.fits(b'data: {"id":4095,"content":"y"}\n\n')
    assert not echo.fits(b'data: {"id":4999,"content":"y"}\n\n')
