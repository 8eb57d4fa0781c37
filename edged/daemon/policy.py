"""Who may do what: the rules of edged.toml applied to a peer's credentials, and its quotas. Pure.

Without rules, anybody who can open the socket may infer, and root and the daemon's own user may do
everything. With rules, the first that
matches counts, and who matches none may do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from edged.config import PolicyConfig
from edged.errors import ConfigError, RequestError
from edged_ipc.codes import Code


class NotPermittedError(RequestError):
    """The policy does not allow it."""

    code = Code.NOT_PERMITTED


class QuotaError(RequestError):
    """A quota of the peer's uid is used up."""

    code = Code.QUOTA_EXCEEDED


@dataclass(frozen=True, slots=True)
class Rule:
    """A [[policy]] table with names resolved to numbers; -1 matches anybody."""

    config: PolicyConfig
    uid: int
    gid: int

    def matches(self, uid: int, gids: frozenset[int]) -> bool:
        return self.uid in (-1, uid) and (self.gid == -1 or self.gid in gids)


Lookup = Callable[[str], int]

EVERYTHING = PolicyConfig(load=True, control=True, sessions=1 << 20, bytes=1 << 40, in_flight=1 << 20)


@dataclass(slots=True)
class Usage:
    """What one uid holds now."""

    sessions: int = 0
    bytes: int = 0
    in_flight: int = 0


@dataclass
class Policy:
    """The rules in order, and what each uid uses."""

    rules: tuple[Rule, ...]
    owner: int
    usage: dict[int, Usage] = field(default_factory=dict)

    def rights(self, uid: int, gids: Sequence[int]) -> PolicyConfig:
        """What this peer may do. Root and the daemon's own user may do everything."""
        if uid in (0, self.owner):
            return EVERYTHING
        groups = frozenset(gids)
        for rule in self.rules:
            if rule.matches(uid, groups):
                return rule.config
        return PolicyConfig() if not self.rules else PolicyConfig(models=(), infer=False)

    def use(self, uid: int) -> Usage:
        return self.usage.setdefault(uid, Usage())

    def open_session(self, uid: int, rights: PolicyConfig, model: str, nbytes: int) -> None:
        """Counts a session with `nbytes` of slots, or says why not."""
        if not rights.infer or not any(fnmatchcase(model, pattern) for pattern in rights.models):
            raise NotPermittedError(
                f"uid {uid} may not use model {model!r}", remedy="a [[policy]] of edged.toml has to allow it"
            )
        used = self.use(uid)
        if used.sessions >= rights.sessions:
            raise QuotaError(f"uid {uid} has {used.sessions} sessions open, its quota", remedy="close some")
        self.take_bytes(uid, rights, nbytes)
        used.sessions += 1

    def take_bytes(self, uid: int, rights: PolicyConfig, nbytes: int) -> None:
        """Counts shared memory of a uid."""
        used = self.use(uid)
        if used.bytes + nbytes > rights.bytes:
            raise QuotaError(
                f"uid {uid} would hold {used.bytes + nbytes} bytes of slots, its quota is {rights.bytes}",
                remedy="use fewer slots",
            )
        used.bytes += nbytes

    def close_session(self, uid: int, nbytes: int) -> None:
        used = self.use(uid)
        used.sessions -= 1
        used.bytes -= nbytes
        if not (used.sessions or used.bytes or used.in_flight):
            del self.usage[uid]


def compile_rules(config: Sequence[PolicyConfig], user: Lookup, group: Lookup, owner: int) -> Policy:
    """The policy of edged.toml; `user` and `group` look names up (KeyError when there is none). ConfigError
    names it."""

    def number(text: str, lookup: Lookup, what: str) -> int:
        if not text:
            return -1
        if text.isdigit():
            return int(text)
        try:
            return lookup(text)
        except KeyError:
            raise ConfigError(f"[[policy]] {what} = {text!r}: there is no such {what} here") from None

    rules = [Rule(c, number(c.user, user, "user"), number(c.group, group, "group")) for c in config]
    return Policy(tuple(rules), owner)
