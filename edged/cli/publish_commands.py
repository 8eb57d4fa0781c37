"""The commands of `edged publish`: a signed repository of models. Text for people in `publish_text`;
`--json` for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from edged import config as configuration
from edged.cli import publish_text as text
from edged.cli.tensors import load_npz
from edged.publish import bundle as bundles
from edged.publish import release as releases
from edged.publish import rollout as rollouts
from edged.publish import rotation, sealing, status, workspace
from edged.publish.golden import CASES
from edged.publish.serve import StaticServer

PATH = click.Path(path_type=Path)
C = TypeVar("C", bound=Callable[..., Any])


class Place:
    """What all commands share: the folder, further key folders, where the passphrase comes from."""

    def __init__(self, folder: Path, keys: tuple[Path, ...], passphrase_file: Path | None) -> None:
        self.folder, self.keys, self.passphrase_file = folder, keys, passphrase_file
        self._known: bytes | None = None
        self.confirm = False

    def passphrase(self) -> bytes:
        """From the file, $EDGED_PASSPHRASE, or the terminal; asked for once."""
        if self._known is None:
            if self.passphrase_file is not None:
                self._known = self.passphrase_file.read_bytes().rstrip(b"\n")
            else:
                given = configuration.passphrase()
                self._known = (given if given is not None else self._ask()).encode()
        return self._known

    def _ask(self) -> str:
        answer: str = click.prompt(
            "Passphrase of the keys", hide_input=True, confirmation_prompt=self.confirm, err=True
        )
        return answer

    @contextmanager
    def opened(self, *, new: bool = False) -> Iterator[workspace.Workspace]:
        """The workspace, locked."""
        self.confirm = new
        with workspace.opened(self.folder, self.passphrase, keys=self.keys, new=new) as found:
            yield found


def _as_json(command: C) -> C:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object.")(command)


def _say(as_json: bool, facts: Any, words: str) -> None:
    click.echo(json.dumps(facts, default=str) if as_json else words)


@click.group()
@click.option(
    "-w", "--workspace", "folder", type=PATH, default=".", help="The publisher's folder; else here."
)
@click.option(
    "--keys", type=PATH, multiple=True, help="A folder with private keys, such as a stick; repeatable."
)
@click.option(
    "--passphrase-file", type=PATH, help="Holds the passphrase; else $EDGED_PASSPHRASE, else a prompt."
)
@click.pass_context
def publish(ctx: click.Context, folder: Path, keys: tuple[Path, ...], passphrase_file: Path | None) -> None:
    """Makes and keeps a signed repository of models."""
    ctx.obj = Place(folder, keys, passphrase_file)


@publish.command()
@click.option(
    "--signer", "signers", multiple=True, metavar="ROLE=URI,PEM",
    help="A key that lives in a KMS or HSM, by its securesystemslib URI and public key; repeatable.",
)  # fmt: skip
@_as_json
@click.pass_obj
def init(place: Place, signers: tuple[str, ...], as_json: bool) -> None:
    """Makes a workspace: keys for every role, and an empty signed repository."""
    with place.opened(new=True) as opened:
        workspace.found(opened, _signers(signers))
        _say(as_json, status.facts(opened), text.founded(opened))


def _signers(words: tuple[str, ...]) -> dict[str, list[tuple[str, Path]]]:
    found: dict[str, list[tuple[str, Path]]] = {}
    for word in words:
        role, _, rest = word.partition("=")
        uri, _, pem = rest.rpartition(",")
        if not (role and uri and pem):
            raise click.BadParameter(f"{word!r} is not of the form ROLE=URI,PEM", param_hint="--signer")
        found.setdefault(role, []).append((uri, Path(pem)))
    return found


@publish.command()
@click.argument("model", type=PATH)
@click.option("--name", required=True, help="What the model is called on the gateways.")
@click.option("--version", required=True, type=int, help="Greater than every released one.")
@click.option("--inputs", type=PATH, help=".npz with golden inputs by tensor name, one case or a stack.")
@click.option(
    "--outputs", type=PATH, help=".npz with what the model must answer; else the reference computes it."
)
@click.option("--cases", default=CASES, show_default=True, help="How many golden inputs to draw.")
@click.option("--seed", default=0, help="Of the drawn inputs.")
@click.option("--tolerance", type=float, help="Largest difference of an output; else 0 for integer models.")
@click.option("--latency-ms", default=0.0, help="The most that the median golden case may take; 0: any.")
@click.option("--floor", default=0, help="Versions below it are barred for ever.")
@click.option(
    "--backend", "backends", multiple=True, help="A backend that the gateway must have; repeatable."
)
@click.option("--min-edged", help="The least version of edged; else this one.")
@click.option(
    "--deltas", default=releases.DELTAS, show_default=True, help="Against how many earlier versions."
)
@click.option("--seal", metavar="NAME=KEYFILE", help="Seals the file with a key that the gateways have.")
@click.option("--notes", default="", help="Words for people.")
@_as_json
@click.pass_obj
def add(place: Place, /, model: Path, name: str, version: int, as_json: bool, **given: Any) -> None:
    """Checks MODEL, records its golden cases, makes blobs and deltas, and drafts its manifest."""
    wanted = _wanted(**given)
    with place.opened() as opened:
        manifest = releases.add(opened, model, name, version, wanted)
        _say(as_json, status.version_facts(manifest), text.added(manifest))


def _wanted(
    *, inputs: Path | None, outputs: Path | None, latency_ms: float, min_edged: str | None, seal: str | None,
    **same: Any,
) -> releases.Wanted:  # fmt: skip
    if outputs is not None and inputs is None:
        raise click.BadParameter("golden outputs need their --inputs", param_hint="--outputs")
    if min_edged is not None:
        same["min_edged"] = min_edged
    if seal is not None:
        key_name, _, file = seal.partition("=")
        same["key"] = (key_name, sealing.key_file(Path(file)))
    return releases.Wanted(
        inputs=load_npz(inputs) if inputs else None,
        outputs=load_npz(outputs) if outputs else None,
        latency_us=round(latency_ms * 1000),
        **same,
    )


@publish.command()
@click.option(
    "--renew", multiple=True, help="A role whose expiry starts anew: root, targets, models, rollout."
)
@_as_json
@click.pass_obj
def release(place: Place, renew: tuple[str, ...], as_json: bool) -> None:
    """Signs what was added and makes it public; without drafts it keeps the timestamp fresh (daily)."""
    with place.opened() as opened:
        root = rotation.renew_root(opened, opened.edition()) if "root" in renew else None
        done = releases.release(opened, renew=status.checked_roles(renew))
        facts = {"released": [status.version_facts(m) for m in done], "root": root, **status.facts(opened)}
        _say(as_json, facts, text.released(done, opened))


@publish.command()
@click.argument("model")
@click.argument("version", type=int, required=False)
@click.option("--channel", default="stable", show_default=True)
@click.option(
    "--percent", type=click.FloatRange(0, 100), help="Share of the gateways; 100 for a new version."
)
@click.option(
    "--device", "devices", multiple=True, help="A gateway that is in whatever the share; repeatable."
)
@click.option("--pause/--resume", "paused", default=None, help="Keeps everybody at what they run.")
@click.option("--floor", type=int, help="Versions below it are barred for ever.")
@_as_json
@click.pass_obj
def rollout(
    place: Place, model: str, version: int | None, channel: str, percent: float | None,
    devices: tuple[str, ...], paused: bool | None, floor: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Says which released VERSION of MODEL the gateways of a channel run."""
    asked = rollouts.Change(version, percent, devices or None, paused, floor)
    with place.opened() as opened:
        rule = rollouts.change(opened, channel, model, asked)
        _say(as_json, status.rule_facts(channel, model, rule), text.rolled_out(channel, model, rule))


@publish.command("rotate-keys")
@click.argument("role")
@click.option("--key", "names", multiple=True, help="Only this key of the role; repeatable.")
@_as_json
@click.pass_obj
def rotate_keys(place: Place, role: str, names: tuple[str, ...], as_json: bool) -> None:
    """Gives ROLE new keys; no gateway is refused meanwhile."""
    with place.opened() as opened:
        done = rotation.rotate(opened, role, names)
        facts = {"role": role, "old": [e.name for e in done.old], "new": [e.name for e in done.new]}
        _say(as_json, facts, text.rotated(done))


@publish.command()
@click.argument("place_to", metavar="FOLDER", type=PATH)
@click.option("--days", default=60, show_default=True, help="How long it may be installed, 30 to 90.")
@_as_json
@click.pass_obj
def bundle(place: Place, place_to: Path, days: int, as_json: bool) -> None:
    """Copies the repository to FOLDER, such as a stick, signed to hold for months."""
    with place.opened() as opened:
        size = bundles.bundle(opened, place_to, days)
        _say(
            as_json,
            {"folder": str(place_to), "bytes": size, "days": days},
            text.bundled(place_to, size, days),
        )


@publish.command("status")
@_as_json
@click.pass_obj
def show_status(place: Place, as_json: bool) -> None:
    """Roles and when they expire, versions, drafts, rollouts."""
    with place.opened() as opened:
        _say(as_json, status.facts(opened), text.status(opened))


@publish.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Another address opens it to the network."
)
@click.option("--port", default=8080, show_default=True)
@click.pass_obj
def serve(place: Place, host: str, port: int) -> None:
    """Serves the repository over HTTP, for trying it out."""
    server = StaticServer(place.folder / "public", host, port, log=click.echo)
    click.echo(text.serving(server.url, place.folder))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
