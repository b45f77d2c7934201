"""Labelling through the SDK and the command line: the same queue, each request proven by its account."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from labellers import CHOICES, honest, items, launch_batch, truth_of
from small_dao import key_of

from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named, drip
from rodagila.app.home import Home
from rodagila.app.serving import running
from rodagila.app.tasks import audit_batches, close_batch, pay_batch
from rodagila.client import AsyncClient, Client
from rodagila.collect.responding import ask, respond
from rodagila.core.errors import InvalidInput, NotAuthorised, NotFound, RefusedByPolicy
from rodagila.serve.tasks import TaskDesk


@pytest.fixture(scope="module")
def served(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dao, str]]:
    """A DAO with an open batch behind a gateway on a real port; no model is there yet."""
    path = tmp_path_factory.mktemp("http") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path) as home:
        dao = dao_named(home, "docs")
        launch_batch(dao, tasks=6, golds=20, overlap=4)
        with running(home) as (_, url):
            yield dao, url


@pytest.fixture
def card(served: tuple[Dao, str]) -> dict[str, Any]:
    """The card of the open batch, as anyone reads it."""
    with Client(served[1]) as client:
        (found,) = client.batches()["data"]
    assert isinstance(found, dict)
    return found


def post(url: str, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{url}/{path}", json=body, timeout=30)


def test_labellers_work_through_both_clients_and_are_paid(served: tuple[Dao, str], card: dict[str, Any]) -> None:
    _, url = served

    def work(name: str) -> int:
        with Client(url, key_of(name)) as client:
            for done in range(100):
                try:
                    task = client.next_task(card)
                except NotFound as end:
                    assert end.code == "task_none"
                    return done
                client.respond(card, task, honest(task["content"]["text"]))
        raise AssertionError

    async def work_async(name: str) -> int:
        client = AsyncClient(url, key_of(name))
        try:
            for done in range(100):
                try:
                    task = await client.next_task(card)
                except NotFound:
                    return done
                await client.respond(card, task, honest(task["content"]["text"]))
        finally:
            await client.close()
        raise AssertionError

    assert work("one") >= 26
    assert asyncio.run(work_async("two")) >= 26
    with Client(url, key_of("one")) as client, pytest.raises(NotFound):
        client.next_task(card)
    assert "rodagila_responses_total" in httpx.get(f"{url}/metrics", timeout=30).text


def test_what_is_not_the_account_s_own_word_is_refused(served: tuple[Dao, str], card: dict[str, Any]) -> None:
    _, url = served
    ada, now = key_of("ada"), int(time.time())
    with Client(url, ada) as client:
        task = client.next_task(card)
        assert client.next_task(card) == task
    asked = ask(key_of("bob"), card, nonce=1, now=now)
    for change, status, code in (
        ({"account": ada.address}, 401, "response_invalid"),
        ({"nonce": "2"}, 401, "response_invalid"),
        ({"expiry": now - 1}, 401, "response_invalid"),
        ({"signature": "0x" + "00" * 65}, 401, "response_invalid"),
        ({"batch": "0x" + "11" * 32}, 404, "batch_unknown"),
        ({"nonce": "-1"}, 422, "invalid_request"),
        ({"nonce": "9" * 78}, 422, "invalid_request"),
        ({"extra": 1}, 422, "invalid_request"),
    ):
        answered = post(url, "v1/tasks/next", asked | change)
        assert (answered.status_code, answered.json()["code"]) == (status, code), change
    assert post(url, "v1/tasks/next", asked).status_code == 200
    assert post(url, "v1/tasks/next", asked).json()["code"] == "nonce_replayed"
    elsewhere = ask(key_of("cem"), card | {"chain_id": 1}, nonce=1, now=now)
    assert post(url, "v1/tasks/next", elsewhere).json()["code"] == "response_invalid"

    given = respond(ada, card, task, CHOICES[0], now=now)
    for change, status, code in (
        ({"account": key_of("bob").address}, 401, "response_invalid"),
        ({"commitment": "0x" + "11" * 32}, 401, "response_invalid"),
        ({"lease": "0x" + "11" * 32}, 401, "response_invalid"),
        ({"opening": "?"}, 422, "invalid_request"),
        ({"opening": "A" * 50_000}, 422, "invalid_request"),
        ({"opening": "A" * 2_000_000}, 413, "body_too_large"),
    ):
        answered = post(url, "v1/responses", given | change)
        assert (answered.status_code, answered.json()["code"]) == (status, code), change
    assert post(url, "v1/responses", given).status_code == 201
    assert post(url, "v1/responses", given).status_code == 201
    other = respond(ada, card, task, CHOICES[1], now=now)
    assert post(url, "v1/responses", other).json()["code"] == "lease_used"


def test_a_client_says_what_is_wrong_before_it_sends(served: tuple[Dao, str], card: dict[str, Any]) -> None:
    with Client(served[1], key_of("gil")) as client:
        task = client.next_task(card)
        with pytest.raises(InvalidInput) as wrong:
            client.respond(card, task, "sports")
        assert wrong.value.code == "answer_invalid"
        shown = {**task, "content": {**task["content"], "text": "another text"}}
        with pytest.raises(NotAuthorised):
            client.respond(card, shown, CHOICES[0])
        with pytest.raises(RefusedByPolicy):
            client.open_response(card, task, CHOICES[0])
    with Client(served[1]) as nobody, pytest.raises(NotAuthorised):
        nobody.next_task(card)


def test_the_desk_is_what_the_gateway_serves(served: tuple[Dao, str]) -> None:
    document = httpx.get(f"{served[1]}/openapi.json", timeout=30).json()
    for path in ("/v1/batches", "/v1/tasks/next", "/v1/responses", "/v1/responses/open"):
        assert path in document["paths"]
    assert TaskDesk.__doc__


def command(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    """Run a command with --json and return what it printed."""
    assert run([*words, "--json"]) == status, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def test_a_batch_from_the_command_line(
    prepared_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home"
    shutil.copytree(prepared_home, path)
    monkeypatch.setenv("RODA_HOME", str(path))
    with Home.open(path) as home:
        for name in ("gwen", "ada"):
            home.keys.import_key(name, bytes(key_of(name).key).hex(), None)
            drip(home, key_of(name).address, 5_000_000)
    for name, rows in (("tasks", items(0, 3)), ("golds", items(1_000, 20, golds=True))):
        lines = [
            {"text": row.text, "information": row.information, **({"truth": row.truth} if row.truth else {})}
            for row in rows
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    new = ["task", "new", str(tmp_path / "tasks.jsonl"), "--golds", str(tmp_path / "golds.jsonl"), "--dao", "docs"]
    new += ["--key", "gwen", "--instruction", "Which topic?", "--overlap", "1", "--price", "0.01", "--most", "0.03"]
    new += [word for choice in CHOICES for word in ("--choice", choice)]
    at = ["--dao", "docs"]

    planned = command(capsys, *new, "--dry-run")
    assert planned["dry_run"] and 30_000 <= planned["budget"] <= 90_000
    assert command(capsys, "task", "list", *at) == []
    made = command(capsys, *new)
    assert (made["state"], made["budget"], made["batch"]) == ("open", planned["budget"], 1)
    assert command(capsys, *new, status=1)["error"]["code"] == "tasks_known"
    assert (
        command(capsys, "task", "answer", "1", "cards", *at, "--key", "ada", status=4)["error"]["code"]
        == "lease_unknown"
    )
    for _ in range(23):
        shown = command(capsys, "task", "next", "1", *at, "--key", "ada")
        said = truth_of(shown["content"]["text"])
        dry = command(capsys, "task", "answer", "1", said, *at, "--key", "ada", "--dry-run")
        assert dry == {"dry_run": True, "lease": shown["lease"], "answer": said, "price": shown["price"]}
        command(capsys, "task", "answer", "1", said, *at, "--key", "ada")
    assert command(capsys, "task", "next", "1", *at, "--key", "ada", status=4)["error"]["code"] == "task_none"
    assert command(capsys, "task", "pay", "1", *at, status=6)["error"]["code"] == "batch_closed"
    assert command(capsys, "task", "close", "1", *at, "--dry-run")["responses"] == 23
    assert command(capsys, "task", "close", "1", *at) == {"batch": 1, "state": "closed", "responses": 23}
    assert command(capsys, "task", "pay", "1", *at, "--dry-run")["state"] == "closed"
    paid = command(capsys, "task", "pay", "1", *at)
    assert paid["paid"] + paid["returned"] == paid["budget"]
    assert command(capsys, "task", "show", "1", *at) == paid
    assert command(capsys, "task", "audit", *at)["ok"]
    assert run(["task", "audit", *at]) == 0
    assert "pay and labels of 1 batch were recomputed and agree" in capsys.readouterr().out
    assert run(["task", "list", *at]) == run(["task", "show", "1", *at]) == 0
    with Home.open(path) as home:
        assert audit_batches(dao_named(home, "docs"))[0].ok


def test_a_closed_batch_takes_nothing_over_http(served: tuple[Dao, str], card: dict[str, Any]) -> None:
    dao, url = served
    with Client(url, key_of("hal")) as client:
        task = client.next_task(card)
        close_batch(dao, 1)
        with pytest.raises(RefusedByPolicy) as closed:
            client.respond(card, task, CHOICES[0])
        assert closed.value.code == "batch_closed"
        assert client.batches()["data"] == []
    shown = pay_batch(dao, 1)
    assert shown["paid"] > 0
    assert {row["account"] for row in shown["pay"] if row["pay"]} == {key_of("one").address, key_of("two").address}
