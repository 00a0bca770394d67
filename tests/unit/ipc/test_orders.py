"""What the master tells the listener."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.ipc.channel import MessageError
from preforkpop.ipc.orders import Orders
from preforkpop.listener.settings import Admission


def test_orders_arrive_as_they_were_given() -> None:
    orders = Orders(Admission(instances=7, per_source=2, only_from=("192.0.2.0/24",)), (0, 0, 1))
    assert Orders.unpack(orders.pack()) == orders


@given(st.binary())
def test_anything_else_is_a_message_error(octets: bytes) -> None:
    with pytest.raises(MessageError):
        Orders.unpack(octets)
