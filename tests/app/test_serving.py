"""``roda serve`` as a process of its own: it answers, is paid, ends on Ctrl-C, comes back after a kill, and follows."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from small_dao import OWNERS, contribute, key_of

from rodagila.app import operations
from rodagila.app.cli.entry import run
from rodagila.app.daos import dao_named
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.progress import SILENT
from rodagila.app.serving import WATCH_SECONDS
from rodagila.client import buyer_transport_sync
from rodagila.market.prices import network_of

NOW = 1_750_000_000
QUESTION = "please tell me quickly: will it rain in Paris"
"""A text of the prepared home, whose vector is in its cache."""


@pytest.fixture(scope="module")
def served(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one closed turn and the keys of its people; its server may be paid, so tests share it."""
    path = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path, clock=lambda: NOW) as home:
        for name in (*OWNERS, "buyer"):
            home.keys.new(name, bytes(key_of(name).key))
        operations.turn_close(home, "docs", SILENT)
    return path


def start(home: Path, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """Start ``roda serve`` and wait for the address it prints."""
    command = [sys.executable, "-m", "rodagila.app.cli", "serve", "--port", str(port), "--home", str(home), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        assert waiting.select(timeout=60), "no address within a minute"
    line = process.stdout.readline()
    if not line.startswith('{"url"'):
        process.kill()
        raise AssertionError(line + process.communicate()[0])
    return process, json.loads(line)["url"]


@contextmanager
def serving(home: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve while the block lasts."""
    # A shell that runs this in the background ignores SIGINT, and so would the server it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process, url = start(home, port)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait(timeout=30)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(scope="module")
def url(served: Path) -> Iterator[str]:
    """The address of one server for the tests that do not end it."""
    with serving(served) as (_, address):
        yield address


def test_health_and_models_are_told_to_everybody(url: str) -> None:
    assert httpx.get(f"{url}/health").status_code == 200
    models = httpx.get(f"{url}/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["docs-1", "docs"]


def test_a_call_that_is_not_paid_gets_the_price_and_no_answer(url: str) -> None:
    body = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert reply.status_code == 402
    assert "choices" not in reply.json()


def test_ask_pays_and_gets_an_answer_with_citations_and_a_receipt(
    url: str, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home.open(served) as home:
        dao = dao_named(home, "docs")
        held = dao.contract("PayToken").call("balanceOf", key_of("buyer").address)
        capsys.readouterr()
        arguments = ["ask", QUESTION, "--dao", "docs", "--key", "buyer", "--url", url, "--json", "--home", str(served)]
        assert run(arguments) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["paid"] == dao.policy.prices.chat
        assert dao.contract("PayToken").call("balanceOf", key_of("buyer").address) == held - answer["paid"]
    assert answer["citations"][0]["text"] == QUESTION
    assert answer["citations"][0]["owner"] == key_of("bob").address
    assert answer["receipt"]


def test_the_client_of_openai_pays_and_is_answered(url: str, served: Path) -> None:
    with Home.open(served) as home:
        dao = dao_named(home, "docs")
        token, network = dao.row.token, network_of(dao.domain.chain_id)
    transport = buyer_transport_sync(key_of("buyer"), token, network, 10_000)
    with (
        httpx.Client(transport=transport) as http,
        openai.OpenAI(api_key="-", base_url=f"{url}/v1", http_client=http) as client,
    ):
        reply = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}])
    assert reply.model == "docs-1"
    assert reply.choices[0].message.content


def test_a_second_server_on_the_port_is_refused_in_a_sentence(
    url: str, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = url.rsplit(":", 1)[1]
    capsys.readouterr()
    assert run(["serve", "--port", port, "--home", str(served), "--json"]) == 1
    failed = json.loads(capsys.readouterr().out)["error"]
    assert failed["code"] == "port_in_use"
    assert port in failed["detail"]
    assert httpx.get(f"{url}/health").status_code == 200


def ended(process: subprocess.Popen[str], asked: signal.Signals) -> None:
    """Ask a server to end and check that it does: soon, quietly, with status 0."""
    begin = time.monotonic()
    process.send_signal(asked)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == ""
    # Nothing but the progress of a start that took over two seconds.
    assert re.fullmatch(r"(Put the models together: …\nPut the models together: done in \d+\.\d s\n)?", err), err
    assert time.monotonic() - begin < 5


def test_a_server_ends_cleanly_when_asked_and_comes_back_after_a_kill(served: Path) -> None:
    with serving(served) as (process, address):
        port = int(address.rsplit(":", 1)[1])
        ended(process, signal.SIGINT)
    with serving(served, port) as (process, address):
        httpx.get(f"{address}/v1/models")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    with serving(served, port) as (process, address):
        assert httpx.get(f"{address}/v1/models").json()["data"][0]["id"] == "docs-1"
        ended(process, signal.SIGTERM)


def models_within(url: str, seconds: float, wanted: str) -> bool:
    """Tell whether the model ``wanted`` is on offer within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if wanted in [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]]:
            return True
        time.sleep(0.2)
    return False


def test_a_turn_that_another_process_closes_is_served_within_seconds(served: Path, tmp_path: Path) -> None:
    path = tmp_path / "home"
    shutil.copytree(served, path)
    with serving(path) as (_, address):
        assert models_within(address, 10, "docs-1")
        with Home.open(path, clock=lambda: NOW) as home:
            contribute(dao_named(home, "docs"), "ada", 2)
        done = roda(path, "turn", "close", "--dao", "docs")
        assert done["turn"] == 2
        assert models_within(address, 20, "docs-2")


def test_a_new_model_that_cannot_be_put_together_leaves_the_old_one_on_offer(served: Path, tmp_path: Path) -> None:
    path = tmp_path / "home"
    shutil.copytree(served, path)
    with serving(path) as (process, address):
        process.send_signal(signal.SIGSTOP)  # it must not see the new model before the damage
        with Home.open(path, clock=lambda: NOW) as home:
            dao = dao_named(home, "docs")
            contribute(dao, "ada", 2)
            operations.turn_close(home, "docs", SILENT)
            given = contributions_of(dao)[0]
            name = given.ciphertext_id.hex()
            (path / "blobs" / name[:2] / name).write_bytes(b"damaged")
        process.send_signal(signal.SIGCONT)
        time.sleep(3 * WATCH_SECONDS)
        offered = [model["id"] for model in httpx.get(f"{address}/v1/models").json()["data"]]
        assert offered == ["docs-1", "docs"]
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)[1]
        assert told.count(f"contribution 0x{given.id.hex()}") == 1  # once, not at every look


def roda(home: Path, *arguments: str) -> Any:
    """Run a command in a process of its own; return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "rodagila.app.cli", *arguments, "--home", str(home), "--json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
