"""Fixtures shared by every test package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def models_folder() -> Path:
    """Where the real models lie: $EDGED_MODELS, else ../shared/models beside the checkout."""
    return Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models; a test that needs it is skipped, with the reason, where it is not."""
    folder = models_folder()
    if not (folder / "MANIFEST.tsv").is_file():
        pytest.skip(f"no real models at {folder}: set EDGED_MODELS to a folder with MANIFEST.tsv")
    return folder
