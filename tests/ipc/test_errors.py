"""Every code has an error, and what is raised keeps its words over the wire."""

from __future__ import annotations

import pytest

from edged_ipc import errors
from edged_ipc.codes import Code


@pytest.mark.parametrize("code", [c for c in Code if c in errors.BY_CODE])
def test_there_and_back(code: Code) -> None:
    made = errors.from_wire(int(code), "what", "mend")
    assert made.code is code
    assert errors.to_wire(made) == (int(code), "what", "mend")
    assert str(made) == "what (mend)"


def test_codes_that_clients_meet_have_a_class() -> None:
    elsewhere = {Code.OK, Code.UPDATE_FAILED, Code.LINK_FAILED, Code.BAD_CONFIG}
    assert set(Code) - set(map(Code, errors.BY_CODE)) == elsewhere


def test_codes_of_newer_daemons() -> None:
    made = errors.from_wire(799, "new", "")
    assert type(made) is errors.RequestError
    assert made.code == 799


def test_what_was_not_raised_on_purpose_stays_secret() -> None:
    code, message, remedy = errors.to_wire(ValueError("/home/secret"))
    assert code == Code.INTERNAL
    assert "secret" not in message + remedy


def test_leaf_names() -> None:
    assert all(kind.__name__.endswith("Error") for kind in errors.RequestError.__subclasses__())
