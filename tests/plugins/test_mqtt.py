"""A message means "poll now": whatever it holds, however many come; and polls go on without a broker."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.config import Config, parse
from edged.errors import ConfigError
from edged_plugins import mqtt
from sim.mqtt_broker import Broker, broker

SECONDS = 20.0


def config(port: int, **more: object) -> Config:
    words = "".join(f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}\n" for k, v in more.items())
    return parse(
        f'[updates]\nchannel = "beta"\n[plugins.options.mqtt]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n'
        f"spread_seconds = 0.0\n{words}"
    )


@pytest.fixture
def hints() -> queue.Queue[None]:
    return queue.Queue()


@pytest.fixture
def peer(hints: queue.Queue[None]) -> Iterator[Broker]:
    """A broker that the plugin has subscribed to."""
    with broker() as made:
        stop = mqtt.edged_watch_updates(config(made.port), lambda: hints.put(None))
        assert stop is not None
        try:
            assert made.subscribed.wait(SECONDS)
            yield made
        finally:
            stop()


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"url": "http://evil", "version": 9}', b"\xff" * 5000])
def test_a_message_means_poll_now_whatever_it_holds(
    peer: Broker, hints: queue.Queue[None], payload: bytes
) -> None:
    assert peer.topics == ["edged/update/beta"]
    peer.publish("edged/update/beta", payload)
    assert hints.get(timeout=SECONDS) is None


def test_it_comes_back_after_the_broker_went(peer: Broker, hints: queue.Queue[None]) -> None:
    peer.drop()
    assert peer.subscribed.wait(SECONDS)
    peer.publish("edged/update/beta", b"x")
    hints.get(timeout=SECONDS)


def test_bytes_that_are_no_mqtt_hurt_nobody(peer: Broker, hints: queue.Queue[None]) -> None:
    peer.subscribed.clear()
    peer.send(b"\x30\xff\xff\xff\xff\xff" + bytes(100))
    peer.drop()
    assert peer.subscribed.wait(SECONDS)
    peer.publish("edged/update/beta", b"x")
    hints.get(timeout=SECONDS)


def test_a_message_without_an_end_is_bounded(peer: Broker, hints: queue.Queue[None]) -> None:
    """The child may hold 128 MiB; one that a broker fills ends, and another begins."""
    peer.subscribed.clear()
    peer.send(b"\x30\xff\xff\xff\x7f")
    piece = bytes(1 << 20)
    for _ in range(255):
        peer.send(piece)
    peer.drop()
    assert peer.subscribed.wait(SECONDS)
    peer.publish("edged/update/beta", b"x")
    hints.get(timeout=SECONDS)


def test_without_a_host_there_is_nothing() -> None:
    assert mqtt.edged_watch_updates(Config(), lambda: None) is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('hots = "x"', "unknown key plugins.options.mqtt.hots"),
        ('port = "x"', "port must be a int"),
        ('topic = "edged/#"', "names one topic"),
        ('host = "x"\npassword_file = "/nowhere"', "/nowhere: No such file"),
    ],
)
def test_mistakes_are_named(table: str, words: str) -> None:
    made = parse(f"[plugins.options.mqtt]\n{table}\n")
    with pytest.raises(ConfigError, match=words):
        mqtt.edged_watch_updates(made, lambda: None)


def test_a_password_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret\nmore\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 0400"):
        mqtt.password(str(path))
    path.chmod(0o400)
    assert mqtt.password(str(path)) == "secret"
