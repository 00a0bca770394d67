"""Status lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3.reply import ResponseCode, error, ok, shown


def is_status_line(line: bytes) -> bool:
    text = line.removesuffix(b"\r\n")
    return (
        line.endswith(b"\r\n")
        and text.startswith((b"+OK", b"-ERR"))
        and len(line) <= 512
        and text.decode("ascii").isprintable()
    )


def test_positive_and_negative() -> None:
    assert ok("ready") == b"+OK ready\r\n"
    assert error("no") == b"-ERR no\r\n"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (ResponseCode.IN_USE, b"-ERR [IN-USE] no\r\n"),
        (ResponseCode.LOGIN_DELAY, b"-ERR [LOGIN-DELAY] no\r\n"),
        (ResponseCode.SYS_TEMP, b"-ERR [SYS/TEMP] no\r\n"),
        (ResponseCode.SYS_PERM, b"-ERR [SYS/PERM] no\r\n"),
        (ResponseCode.AUTH, b"-ERR [AUTH] no\r\n"),
        ("SYS/TEMP", b"-ERR [SYS/TEMP] no\r\n"),
    ],
)
def test_a_response_code_comes_first(code: str, line: bytes) -> None:
    assert error("no", code) == line


def test_line_ends_controls_and_other_characters_are_escaped() -> None:
    assert ok("a\r\n+OK b\0\x7f\xe9\u0663") == b"+OK a\\x0d\\x0a+OK b\\x00\\x7f\\xe9\\u0663\r\n"


def test_a_long_text_is_cut_at_512_octets() -> None:
    assert ok("x" * 1000) == b"+OK " + b"x" * 506 + b"\r\n"


def test_an_octet_of_the_client_is_shown_escaped_and_not_many_of_them() -> None:
    assert shown(b"a\xff\r") == "a\\xff\\x0d"
    assert shown(b"x" * 41) == "x" * 40 + "..."


@given(st.text(), st.sampled_from([None, *ResponseCode]))
def test_any_text_makes_one_status_line(text: str, code: str | None) -> None:
    assert is_status_line(ok(text))
    assert is_status_line(error(text, code))
