"""The store: what each transaction leaves behind, attempts, what may be thrown away, floors that never go down."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edged.models.blobs import Blobs
from edged.models.errors import BlobError, StoreError
from edged.models.manifest import Golden, Manifest
from edged.models.states import ATTEMPTS, State
from edged.models.store import HISTORY, Store
from edged.models.trust import Floors
from support.model_repository import SPEC, describe


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store")
    yield made
    made.close()


def manifest(version: int, model: str = "m", floor: int = 0) -> Manifest:
    return Manifest(
        model=model, version=version, floor=floor, file=describe(b"file %d" % version), inputs=SPEC, outputs=SPEC,
        golden=Golden(blob=describe(b"golden %d" % version), cases=1),
    )  # fmt: skip


def activate(store: Store, version: int, now: float, watch: float = 0.0, floor: int = 0) -> None:
    store.stage(manifest(version, floor=floor), "rolled out", now)
    assert store.begin_trial(store.record("m", version), now)
    store.succeed(store.record("m", version), now, watch)


def states(store: Store) -> dict[int, State]:
    return {r.version: r.state for r in store.records("m")}


def test_one_after_another(store: Store) -> None:
    activate(store, 1, 1.0)
    activate(store, 2, 2.0)
    assert states(store) == {2: State.ACTIVE, 1: State.RETIRED}
    assert store.record("m", 1).reason == "replaced by 2"
    assert store.record("m", 2).manifest == manifest(2)


def test_a_newer_candidate_takes_the_place_of_an_older_one(store: Store) -> None:
    store.stage(manifest(1), "", 1.0)
    store.stage(manifest(2), "", 2.0)
    assert states(store) == {2: State.STAGED}


def test_attempts_are_counted_before_they_are_made(store: Store) -> None:
    store.stage(manifest(1), "", 1.0)
    for attempt in range(ATTEMPTS):
        assert store.record("m", 1).attempts == attempt
        assert store.begin_trial(store.record("m", 1), 2.0)
    assert not store.begin_trial(store.record("m", 1), 3.0)
    assert states(store) == {1: State.ROLLED_BACK}
    assert "ended 3 processes in trial" in store.record("m", 1).reason


def test_an_attempt_stopped_on_purpose_does_not_count(store: Store) -> None:
    store.stage(manifest(1), "", 1.0)
    for _restart in range(10):
        assert store.begin_trial(store.record("m", 1), 2.0)
        store.give_back(store.record("m", 1), 2.0)
    assert states(store) == {1: State.TRIAL}


def test_staging_again_does_not_forget_attempts(store: Store) -> None:
    store.stage(manifest(1), "", 1.0)
    store.begin_trial(store.record("m", 1), 1.0)
    store.stage(manifest(1), "", 2.0)
    assert (store.record("m", 1).state, store.record("m", 1).attempts) == (State.TRIAL, 1)


def test_failing_brings_the_version_before_back(store: Store) -> None:
    for version in (1, 2, 3):
        activate(store, version, float(version))
    other = store.fail(store.record("m", 3), "slow", 4.0)
    assert other is not None
    assert other.version == 2
    assert states(store) == {3: State.ROLLED_BACK, 2: State.ACTIVE, 1: State.RETIRED}
    with pytest.raises(StoreError, match="cannot stage"):
        store.stage(manifest(3), "", 5.0)


def test_failing_never_goes_below_the_floor(store: Store) -> None:
    activate(store, 1, 1.0)
    activate(store, 2, 2.0, floor=2)
    store.settle(store.record("m", 2), 3.0)
    assert store.model_floor("m") == 2
    assert store.fail(store.record("m", 2), "slow", 4.0) is None
    assert states(store) == {2: State.ROLLED_BACK, 1: State.RETIRED}


def test_a_candidate_that_fails_leaves_the_active_one(store: Store) -> None:
    activate(store, 1, 1.0)
    store.stage(manifest(2), "", 2.0)
    assert store.fail(store.record("m", 2), "wrong", 3.0) is None
    assert states(store) == {2: State.ROLLED_BACK, 1: State.ACTIVE}


def test_what_must_stay_on_disk(store: Store) -> None:
    for version in (1, 2, 3):
        activate(store, version, float(version))
    store.stage(manifest(4), "", 4.0)
    kept = {v for v in range(1, 5) if manifest(v).file.sha256 in store.kept()}
    assert kept == {2, 3, 4}


def test_floors_only_rise_and_last(tmp_path: Path) -> None:
    first = Store(tmp_path / "s")
    first.raise_floors(Floors({"root": 3}, 100.0), {"m": 5})
    first.raise_floors(Floors({"root": 2}, 50.0), {"m": 4})
    first.close()
    again = Store(tmp_path / "s")
    assert again.floors() == Floors({"root": 3}, 100.0)
    assert again.model_floor("m") == 5
    again.close()


def test_pins(store: Store) -> None:
    store.pin("m", 3)
    store.pin("m", 4)
    assert store.pins() == {"m": 4}
    store.pin("m", None)
    assert store.pins() == {}


def test_history_is_bounded_and_failures_are_remembered(store: Store) -> None:
    activate(store, 1, 1.0)
    store.stage(manifest(2), "", 2.0)
    store.fail(store.record("m", 2), "wrong", 2.0)
    for version in range(3, HISTORY + 10):
        activate(store, version, float(version))
    store.prune()
    found = states(store)
    assert found[2] is State.ROLLED_BACK
    assert 1 not in found
    assert sum(s is State.RETIRED for s in found.values()) == HISTORY


def test_an_unknown_version(store: Store) -> None:
    with pytest.raises(StoreError, match="m version 9 is not known here"):
        store.record("m", 9)


def test_a_store_of_a_newer_edged_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="has layout 2, this edged knows 1"):
        Store(tmp_path)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from edged.models.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        store = Store(tmp_path / "s")
        with pytest.raises(StoreError, match="under way"), store.lock():
            pass
        other.kill()
        other.wait()
        with store.lock():
            pass
        store.close()


def test_blobs_are_kept_read_only_and_judged_by_their_bytes(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, 1 << 30)
    blob = describe(b"x" * 5000)
    made = blobs.unfinished(blob.sha256)
    made.write_bytes(b"y" * 5000)
    with pytest.raises(BlobError, match="not what was signed"):
        blobs.accept(made, blob)
    assert not made.exists()
    made.write_bytes(b"x" * 5000)
    path = blobs.accept(made, blob)
    assert os.stat(path).st_mode & 0o777 == 0o444
    assert blobs.check(blob.sha256) == path
    path.chmod(0o600)
    path.write_bytes(b"z" * 5000)
    with pytest.raises(BlobError, match="has changed on the disk"):
        blobs.check(blob.sha256)


def test_room_is_made_only_by_what_nobody_needs(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, 12_000)
    made = []
    for fill in (b"a", b"b"):
        blob = describe(fill * 5000)
        blobs.unfinished(blob.sha256).write_bytes(fill * 5000)
        blobs.accept(blobs.unfinished(blob.sha256), blob)
        made.append(blob)
    blobs.make_room(2000, {made[0].sha256})
    assert blobs.has(made[1])
    with pytest.raises(StoreError, match=r"8000 bytes are needed, 5000 of the quota of 12000 are used"):
        blobs.make_room(8000, {made[0].sha256})
    assert (blobs.has(made[0]), blobs.has(made[1])) == (True, False)
