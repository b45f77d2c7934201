"""One stand for the gateway's tests; its models count and fail on demand, so each test resets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_stand import Stand, WordModel, serving


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A stand on a temporary home."""
    stand = Stand(Path(tmp_path_factory.mktemp("gateway")))
    yield stand
    stand.close()


@pytest.fixture(scope="session")
def url(stand: Stand) -> Iterator[str]:
    """The address of the gateway on a real port."""
    with serving(stand.app) as address:
        yield address


@pytest.fixture
def model(stand: Stand) -> Iterator[WordModel]:
    """The model of the DAO docs, as new."""
    model = stand.models["docs"]
    model.calls, model.fails, model.before = 0, None, lambda: None
    yield model
    model.fails, model.before = None, lambda: None


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    """A client that pays nothing by itself."""
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
