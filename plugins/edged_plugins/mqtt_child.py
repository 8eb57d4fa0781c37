"""`python -m edged_plugins.mqtt_child`: one connection to an MQTT broker; says only that a message came.

Takes its order as JSON on stdin. Lines of stdout: "ready TOPIC" when subscribed, "news" for a message,
"lost REASON" at the end. It holds 128 MiB at most whatever a broker sends, ends with its connection, and dies
with its parent, which starts the next one.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import ssl
import sys
from typing import Any

MEMORY = 128 << 20
_PR_SET_PDEATHSIG = 1


def say(*words: str) -> None:
    """One line to the parent."""
    print(*words, flush=True)


def _give_up(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception in a callback (no memory, bytes that are no MQTT): nobody reads the connection on."""
    say("lost", str(context.get("exception") or context["message"])[:200])
    os._exit(1)


async def listen(order: dict[str, Any]) -> str:
    """Connects, subscribes, reports messages; why that ended."""
    import aiomqtt

    asyncio.get_running_loop().set_exception_handler(_give_up)
    try:
        async with aiomqtt.Client(
            order["host"],
            order["port"],
            username=order["username"] or None,
            password=order["password"] or None,
            tls_context=ssl.create_default_context() if order["tls"] else None,
            max_queued_incoming_messages=1,
        ) as client:
            await client.subscribe(order["topic"], qos=1)
            say("ready", order["topic"])
            async for _message in client.messages:
                say("news")
    except aiomqtt.MqttError as error:
        return str(error)
    return "the connection ended"


def main() -> int:
    """Always 1: it has lost its connection, or could not make one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    try:
        reason = asyncio.run(listen(json.load(sys.stdin)))
    except ImportError as error:
        reason = f"the module {error.name} is missing: pip install 'edged[mqtt]'"
    except MemoryError:
        reason = "the broker sent too much"
    say("lost", " ".join(reason.split())[:200])
    return 1


if __name__ == "__main__":
    sys.exit(main())
