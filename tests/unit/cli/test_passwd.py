"""preforkpop passwd, from a pipe and on a terminal."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Iterator

import pytest

from preforkpop.auth import schemes
from preforkpop.cli.main import main


class Input(io.TextIOWrapper):
    """Standard input that says whether it is a terminal."""

    def __init__(self, octets: bytes, terminal: bool) -> None:
        super().__init__(io.BytesIO(octets), encoding="utf-8")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def pipe(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Input(octets, terminal=False))


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    answers: Iterator[str] = iter(lines)

    def ask(_prompt: str) -> str:
        for line in answers:
            return line
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Input(b"", terminal=True))
    monkeypatch.setattr(getpass, "getpass", ask)


def matches(text: str, password: bytes) -> bool:
    stored = schemes.parse(text.strip().encode())
    return stored is not None and schemes.matches(stored, password)


@pytest.mark.parametrize("octets", [b"se cret\n", b"se cret\r\n", b"se cret", b"se cret\nmore\n"])
def test_the_first_line_of_a_pipe(
    octets: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(octets, monkeypatch)
    assert main(["passwd"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("{ARGON2ID}$argon2id$")
    assert matches(printed, b"se cret")


def test_octets_that_are_no_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(b"caf\xe9\n", monkeypatch)
    assert main(["passwd", "--scheme", "sha512-crypt"]) == 0
    assert matches(capsys.readouterr().out, b"caf\xe9")


def test_a_terminal_is_asked_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "é", "é")
    assert main(["passwd", "--scheme", "yescrypt"]) == 0
    assert matches(capsys.readouterr().out, "é".encode())


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["a", "b"], "the two passwords differ"),
        (["a"], "no password was given"),
        (["", ""], "the password is empty"),
    ],
)
def test_what_is_typed_wrongly(
    lines: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed(monkeypatch, *lines)
    assert main(["passwd"]) == 1
    assert capsys.readouterr() == ("", f"preforkpop: {problem}\n")


@pytest.mark.parametrize(
    ("octets", "problem"),
    [(b"", "the password is empty"), (b"x" * 5000, "the password is too long")],
)
def test_a_pipe_without_a_password(
    octets: bytes,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipe(octets, monkeypatch)
    assert main(["passwd"]) == 1
    assert capsys.readouterr().err == f"preforkpop: {problem}\n"


def test_a_scheme_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["passwd", "--scheme", "rot13"])
    assert caught.value.code == 2
    assert "ARGON2ID" in capsys.readouterr().err
