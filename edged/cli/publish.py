"""`edged publish`, where its extra is installed; elsewhere a command that says what to install."""

from __future__ import annotations

import click

from edged.errors import ConfigError

publish: click.Command


def _absent(module: str) -> click.Command:
    """Takes any words, and refuses."""

    @click.command("publish", context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        """Needs edged[updates], which is not installed."""
        raise ConfigError(
            f"edged publish needs the module {module}, which is not installed",
            remedy="pip install 'edged[updates]'",
        )

    return command


try:
    from edged.cli.publish_commands import publish
except ImportError as error:
    if error.name is None or error.name.split(".")[0] == "edged":
        raise
    publish = _absent(error.name)
