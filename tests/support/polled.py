"""The updater's process against a repository behind a server that notes requests."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from edged.models.poll import Order
from edged.publish.serve import StaticServer
from support.model_repository import Repository


class Site:
    """A repository behind a server that notes requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = Repository(folder / "repository")
        self.requests: list[str] = []
        self.server = StaticServer(self.repository.root, log=self.requests.append)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        (folder / "root.json").write_bytes(self.repository.bootstrap)

    def poll(self, **changes: Any) -> tuple[list[dict[str, Any]], int]:
        """(facts, exit status)."""
        order = Order(
            **{
                "state": str(self.folder / "device"), "url": self.server.url, "channel": "stable", "device": "d",
                "root": str(self.folder / "root.json"), "quota_bytes": 1 << 30, **changes,
            }
        )  # fmt: skip
        with subprocess.Popen(
            [sys.executable, "-m", "edged.models.poll"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(msgspec.json.encode(order))
            child.stdin.close()
            facts = [json.loads(line) for line in child.stdout]
        return facts, child.returncode

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
