"""What the nursery is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.ipc.channel import MessageError
from preforkpop.ipc.nursing import Nursing
from preforkpop.master.settings import Pool
from preforkpop.worker.settings import Maildrop

NURSING = Nursing(
    board=3,
    slots=100,
    slot=4,
    first_slot=5,
    count=90,
    grants=6,
    asks=7,
    log=8,
    stacks=9,
    lifeline=10,
    pool=Pool(minimum_spare=2),
    maildrop=Maildrop(path="/srv/mäil/{user}", locks=("fcntl",)),
    state_dir="/var/lib/preforkpop",
    mechanisms=("USER", "APOP"),
    system=True,
    mail=(8, 8),
    groups=(8,),
    statistics=True,
    level=6,
    version="1",
)


def test_it_arrives_as_it_was_given() -> None:
    assert Nursing.unpack(NURSING.pack()) == NURSING


def test_every_descriptor_is_inherited() -> None:
    assert sorted(NURSING.descriptors()) == [3, 6, 7, 8, 9, 10]


@given(st.binary())
def test_anything_else_is_a_message_error(octets: bytes) -> None:
    with pytest.raises(MessageError):
        Nursing.unpack(octets)
