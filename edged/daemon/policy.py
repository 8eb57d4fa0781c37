"""Who may do what: the rules of edged.toml applied to a peer's credentials. Pure; quotas are counted by the
server.

Without rules, anybody who can open the socket may infer, and root and the daemon's own user may do
everything. With rules, the first that
matches counts, and who matches none may do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edged.config import PolicyConfig
from edged.errors import ConfigError, RequestError
from edged_ipc.codes import Code


class NotPermittedError(RequestError):
    """The policy does not allow it."""

    code = Code.NOT_PERMITTED


@dataclass(frozen=True, slots=True)
class Rule:
    """A [[policy]] table with names resolved to numbers; -1 matches anybody."""

    config: PolicyConfig
    uid: int
    gid: int

    def matches(self, uid: int, gids: frozenset[int]) -> bool:
        return self.uid in (-1, uid) and (self.gid == -1 or self.gid in gids)


Lookup = Callable[[str], int]

EVERYTHING = PolicyConfig(load=True, control=True, sessions=1 << 16, bytes=1 << 34, in_flight=1 << 16)
NOTHING = PolicyConfig(models=(), infer=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in order. Root and `owner`, the daemon's own user, may do everything."""

    rules: tuple[Rule, ...]
    owner: int

    def rights(self, uid: int, gids: Sequence[int]) -> PolicyConfig:
        """What this peer may do."""
        if uid in (0, self.owner):
            return EVERYTHING
        groups = frozenset(gids)
        for rule in self.rules:
            if rule.matches(uid, groups):
                return rule.config
        return NOTHING if self.rules else PolicyConfig()


def check_model(uid: int, rights: PolicyConfig, model: str) -> None:
    """NotPermittedError unless these rights cover inference with `model`."""
    if not rights.infer or not any(fnmatchcase(model, pattern) for pattern in rights.models):
        raise NotPermittedError(
            f"uid {uid} may not use model {model!r}", remedy="a [[policy]] of edged.toml has to allow it"
        )


def check_right(uid: int, rights: PolicyConfig, right: str, what: str) -> None:
    """NotPermittedError unless these rights cover `right` (infer, load or control)."""
    if not getattr(rights, right):
        raise NotPermittedError(
            f"uid {uid} may not {what}", remedy=f"a [[policy]] of edged.toml has to say {right} = true"
        )


def compile_rules(config: Sequence[PolicyConfig], user: Lookup, group: Lookup, owner: int) -> Policy:
    """The policy of edged.toml; `user` and `group` look names up (KeyError when there is none). ConfigError
    names it."""

    def number(text: str, lookup: Lookup, what: str) -> int:
        if not text:
            return -1
        if text.isdecimal():
            return int(text)
        try:
            return lookup(text)
        except KeyError:
            raise ConfigError(f"[[policy]] {what} = {text!r}: there is no such {what} here") from None

    rules = [Rule(c, number(c.user, user, "user"), number(c.group, group, "group")) for c in config]
    return Policy(tuple(rules), owner)
