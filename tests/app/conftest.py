"""A home with a small DAO, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_dao import OWNERS, TOPICS, contribute, launch_dao, pay, texts

from rodagila.app.home import Home


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose first turn has contributions and fees and is ready to be closed. Never change it: copy it."""
    path = tmp_path_factory.mktemp("prepared") / "home"
    with Home.open(path, clock=lambda: 1_750_000_000) as home:
        dao = launch_dao(home)
        for owner in OWNERS:
            contribute(dao, owner)
        pay(dao, 3_000_000)
        home.embedder.encode([record.text for topic in TOPICS for turn in (1, 0) for record in texts(topic, turn)])
    return path


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path) -> Iterator[Home]:
    """An open copy of the prepared home."""
    shutil.copytree(prepared_home, tmp_path / "home")
    with Home.open(tmp_path / "home", clock=lambda: 1_750_000_000) as opened:
        yield opened
