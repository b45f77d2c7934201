"""A DAO's contracts, deployed once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dao_on_chain import DaoOnChain, deploy_dao, reopened


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The file of a ledger with a DAO and its addresses. Never change it: copy it."""
    path = tmp_path_factory.mktemp("deployed") / "ledger.sqlite"
    return path, deploy_dao(path)


@pytest.fixture
def dao(deployed: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[DaoOnChain]:
    """A DAO of one's own."""
    path, contracts = deployed
    shutil.copy(path, tmp_path / path.name)
    opened = reopened(tmp_path / path.name, contracts)
    yield opened
    opened.ledger.close()
