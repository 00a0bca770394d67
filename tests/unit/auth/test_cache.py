"""Remembered passwords."""

from __future__ import annotations

import gc

import pytest

from preforkpop.auth.cache import Cache
from tests.unit.auth.helpers import KEY

PARTS = (b"pop3", b"passwd-file:/etc/users", b"fred", b"USER", b"secret")


def test_a_success_is_remembered_until_its_time_is_over() -> None:
    cache = Cache(KEY, 300)
    digest = cache.digest(*PARTS)
    cache.remember(digest, "fred", 10.0)
    assert cache.find(digest, 309.9) == "fred"
    assert cache.find(digest, 310.0) is None
    assert len(cache) == 0


def test_zero_seconds_remember_nothing() -> None:
    cache = Cache(KEY, 0)
    digest = cache.digest(*PARTS)
    cache.remember(digest, "fred", 10.0)
    assert cache.find(digest, 10.0) is None


@pytest.mark.parametrize("changed", range(len(PARTS)))
def test_every_part_decides(changed: int) -> None:
    cache = Cache(KEY, 300)
    parts = list(PARTS)
    parts[changed] += b"x"
    assert cache.digest(*parts) != cache.digest(*PARTS)


def test_parts_do_not_run_into_each_other() -> None:
    cache = Cache(KEY, 300)
    assert cache.digest(b"fred", b"1secret") != cache.digest(b"fred1", b"secret")
    assert cache.digest(b"a", b"1:b") != cache.digest(b"a1:", b"b")
    assert cache.digest(b"a\0b", b"") != cache.digest(b"a", b"b")


def test_another_key_gives_another_digest() -> None:
    assert Cache(KEY, 300).digest(*PARTS) != Cache(KEY[::-1], 300).digest(*PARTS)


def test_a_short_key_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="random octets"):
        Cache(b"short", 300)


def test_the_oldest_goes_when_the_cache_is_full() -> None:
    cache = Cache(KEY, 300, maximum=3)
    digests = [cache.digest(b"%d" % number) for number in range(4)]
    for digest in digests[:3]:
        cache.remember(digest, "fred", 10.0)
    cache.remember(digests[0], "fred", 11.0)  # now the youngest
    cache.remember(digests[3], "fred", 12.0)
    assert len(cache) == 3
    assert [cache.find(digest, 13.0) for digest in digests] == ["fred", None, "fred", "fred"]


def test_the_cache_holds_no_secret() -> None:
    cache = Cache(KEY, 300)
    secret = b"correct horse battery staple"
    cache.remember(cache.digest(b"pop3", b"fred", secret), "fred", 10.0)
    held = [cache]
    seen: set[int] = set()
    while held:
        one = held.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        assert not isinstance(one, bytes) or secret not in one
        held.extend(gc.get_referents(one))
