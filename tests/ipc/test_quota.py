"""Counts of users."""

from __future__ import annotations

import pytest

from edged_ipc.errors import QuotaExceededError
from edged_ipc.quota import Account, Ledger


def test_take_and_give() -> None:
    account = Account(1000)
    account.take("memory_bytes", 60, 100)
    with pytest.raises(
        QuotaExceededError, match="user 1000 has 60 bytes of slots and asks for 50 more, 100 are"
    ):
        account.take("memory_bytes", 50, 100)
    account.take("memory_bytes", 40, 100)
    account.give("memory_bytes", 100)
    assert account.idle


def test_requests() -> None:
    account = Account(0)
    assert [account.begin(2) for _ in range(3)] == [True, True, False]
    account.end()
    assert account.begin(2)
    assert not account.idle


def test_ledger_forgets_who_has_gone() -> None:
    ledger = Ledger()
    account = ledger.account(5)
    assert ledger.account(5) is account
    account.take("sessions", 1, 1)
    ledger.forget_idle(5)
    assert 5 in ledger.accounts
    account.give("sessions", 1)
    ledger.forget_idle(5)
    ledger.forget_idle(5)
    assert not ledger.accounts
