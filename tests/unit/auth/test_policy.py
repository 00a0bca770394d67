"""When passwords may come in the clear."""

from __future__ import annotations

import pytest

from preforkpop.auth.policy import clear_text_allowed, stronger_required


@pytest.mark.parametrize(
    ("word", "tls", "client", "allowed"),
    [
        ("always", False, "192.0.2.7", True),
        ("default", False, "192.0.2.7", True),
        ("local", False, "::1", True),
        ("local", False, "192.0.2.7", False),
        ("local", True, "192.0.2.7", True),
        ("tls", True, "192.0.2.7", True),
        ("tls", False, "127.0.0.1", False),
        ("never", True, "127.0.0.1", False),
        ("never", False, "127.0.0.1", False),
        ("what", True, "127.0.0.1", False),
    ],
)
def test_each_word_allows_what_it_says(word: str, tls: bool, client: str, allowed: bool) -> None:
    assert clear_text_allowed(word, tls, client) is allowed


def test_default_wants_apop_of_those_who_have_a_secret_for_it() -> None:
    assert stronger_required("default", tls=False, has_apop_secret=True)
    assert not stronger_required("default", tls=False, has_apop_secret=False)
    assert not stronger_required("default", tls=True, has_apop_secret=True)
    assert not stronger_required("always", tls=False, has_apop_secret=True)
