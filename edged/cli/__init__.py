"""The command line: one module per group of commands, imported when a command of it is used.

COMMANDS is the table: command -> module of this package that holds a click command of that name (`load` as
`load_`, where Python or a module would be in the way).
"""

from __future__ import annotations

from importlib import import_module

import click

from edged import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("inspect", "check"),
    "show": ("inspect", "show"),
    "infer": ("infer", "infer"),
    "plan": ("plan", "plan"),
    "tune": ("plan", "tune"),
    "bench": ("bench", "bench"),
    "codegen": ("codegen", "codegen"),
    "doctor": ("doctor", "doctor"),
    "hil": ("hil", "hil"),
    "demo": ("demo", "demo"),
    "run": ("run", "run"),
    "load": ("remote", "load"),
    "unload": ("remote", "unload"),
    "swap": ("remote", "swap"),
    "status": ("remote", "status"),
    "ps": ("remote", "ps"),
    "top": ("top", "top"),
    "logs": ("remote", "logs"),
    "reload": ("remote", "reload"),
    "models": ("updates", "models"),
    "update": ("updates", "update"),
    "rollback": ("updates", "rollback"),
    "pin": ("updates", "pin"),
    "publish": ("publish", "publish"),
}


class _Lazy(click.Group):
    """A group that knows its commands by name and imports one only when it is run or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edged")
@click.option("--config", "config_path", type=click.Path(dir_okay=False), help="edged.toml to use.")
@click.pass_context
def edged(ctx: click.Context, config_path: str | None) -> None:
    """Runs models on whatever this gateway has."""
    ctx.obj = config_path
