"""What clients do with sessions, seen from the socket: answers, refusals, quotas, ends."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from time import sleep
from typing import Any

import msgspec
import pytest

from edged_ipc import messages as m
from edged_ipc import wire
from edged_ipc.codes import Code
from edged_ipc.messages import Limits
from edged_ipc.service import Opening
from sim.echo_service import EchoService
from support.raw_client import RawClient


def test_open_tells_all(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("two", 2)
    assert [(t.name, t.offset) for t in (*opened.inputs, *opened.outputs)] == [
        ("a", 0),
        ("b", 64),
        ("x", 128),
        ("y", 192),
    ]
    assert (opened.slot_bytes, opened.stateful, opened.session) == (256, False, 0)
    assert client.open("count").stateful


def test_requests_on_slots(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("echo-64", 3)
    for slot in range(3):
        at = slot * opened.slot_bytes
        client.memory[at : at + 64] = bytes([slot + 1] * 64)
    asked = [client.infer(opened.session, slot) for slot in (2, 0, 1)]
    done = [client.hear(m.Done) for _ in range(3)]
    assert [d.request for d in done] == asked
    assert (done[0].queue_us, done[0].run_us, done[0].version) == (1, 2, 1)
    for slot in range(3):
        at = slot * opened.slot_bytes + 64
        assert client.memory[at : at + 64] == bytes([slot + 1] * 64)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"session": 9}, Code.NO_SESSION, "session 9 is not open"),
        ({"slot": 1}, Code.BAD_SLOT, "slot 1: session 0 has 1 slots"),
        ({"slot": 0xFFFFFFFF}, Code.BAD_SLOT, "slot 4294967295"),
        ({"priority": 32}, Code.BAD_INPUT, "priority 32"),
    ],
)
def test_refused_requests(here: Any, options: dict[str, int], code: Code, text: str) -> None:
    client = RawClient(here.path)
    client.open("echo-64")
    request = client.infer(**{"session": 0, **options})
    failed = client.hear(m.Failed)
    assert (failed.request, failed.code) == (request, code)
    assert text in failed.message
    client.infer(0)
    client.hear(m.Done)


def test_a_slot_runs_one_request(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("never", 2)
    first = client.infer(opened.session)
    client.infer(opened.session)
    failed = client.hear(m.Failed)
    assert failed.code == Code.BAD_SLOT
    assert f"has request {first} under way" in failed.message
    client.say(m.Cancel(first, opened.session, 0))
    assert client.hear(m.Failed).request == first


def test_what_the_service_refuses(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("fail")
    client.infer(opened.session)
    failed = client.hear(m.Failed)
    assert (failed.code, failed.message, failed.remedy) == (
        Code.BAD_INPUT,
        "these inputs are not liked",
        "send others",
    )


def test_priority_and_deadline_arrive(make_server: Callable[..., Any]) -> None:
    asked: list[tuple[Any, ...]] = []

    class Noting(EchoService):
        async def open(self, peer: Any, model: str, priority: int | None, replies: Any) -> Any:
            asked.append((priority,))
            return await super().open(peer, model, priority, replies)

        def infer(
            self, handle: Any, request: int, slot: int, priority: int | None, deadline: float | None
        ) -> Any:
            asked.append((request, slot, priority, deadline))
            return super().infer(handle, request, slot, priority, deadline)

    client = RawClient(make_server(Noting()).path)
    opened = client.open("echo-4", 2)
    for options in ({}, {"slot": 1, "priority": 0, "deadline_us": 2500}):
        client.infer(opened.session, **options)
        client.hear(m.Done)
    client.say(m.Open(client.id(), "echo-4", priority=31))
    client.hear(m.Opened)
    assert asked == [(None,), (3, 0, None, None), (4, 1, 0, 0.0025), (31,)]


def test_a_service_that_raises(make_server: Callable[..., Any]) -> None:
    """What it did not mean to raise is reported, and tells the client no more than that."""

    class Raising(EchoService):
        def infer(self, *_: Any) -> Any:
            raise ZeroDivisionError("a secret")

    here = make_server(Raising())
    client = RawClient(here.path)
    opened = client.open("echo-4")
    for _ in range(2):  # the slot is free again
        client.infer(opened.session)
        failed = client.hear(m.Failed)
        assert failed.code == Code.INTERNAL
        assert "secret" not in failed.message
    assert isinstance(here.reports[0][1], ZeroDivisionError)


def test_cancel_of_what_is_not_there(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("never")
    for cancel in (m.Cancel(5, opened.session, 0), m.Cancel(5, 77, 0), m.Cancel(5, 0, 99)):
        client.say(cancel)
    request = client.infer(opened.session)
    client.say(m.Cancel(request, opened.session, 0))
    assert client.hear(m.Failed).code == Code.CANCELLED


def test_state_and_reset(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("count")

    def ask() -> int:
        client.infer(opened.session)
        client.hear(m.Done)
        return int(struct.unpack_from("<i", client.memory, 64)[0])

    assert [ask(), ask()] == [1, 2]
    client.say(m.Reset(client.id(), opened.session))
    client.hear(m.Ack)
    assert ask() == 1
    client.say(m.Reset(client.id(), 8))
    assert client.hear(m.Failed).code == Code.NO_SESSION


def test_reset_waits_for_no_request(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("never")
    request = client.infer(opened.session)
    client.say(m.Reset(client.id(), opened.session))
    assert client.hear(m.Failed).code == Code.BUSY
    client.say(m.Cancel(request, opened.session, 0))
    client.hear(m.Failed)


def test_close_cancels_and_then_acknowledges(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("never", 2)
    asked = {client.infer(opened.session, 0), client.infer(opened.session, 1)}
    closing = client.id()
    client.say(m.Close(closing, opened.session))
    assert {client.hear(m.Failed).request, client.hear(m.Failed).request} == asked
    assert client.hear(m.Ack).request == closing
    assert here.service.open_sessions == 0
    client.infer(opened.session)
    assert client.hear(m.Failed).code == Code.NO_SESSION


def test_memory_stays_until_the_last_answer(here: Any) -> None:
    """Unregistering during a run must not unmap under the device: Close on a session whose request goes on."""
    client = RawClient(here.path)
    opened = client.open("slow-0.2")
    client.infer(opened.session)
    client.say(m.Close(client.id(), opened.session))
    assert client.hear(m.Done).run_us == 2
    client.hear(m.Ack)
    assert here.on_thread(lambda: here.server.ledger.accounts).popitem()[1].memory_bytes == 0
    assert not here.reports


def test_connection_ends_with_requests_under_way(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("slow-0.2")
    client.infer(opened.session)
    client.close()
    while here.on_thread(lambda: bool(here.server.ledger.accounts)):
        sleep(0.005)
    assert here.service.open_sessions == 0
    assert not here.server.ledger.accounts
    assert not here.reports


def test_inline(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("echo-100", 2, inline=True)
    payload = bytes(range(100)) + bytes(28)
    client.say(m.InferInline(client.id(), opened.session, 1, payload))
    assert client.hear(m.DoneInline).payload == payload
    client.say(m.InferInline(client.id(), opened.session, 0, payload[:-1]))
    failed = client.hear(m.Failed)
    assert failed.code == Code.BAD_INPUT
    assert "take 128 bytes, 127 came" in failed.message
    client.say(m.InferInline(client.id(), opened.session, 2, payload))
    assert client.hear(m.Failed).code == Code.BAD_SLOT
    client.say(m.Attach(client.id(), opened.session, 1, 256))
    assert client.hear(m.Failed).code == Code.BAD_SLOT


def test_inline_frames_are_no_larger_than_the_sessions(here: Any) -> None:
    """Half a frame must not hold memory that no quota has counted."""
    client = RawClient(here.path)
    opened = client.open("echo-100000", 1, inline=True)
    client.say(m.InferInline(client.id(), opened.session, 0, bytes(100_032)))
    client.hear(m.DoneInline)
    client.send(wire.HEADER.pack(36, 0, wire.MAGIC, 100_032 + 33))
    assert "InferInline frame of 100065 bytes" in client.hear(m.Goodbye).message


def test_inline_is_no_way_into_shared_slots(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("echo-64")
    client.say(m.InferInline(client.id(), opened.session, 0, bytes(64)))
    assert client.hear(m.Failed).code == Code.BAD_SLOT


def test_inline_needs_frames_that_hold_a_slot(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(inline_bytes=1000)))
    client = RawClient(here.path)
    client.say(m.Open(1, "echo-1000", 1, True))
    failed = client.hear(m.Failed)
    assert failed.code == Code.UNSUPPORTED
    assert here.service.open_sessions == 0


@pytest.mark.parametrize(
    ("limits", "act", "text"),
    [
        (
            Limits(sessions=1),
            lambda c: (c.open("echo-4"), c.say(m.Open(c.id(), "echo-4"))),
            "1 open sessions, 1 are",
        ),
        (Limits(slots=4), lambda c: c.say(m.Open(c.id(), "echo-4", 5)), "5 slots are wanted, 4"),
        (
            Limits(memory_bytes=255),
            lambda c: c.say(m.Open(c.id(), "echo-64", 2, True)),
            "0 bytes of slots and asks",
        ),
        (
            Limits(in_flight=2),
            lambda c: (c.open("never", 3), [c.infer(0, slot) for slot in range(3)]),
            "2 requests under way",
        ),
    ],
)
def test_quotas(
    make_server: Callable[..., Any], limits: Limits, act: Callable[[RawClient], Any], text: str
) -> None:
    here = make_server(EchoService(limits))
    client = RawClient(here.path)
    act(client)
    failed = client.hear(m.Failed)
    assert failed.code == Code.QUOTA_EXCEEDED
    assert text in failed.message


def test_quotas_are_per_user_not_per_connection(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(in_flight=1, sessions=3)))
    first, second = RawClient(here.path), RawClient(here.path)
    for client in (first, second):
        client.open("never")
    request = first.infer(0)
    first.say(m.Control(first.id(), "echo"))
    first.hear(m.Reply)  # so the request has been read
    second.infer(0)
    assert second.hear(m.Failed).code == Code.QUOTA_EXCEEDED
    first.say(m.Cancel(request, 0, 0))
    first.hear(m.Failed)
    request = second.infer(0)
    second.say(m.Cancel(request, 0, 0))
    assert second.hear(m.Failed).code == Code.CANCELLED


def test_unknown_model(here: Any) -> None:
    client = RawClient(here.path)
    client.say(m.Open(1, "nope"))
    failed = client.hear(m.Failed)
    assert (failed.code, failed.remedy) == (Code.MODEL_NOT_FOUND, "loaded: echo-N, two, count")


def test_open_of_somebody_who_has_gone_is_closed(make_server: Callable[..., Any]) -> None:
    opened, go_on = threading.Event(), threading.Event()

    class Slow(EchoService):
        async def open(self, *args: Any) -> Any:
            opening = await super().open(*args)
            opened.set()
            await asyncio.to_thread(go_on.wait, 10)
            return opening

    here = make_server(Slow())
    client = RawClient(here.path)
    client.say(m.Open(1, "echo-4"))
    assert opened.wait(10)
    client.close()
    here.on_thread(lambda: None)
    go_on.set()
    while here.on_thread(lambda: here.service.open_sessions):
        sleep(0.005)


def test_a_model_that_cannot_be_told_of_is_refused(make_server: Callable[..., Any]) -> None:
    """A tensor's name longer than a message takes: the client hears why, and its connection lives."""

    class Wordy(EchoService):
        async def open(self, *arguments: Any) -> Opening:
            found = await super().open(*arguments)
            first = msgspec.structs.replace(found.inputs[0], name="x" * 5000)
            return Opening(found.handle, 1, (first,), found.outputs)

    here = make_server(Wordy())
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-8"))
    failed = client.hear(m.Failed)
    assert failed.code == Code.UNSUPPORTED
    assert "Opened cannot be sent" in failed.message
    client.say(m.Control(client.id(), "echo", 1))
    client.hear(m.Reply)
    assert here.service.open_sessions == 0
