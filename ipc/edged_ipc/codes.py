"""Wire codes of every failure, in bands: the number that travels, and the name that logs and clients show.

1xx the request, 2xx the model, 3xx the backend, 4xx updates, 5xx the serial link, 6xx policy, 9xx edged.
`edged.errors` gives each of its leaves one of these.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The table. Numbers are part of the protocol: new ones are added, none is ever reused."""

    OK = 0
    BAD_INPUT = 100
    BUSY = 101
    DEADLINE_MISSED = 102
    CANCELLED = 103
    UNKNOWN_OUTCOME = 104
    BAD_FRAME = 105
    BAD_SLOT = 106
    NO_SESSION = 107
    SHUTTING_DOWN = 108
    MODEL_NOT_FOUND = 200
    BAD_MODEL = 201
    UNSUPPORTED = 202
    MODEL_UNLOADED = 203
    SIGNATURE_CHANGED = 204
    REQUIREMENT_NOT_MET = 205
    OUT_OF_MEMORY = 206
    BACKEND_FAILED = 300
    BACKEND_HUNG = 301
    BACKEND_GONE = 302
    UPDATE_FAILED = 400
    LINK_FAILED = 500
    NOT_PERMITTED = 600
    QUOTA_EXCEEDED = 601
    BAD_CONFIG = 602
    INTERNAL = 900
