"""The AUTHORIZATION state without I/O (RFC 1939 section 4): octets in, replies and requests out.

Run by login processes (event-driven, without privilege, in an empty root directory) and by inetd
mode. Thousands of clients wait in this state, so an Authorization holds a handful of references and
no buffer until a client sends a part of a line or more than one.

The caller drives it: ``receive`` answers everything that can be answered and stops at the first
thing that is not for the protocol to do: start TLS, ask whether the password is right, close.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from preforkpop.pop3 import capability, sasl
from preforkpop.pop3.command import MAXIMUM_BAD_COMMANDS, State, parse
from preforkpop.pop3.reply import ResponseCode, error, ok, shown
from preforkpop.pop3.wire import (
    MAXIMUM_EXCHANGE_LINE,
    MAXIMUM_LINE,
    OVERLONG,
    LineBuffer,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one listener offers to one kind of client; shared by all their connections."""

    greeting: str = "POP3 server ready"
    apop: bool = False  # a stamp in the greeting, and APOP
    mechanisms: tuple[str, ...] = ("USER", "PLAIN")  # those that send the password: USER, PLAIN
    tls_available: bool = False  # STLS can be offered
    clear_text_allowed: bool = False  # passwords may be sent on this connection without TLS
    maximum_bad_commands: int = MAXIMUM_BAD_COMMANDS

    def accepted(self, *, tls: bool) -> tuple[str, ...]:
        """Give the mechanisms that would not be refused right now."""
        return self.mechanisms if tls or self.clear_text_allowed else ()


@dataclass(frozen=True, slots=True)
class Login:
    """What a client offers as proof of who it is; its repr shows no secret."""

    mechanism: str  # "USER", "APOP" or "PLAIN"
    user: bytes
    authzid: bytes
    secret: bytes = field(repr=False)  # the password; APOP: 32 lower-case hexadecimal digits


class Action(Enum):
    """What the caller has to do after it has sent the reply."""

    NONE = "none"  # read on
    STLS = "stls"  # start TLS, then call tls_started
    LOGIN = "login"  # have Authorization.login verified, then call refused or hand the session on
    CLOSE = "close"  # close the connection


_Answer = tuple[bytes, Action]

_BYE: Final = ok("POP3 server signing off.")
_PASSWORD_REQUIRED: Final = ok("Password required.")
_BEGIN_TLS: Final = ok("Begin TLS negotiation.")
_TLS_ACTIVE: Final = error("TLS is active already.")
_TLS_UNAVAILABLE: Final = error("TLS is not available here.")
_OVERLONG: Final = f"Line too long; at most {MAXIMUM_LINE} octets."
_OVERLONG_EXCHANGE: Final = f"Line too long; at most {MAXIMUM_EXCHANGE_LINE} octets."
_TOO_MANY: Final = error("Too many bad commands; closing the connection.")
_CANCELLED: Final = error("Authentication cancelled.")
_USE_TLS: Final = error(
    "You must use TLS or stronger authentication to connect to this server.", ResponseCode.AUTH
)
_NO_PASSWORDS: Final = error(
    "You must use stronger authentication to connect to this server.", ResponseCode.AUTH
)
_NO_APOP: Final = error("APOP is not available here.")

_is_digest = re.compile(rb"[0-9a-f]{32}", re.ASCII).fullmatch


class Authorization:
    """One client before login.

    ``login`` is set when an answer came with Action.LOGIN; ``failures`` counts refused logins and
    ``bad_commands`` malformed lines. A state can be made again from policy, tls, stamp, the two
    counts and ``rest()`` as ``pending``, which the next ``receive`` (of ``b""``, too) goes on with.
    """

    __slots__ = (
        "_buffer",
        "_exchanging",
        "_user",
        "bad_commands",
        "failures",
        "login",
        "policy",
        "stamp",
        "tls",
    )

    def __init__(
        self,
        policy: Policy,
        *,
        tls: bool,
        stamp: bytes = b"",
        failures: int = 0,
        bad_commands: int = 0,
        pending: bytes = b"",
    ) -> None:
        self.policy = policy
        self.tls = tls
        self.stamp = stamp  # "<...>" of APOP, different for each connection; b"" without APOP
        self.failures = failures
        self.bad_commands = bad_commands
        self.login: Login | None = None
        self._user = b""  # from USER until the next command
        self._exchanging = False  # AUTH PLAIN waits for its message
        self._buffer = LineBuffer(pending) if pending else None

    def greeting(self) -> bytes:
        """Give the line that opens the session."""
        if self.policy.apop:
            return ok(f"{self.policy.greeting} {self.stamp.decode('ascii')}")
        return ok(self.policy.greeting)

    def receive(self, data: bytes) -> tuple[bytes, Action]:
        """Take octets from the client, give all replies as one and what the caller has to do.

        While a login waits for its verdict octets are only kept: for ``refused`` or ``rest``.
        """
        if self.login is not None:
            self._keep(data)
            return b"", Action.NONE
        if self._buffer is None and not self._exchanging:
            end = data.find(b"\n")
            if 0 <= end == len(data) - 1 and end < MAXIMUM_LINE:
                return self._command(data[: end - 1] if data.endswith(b"\r\n") else data[:end])
        return self._drain(self._keep(data))

    def tls_started(self) -> None:
        """Begin again under TLS (RFC 2595 section 4): nothing said before the handshake counts."""
        self.tls = True
        self._buffer = None
        self._user = b""
        self._exchanging = False
        self.login = None

    def refused(self, reply: bytes, *, counted: bool = True) -> tuple[bytes, Action]:
        """Go back to AUTHORIZATION with the complete status line that says why, and read on.

        ``counted`` is false when the credentials were not at fault ([SYS/TEMP]).
        """
        self.failures += counted
        self.login = None
        if self._buffer is None:
            return reply, Action.NONE
        more, action = self._drain(self._buffer)
        return reply + more, action

    def rest(self) -> bytes:
        """Take the octets that came behind the login, for whoever goes on with the session."""
        buffer, self._buffer = self._buffer, None
        return buffer.rest() if buffer else b""

    def restore(self, rest: bytes) -> None:
        """Take back what ``rest`` gave out, in front of what has come since."""
        if rest:
            self._buffer = LineBuffer(rest + self.rest())

    def _keep(self, data: bytes) -> LineBuffer:
        """Put octets behind those that are unread."""
        if self._buffer is None:
            self._buffer = LineBuffer(data)
        else:
            self._buffer.feed(data)
        return self._buffer

    def _drain(self, buffer: LineBuffer) -> _Answer:
        """Answer the complete lines in the buffer up to the first that needs the caller."""
        replies = []
        action = Action.NONE
        while action is Action.NONE:
            line = buffer.next_line(MAXIMUM_EXCHANGE_LINE if self._exchanging else MAXIMUM_LINE)
            if line is None:
                break
            if line is OVERLONG:
                reply, action = self._overlong()
            elif self._exchanging:
                reply, action = self._response(line)
            else:
                reply, action = self._command(line)
            replies.append(reply)
        if action is Action.STLS or action is Action.CLOSE or buffer.idle:
            self._buffer = None
        return b"".join(replies), action

    def _command(self, line: bytes) -> _Answer:
        command = parse(line, State.AUTHORIZATION)
        if isinstance(command, bytes):
            self._user = b""
            return self._bad(command)
        if command.name != "PASS":
            self._user = b""  # PASS is valid immediately after USER only (RFC 1939 section 7)
        return _HANDLERS[command.name](self, command.arguments)

    def _bad(self, reply: bytes) -> _Answer:
        """Answer a malformed line, the one too many with the end of the session."""
        self.bad_commands += 1
        if self.bad_commands > self.policy.maximum_bad_commands:
            return _TOO_MANY, Action.CLOSE
        return reply, Action.NONE

    def _overlong(self) -> _Answer:
        self._user = b""
        text = _OVERLONG_EXCHANGE if self._exchanging else _OVERLONG
        self._exchanging = False
        return self._bad(error(text))

    def _user_command(self, arguments: tuple[bytes, ...]) -> _Answer:
        refusal = self._password_refused("USER")
        if refusal:
            return refusal, Action.NONE
        self._user = arguments[0]
        return _PASSWORD_REQUIRED, Action.NONE  # for unknown names, too

    def _pass(self, arguments: tuple[bytes, ...]) -> _Answer:
        user, self._user = self._user, b""
        if not user:
            return self._bad(error("PASS is valid only immediately after USER."))
        return self._log_in(Login("USER", user, b"", arguments[0]))

    def _apop(self, arguments: tuple[bytes, ...]) -> _Answer:
        if not self.policy.apop:
            return _NO_APOP, Action.NONE
        user, digest = arguments
        if not _is_digest(digest):
            return self._bad(error("The digest of APOP is 32 lower-case hexadecimal digits."))
        return self._log_in(Login("APOP", user, b"", digest))

    def _auth(self, arguments: tuple[bytes, ...]) -> _Answer:
        if not arguments:  # not of RFC 5034: what clients asked before there was CAPA
            accepted = self.policy.accepted(tls=self.tls)
            return capability.multi_line(ok("Mechanisms follow"), capability.sasl(accepted)), (
                Action.NONE
            )
        mechanism = arguments[0].upper()
        if mechanism != b"PLAIN" or "PLAIN" not in self.policy.mechanisms:
            return error(f'Unknown mechanism: "{shown(arguments[0])}".'), Action.NONE
        refusal = self._password_refused("PLAIN")
        if refusal:
            return refusal, Action.NONE
        if len(arguments) == 1:
            self._exchanging = True
            return sasl.CHALLENGE, Action.NONE
        return self._plain(arguments[1], sasl.initial)

    def _response(self, line: bytes) -> _Answer:
        """Take the client's line in an exchange; whatever it is, the exchange is over."""
        self._exchanging = False
        if line == b"*":
            return _CANCELLED, Action.NONE
        return self._plain(line, sasl.decode)

    def _plain(self, response: bytes, decode: Callable[[bytes], bytes]) -> _Answer:
        try:
            authzid, user, password = sasl.plain(decode(response))
        except sasl.MalformedError as fault:
            return self._bad(error(f"{fault}."))
        return self._log_in(Login("PLAIN", user, authzid, password))

    def _stls(self, _arguments: tuple[bytes, ...]) -> _Answer:
        if self.tls:
            return _TLS_ACTIVE, Action.NONE
        if not self.policy.tls_available:
            return _TLS_UNAVAILABLE, Action.NONE
        return _BEGIN_TLS, Action.STLS

    def _capa(self, _arguments: tuple[bytes, ...]) -> _Answer:
        stls = self.policy.tls_available and not self.tls
        accepted = self.policy.accepted(tls=self.tls)
        return capability.before_login(accepted, stls=stls), Action.NONE

    def _quit(self, _arguments: tuple[bytes, ...]) -> _Answer:
        return _BYE, Action.CLOSE

    def _log_in(self, login: Login) -> _Answer:
        """Ask the caller; the answer to a login is the verdict, so there is no reply yet."""
        self.login = login
        return b"", Action.LOGIN

    def _password_refused(self, mechanism: str) -> bytes:
        """Give the refusal when a password must not be sent in this way now, or nothing."""
        if mechanism not in self.policy.mechanisms:
            return _NO_PASSWORDS
        if self.tls or self.policy.clear_text_allowed:
            return b""
        return _USE_TLS


_HANDLERS: Final[dict[str, Callable[[Authorization, tuple[bytes, ...]], _Answer]]] = {
    "USER": Authorization._user_command,
    "PASS": Authorization._pass,
    "APOP": Authorization._apop,
    "AUTH": Authorization._auth,
    "STLS": Authorization._stls,
    "CAPA": Authorization._capa,
    "QUIT": Authorization._quit,
}
