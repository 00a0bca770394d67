"""base64 and the message of PLAIN."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3.sasl import MalformedError, Plain, decode, initial, plain


@pytest.mark.parametrize(
    "response", [b"a", b"ab", b"abc", b"ab=", b"ab==c", b"ab cd", b"!!!!", b"a\0==", b"YR==", b"="]
)
def test_what_is_not_canonical_base64_is_malformed(response: bytes) -> None:
    with pytest.raises(MalformedError, match="base64"):
        decode(response)


@given(st.binary())
def test_base64_is_decoded(octets: bytes) -> None:
    assert decode(base64.b64encode(octets)) == octets


@given(st.binary())
def test_any_response_is_decoded_or_malformed(response: bytes) -> None:
    try:
        octets = decode(response)
    except MalformedError:
        return
    assert base64.b64encode(octets) == response


def test_an_equals_sign_is_an_empty_initial_response_and_nothing_else_is() -> None:
    assert initial(b"=") == b""
    assert initial(b"AA==") == b"\0"


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (b"\0fred\0secret", Plain(b"", b"fred", b"secret")),
        (b"admin\0fred\0secret", Plain(b"admin", b"fred", b"secret")),
        (b"\0fred\0 a\tb\xff\r\n", Plain(b"", b"fred", b" a\tb\xff\r\n")),
    ],
)
def test_plain(message: bytes, parts: Plain) -> None:
    assert plain(message) == parts


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"fred",
        b"fred\0secret",
        b"\0\0",
        b"\0fred\0",
        b"\0\0secret",
        b"\0fred\0secret\0",
        b"\0fred\0sec\0ret",
        b"\0fr\ted\0secret",
        b"a\nb\0fred\0secret",
    ],
)
def test_plain_wants_two_nuls_a_clean_name_and_a_password(message: bytes) -> None:
    with pytest.raises(MalformedError):
        plain(message)
