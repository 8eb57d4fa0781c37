"""`edged run`: the daemon itself."""

from __future__ import annotations

import asyncio

import click

from edged import config as configuration


@click.command()
@click.pass_obj
def run(config_path: str | None) -> None:
    """Serves until SIGTERM."""
    from edged.daemon.process import Daemon

    config = configuration.load(config_path)

    async def serve() -> None:
        await Daemon(config, config_path).run()

    asyncio.run(serve())
