"""What every user has open and under way. Counted here; the limits come from the daemon's policy.

No I/O. One Account per user id, shared by that user's connections; counts change on several threads.
"""

from __future__ import annotations

from threading import Lock

from edged_ipc.errors import QuotaExceededError

_WHAT = {
    "connections": ("connections", "close one, or raise `connections` in edged.toml"),
    "sessions": ("open sessions", "close one, or raise `sessions` in the policy of this user"),
    "memory_bytes": ("bytes of slots", "close a session, or raise `bytes` in the policy of this user"),
    "in_flight": ("requests under way", "wait for answers, or raise `in_flight` in the policy of this user"),
}


class Account:
    """One user's counts."""

    __slots__ = ("_lock", "connections", "in_flight", "memory_bytes", "sessions", "uid")

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.connections = 0
        self.sessions = 0
        self.memory_bytes = 0
        self.in_flight = 0
        self._lock = Lock()

    def take(self, what: str, amount: int, most: int) -> None:
        """Counts `amount` more, or raises QuotaExceededError when that is more than `most`."""
        with self._lock:
            now: int = getattr(self, what)
            if now + amount <= most:
                setattr(self, what, now + amount)
                return
        noun, remedy = _WHAT[what]
        have = f"{now} {noun}" if amount == 1 else f"{now} {noun} and asks for {amount} more"
        raise QuotaExceededError(f"user {self.uid} has {have}, {most} are allowed", remedy=remedy)

    def give(self, what: str, amount: int) -> None:
        """Counts `amount` fewer."""
        with self._lock:
            setattr(self, what, getattr(self, what) - amount)

    def begin(self, most: int) -> bool:
        """`take` of one request, without words: False when there are `most` already."""
        with self._lock:
            if self.in_flight >= most:
                return False
            self.in_flight += 1
            return True

    def end(self) -> None:
        with self._lock:
            self.in_flight -= 1

    @property
    def idle(self) -> bool:
        """Nothing is open: the account may be forgotten."""
        return not (self.connections or self.sessions or self.memory_bytes or self.in_flight)


class Ledger:
    """The accounts of all users."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}

    def account(self, uid: int) -> Account:
        """The account of a user, new when there is none yet."""
        found = self.accounts.get(uid)
        if found is None:
            found = self.accounts[uid] = Account(uid)
        return found

    def forget_idle(self, uid: int) -> None:
        """Drops the account of a user who has gone."""
        account = self.accounts.get(uid)
        if account is not None and account.idle:
            del self.accounts[uid]
