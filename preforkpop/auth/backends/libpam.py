"""One PAM transaction through ctypes: start, items, authenticate, account, end.

Run by the auth process, as root when the server was started as root (pam_unix reads the shadow file
itself then). Written for this server because the binding on PyPI cannot set PAM_RHOST before it
authenticates, which pam_access and pam_faillock need.

- RHOST and TTY are set before ``pam_authenticate``.
- PAM_DISALLOW_NULL_AUTHTOK: pam_unix with ``nullok`` would take any password for an account that
  has none.
- PAM_FAIL_DELAY is taken over and does nothing: libpam would sleep two seconds in this process for
  each wrong password, and keep others waiting. Delays are the login process's.
- No ``pam_setcred`` and no session: credentials (groups, tickets) would become this process's,
  which lives on, and the session is served by another.
- The conversation's answers are the C library's memory: a module frees them, or we do if making
  them fails. The password is in a closure that ends with the transaction; nothing keeps it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from preforkpop.auth.credentials import SetupError


class Code(IntEnum):
    """Results of Linux-PAM that are told apart (security/_pam_types.h)."""

    SUCCESS = 0
    BUF_ERR = 5
    PERM_DENIED = 6
    AUTH_ERR = 7
    USER_UNKNOWN = 10
    MAXTRIES = 11
    NEW_AUTHTOK_REQD = 12
    ACCT_EXPIRED = 13
    CRED_EXPIRED = 16
    CONV_ERR = 19
    AUTHTOK_EXPIRED = 27


@dataclass(frozen=True, slots=True)
class Result:
    """How far a transaction came ("start", "authenticate" or "account") and with which result."""

    stage: str
    code: int
    user: str = ""  # after success: PAM_USER, which modules may have changed
    text: str = ""  # the library's words for the code

    @property
    def granted(self) -> bool:
        """Whether every stage said yes."""
        return self.stage == "account" and self.code == Code.SUCCESS


_ITEM_USER, _ITEM_TTY, _ITEM_RHOST, _ITEM_FAIL_DELAY = 2, 3, 4, 10
_SILENT: Final = 0x8000
_DISALLOW_NULL_AUTHTOK: Final = 0x0001
_PROMPT_ECHO_OFF, _PROMPT_ECHO_ON, _ERROR_MESSAGE, _TEXT_INFO = 1, 2, 3, 4
_MAXIMUM_MESSAGES: Final = 32  # PAM_MAX_NUM_MSG


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Messages = ctypes.POINTER(ctypes.POINTER(_Message))
_Responses = ctypes.POINTER(ctypes.POINTER(_Response))
_ConversationFunction = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, _Messages, _Responses, ctypes.c_void_p
)


class _Conversation(ctypes.Structure):
    _fields_ = (("function", _ConversationFunction), ("data", ctypes.c_void_p))


_DelayFunction = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
_no_delay = _DelayFunction(lambda _status, _microseconds, _data: None)
"""Stands in for libpam's sleep; lives as long as the module, as libpam keeps its address."""


class _Library:
    def __init__(self) -> None:
        try:
            pam = ctypes.CDLL("libpam.so.0")
        except OSError:
            raise SetupError(
                'authentication.sources: type "pam" needs libpam.so.0 (libpam0g)'
            ) from None
        libc = ctypes.CDLL(None)
        handle = ctypes.c_void_p
        self.calloc = _declared(libc.calloc, handle, ctypes.c_size_t, ctypes.c_size_t)
        self.strdup = _declared(libc.strdup, handle, ctypes.c_char_p)
        self.free = _declared(libc.free, None, handle)
        self.start = _declared(
            pam.pam_start,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.POINTER(_Conversation),
            ctypes.POINTER(handle),
        )
        self.end = _declared(pam.pam_end, ctypes.c_int, handle, ctypes.c_int)
        self.set_item = _declared(pam.pam_set_item, ctypes.c_int, handle, ctypes.c_int, handle)
        self.get_item = _declared(
            pam.pam_get_item, ctypes.c_int, handle, ctypes.c_int, ctypes.POINTER(handle)
        )
        self.authenticate = _declared(pam.pam_authenticate, ctypes.c_int, handle, ctypes.c_int)
        self.account = _declared(pam.pam_acct_mgmt, ctypes.c_int, handle, ctypes.c_int)
        self.error = _declared(pam.pam_strerror, ctypes.c_char_p, handle, ctypes.c_int)


def _declared(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    function.restype = result
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


_library: _Library | None = None


def load() -> _Library:
    """Find the library; SetupError when there is none."""
    global _library
    if _library is None:
        _library = _Library()
    return _library


def ask(service: str, user: str, password: bytes, rhost: str, tty: str) -> Result:
    """Ask a PAM service about a user's password; the strings hold no NUL."""
    pam = load()
    name = user.encode()

    answers = {_PROMPT_ECHO_OFF: password, _PROMPT_ECHO_ON: name}

    def converse(count: int, messages: Any, responses: Any, _data: int | None) -> int:
        try:
            return _answer(pam, count, messages, responses, answers)
        except BaseException:  # ctypes would print it and say PAM_SUCCESS without an answer
            return Code.CONV_ERR

    conversation = _Conversation(_ConversationFunction(converse), None)
    handle = ctypes.c_void_p()
    code = pam.start(service.encode(), name, ctypes.byref(conversation), ctypes.byref(handle))
    if code != Code.SUCCESS:
        return Result("start", code, text="pam_start failed")
    try:
        stage, code = _decide(pam, handle, rhost, tty)
        verified = _user(pam, handle) if code == Code.SUCCESS else ""
        return Result(stage, code, verified, pam.error(handle, code).decode("utf-8", "replace"))
    finally:
        pam.end(handle, code)


def _decide(pam: _Library, handle: ctypes.c_void_p, rhost: str, tty: str) -> tuple[str, int]:
    items = [(_ITEM_FAIL_DELAY, ctypes.cast(_no_delay, ctypes.c_void_p)), (_ITEM_TTY, tty.encode())]
    if rhost:
        items.append((_ITEM_RHOST, rhost.encode()))
    for item, value in items:
        code: int = pam.set_item(handle, item, value)
        if code != Code.SUCCESS:
            return "start", code
    code = pam.authenticate(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
    if code != Code.SUCCESS:
        return "authenticate", code
    return "account", pam.account(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)


def _user(pam: _Library, handle: ctypes.c_void_p) -> str:
    value = ctypes.c_void_p()
    if pam.get_item(handle, _ITEM_USER, ctypes.byref(value)) != Code.SUCCESS or not value.value:
        return ""
    return ctypes.string_at(value.value).decode("utf-8", "replace")


def _answer(
    pam: _Library, count: int, messages: Any, responses: Any, answers: dict[int, bytes]
) -> int:
    """Answer prompts and pass over messages; what is handed out is malloc'ed (pam_conv(3))."""
    if not 0 < count <= _MAXIMUM_MESSAGES:
        return Code.CONV_ERR
    address = pam.calloc(count, ctypes.sizeof(_Response))
    if not address:
        return Code.BUF_ERR
    array = (_Response * count).from_address(address)
    for number in range(count):
        style = messages[number].contents.style
        if style in (_ERROR_MESSAGE, _TEXT_INFO):
            continue
        array[number].text = pam.strdup(answers[style]) if style in answers else None
        if not array[number].text:
            for response in array:
                pam.free(response.text)
            pam.free(address)
            return Code.CONV_ERR
    responses[0] = ctypes.cast(address, ctypes.POINTER(_Response))
    return Code.SUCCESS
