"""The [[model]] tables made true in the registry: at the start, when a device comes, when the configuration
is read again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from edged.config import ModelConfig
from edged.errors import EdgedError
from edged.runtime.house import House
from edged.source import file_source

log = logging.getLogger("edged")


def load_missing(house: House, tables: Sequence[ModelConfig]) -> None:
    """Loads what is not loaded. A model that cannot be is logged, and holds up no other."""
    for table in tables:
        if table.name in house.registry.entries:
            continue
        try:
            house.load(
                table.name,
                file_source(Path(table.path)),
                keep=table.keep,
                priority=table.priority,
                batch_wait=table.batch_wait_us / 1e6,
                pin=table.pin,
                require=table.require,
                batch=table.batch,
            )
        except EdgedError as error:
            log.error("model %s is not loaded: %s", table.name, error, extra={"model": table.name})


def follow(
    house: House, before: Sequence[ModelConfig], after: Sequence[ModelConfig], updated: Collection[str]
) -> None:
    """What has changed between two readings: a table that is gone takes its model along, one that says
    something else swaps it, without a request lost. The models in `updated` come from updates: their versions
    stay."""
    now = {table.name: table for table in after}
    for old in before:
        new = now.get(old.name)
        if new == old or old.name not in house.registry.entries:
            continue
        try:
            if new is not None:
                _change(house, new, swap=old.name not in updated)
            elif old.name not in updated:
                house.registry.unload(old.name)
        except EdgedError as error:
            log.error("model %s stays as it was: %s", old.name, error, extra={"model": old.name})


def _change(house: House, table: ModelConfig, *, swap: bool) -> None:
    if swap:
        demand = house.demand(pin=table.pin, require=table.require, batch=table.batch)
        house.registry.swap(table.name, file_source(Path(table.path)), demand)
    else:
        log.info("model %s: pin, require and batch hold from its next version on", table.name)
    entry = house.registry.find(table.name)
    entry.keep, entry.priority, entry.batch_wait = table.keep, table.priority, table.batch_wait_us / 1e6
