"""Three keepers as processes of their own: a contribution is opened by an evaluator through two, and forgotten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from rodagila.app.home import Home
from rodagila.app.ledger_server import LedgerApp
from rodagila.app.listening import listening
from rodagila.app.node.keeper import HttpKeeper, KeeperRefused
from rodagila.chain.contracts import Contract, deploy, send_wei
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.collect.contribution import SealedContribution, open_contribution, prepare_contribution
from rodagila.core.errors import Unreachable
from rodagila.core.hashing import ZERO_HASH, from_hex, keccak
from rodagila.core.messages import Domain, dao_id, signer_of
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.releases import ShareDeletion
from rodagila.vault.accounts import KeyStore
from rodagila.vault.grants import Terms, grant_id
from rodagila.vault.quorum import QuorumKeeper
from rodagila.vault.sealing import age_identity, recipient_of
from rodagila.vault.split_keys import KeeperSet, public_key_of
from rodagila.vault.transparency import open_head, require_consistency, require_inclusion

OWNER, ADA, EVALUATOR = (Account.from_key(keccak(name)) for name in (b"owner", b"ada", b"evaluator"))
RECORDS = [Record("How do I reset my passphrase?", "account"), Record("Where is my parcel?", "delivery")]


class Node:
    """The DAO's side: a ledger behind JSON-RPC, contracts, and keepers that run beside it."""

    def __init__(self, path: Path, home: Home, url: str) -> None:
        self.path, self.home, self.url = path, home, url
        ledger: Any = home.ledger
        for account in (OWNER, ADA):
            send_wei(ledger, ledger.faucet, account.address, 10**18)
        self.registry: Contract = deploy(ledger, OWNER, "Registry", OWNER.address, OWNER.address, keccak(b"policy"))
        self.licenses: Contract = deploy(ledger, OWNER, "Licenses", OWNER.address, OWNER.address)
        self.domain = Domain(ledger.chain_id, self.registry.address)
        self.processes: dict[int, subprocess.Popen[str]] = {}

    def start(self, *places: int) -> dict[int, HttpKeeper]:
        """Start keepers, all at once; each has a home, a key and a port of its own."""
        for place in places:
            home = self.path / f"keeper{place}"
            if not home.exists():
                with Home.open(home):
                    KeyStore(home / "keys").new("keeper", keccak(b"keeper%d" % place))
            command = ["node", "run", "--role", "keeper", "--key", "keeper", "--home", str(home), "--ledger", self.url]
            command += [
                "--registry",
                self.registry.address,
                "--licenses",
                self.licenses.address,
                "--port",
                "0",
                "--json",
            ]
            with (self.path / f"keeper{place}.log").open("a") as stderr:
                self.processes[place] = subprocess.Popen(
                    [sys.executable, "-m", "rodagila.app.cli", *command],
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    env=os.environ,
                )
        return {place: self._ready(place) for place in places}

    def _ready(self, place: int) -> HttpKeeper:
        stdout = self.processes[place].stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, (self.path / f"keeper{place}.log").read_text()
        return HttpKeeper.at(json.loads(line)["url"])

    def kill(self, *places: int) -> None:
        for place in places:
            process = self.processes.pop(place)
            process.send_signal(signal.SIGKILL)
            process.communicate()

    def grant(self, salt: bytes = ZERO_HASH) -> bytes:
        """A standing grant for the evaluator, as a decision would make it."""
        key = public_key_of(recipient_of(age_identity(EVALUATOR)))
        purpose, code, decision = (keccak(text) for text in (b"evaluate", b"checks", b"decision"))
        terms = Terms(EVALUATOR.address, key, 2, dao_id(self.domain), purpose, code, decision, salt)
        values = tuple(getattr(terms, name) for name in Terms.__slots__)
        self.licenses.transact(OWNER, "grant", values, self.home.ledger.timestamp() + 3_600)
        return grant_id(self.domain.chain_id, self.licenses.address, terms)


@contextmanager
def node_at(path: Path) -> Iterator[Node]:
    with ExitStack() as parts:
        home = parts.enter_context(Home.open(path / "home", ledger_url=""))
        methods = ethereum_methods(home.ledger)  # type: ignore[arg-type]
        url = parts.enter_context(listening(lambda: LedgerApp(Dispatcher(methods)), "127.0.0.1", 0))
        node = Node(path, home, url)
        parts.callback(lambda: node.kill(*list(node.processes)))
        yield node


def sealed(node: Node, recipients: list[str]) -> SealedContribution:
    return prepare_contribution(
        RECORDS,
        owner=ADA,
        domain=node.domain,
        policy=Policy(name="docs"),
        keeper_recipient=KeeperSet(tuple(recipients), 2),
        nonce=1,
        salt=bytes(32),
        consent_expiry=node.home.clock() + 86_400,
    )


def test_a_contribution_is_opened_through_two_of_three_keepers_and_forgotten(tmp_path: Path) -> None:
    with node_at(tmp_path) as node:
        keepers = node.start(0, 1, 2)
        made = sealed(node, [keeper.recipient for keeper in keepers.values()])
        for keeper in keepers.values():
            keeper.deposit(made.manifest, made.signature, made.sealed_key, made.consent.as_json())
        grant = node.grant()

        def read() -> list[Record]:
            quorum = QuorumKeeper(
                EVALUATOR, node.domain, grant, list(keepers.values()), threshold=2, clock=node.home.clock
            )
            opened = open_contribution(made.manifest, made.ciphertext, made.sealed_key, quorum, domain=node.domain)
            return list(opened.records)

        assert read() == RECORDS
        verifier = httpx.get(f"{keepers[0].url}/v1/keeper").json()["verifier"]
        before = open_head(httpx.get(f"{keepers[0].url}/v1/log/checkpoint").text, verifier)
        node.kill(0)
        assert read() == RECORDS
        node.kill(1)
        with pytest.raises(Unreachable) as caught:
            read()
        assert caught.value.code == "quorum_missing"
        keepers |= node.start(0, 1)
        assert read() == RECORDS

        node.registry.transact(ADA, "revoke", made.contribution_id)
        with pytest.raises(Unreachable) as caught:
            read()
        assert set(caught.value.details["codes"]) == {"contribution_revoked"}
        for keeper in keepers.values():
            receipt = httpx.get(f"{keeper.url}/v1/deletions/0x{made.contribution_id.hex()}").json()
            fields = {
                name: from_hex(value) if isinstance(value, str) and len(value) == 66 else value
                for name, value in receipt["record"].items()
            }
            assert signer_of(node.domain, ShareDeletion(**fields), from_hex(receipt["signature"])) == keeper.address
        check_log(keepers[0], verifier, before)
        node.kill(0, 1, 2)
        for path in tmp_path.rglob("*"):
            if path.is_file() and "home" not in path.parts:
                data = path.read_bytes()
                assert not any(record.text.encode() in data for record in RECORDS), path


def check_log(keeper: HttpKeeper, verifier: str, before: Any) -> None:
    """The keeper's log continues what it was before it was killed, and its last entry is in it."""
    with httpx.Client(base_url=keeper.url) as client:
        head = open_head(client.get("/v1/log/checkpoint").text, verifier)
        proof = client.get("/v1/log/consistency", params={"old": before.size, "new": head.size}).json()["proof"]
        require_consistency(before, head, decoded(proof))
        place = head.size - 1
        entry = client.get(f"/v1/log/entries/{place}").content
        proof = client.get("/v1/log/inclusion", params={"place": place, "size": head.size}).json()["proof"]
        require_inclusion(entry, place, head, decoded(proof))
        assert json.loads(entry)["kind"] == "deletion"


def decoded(proof: list[str]) -> list[bytes]:
    import base64

    return [base64.b64decode(one) for one in proof]


def test_a_keeper_answers_nonsense_with_a_problem(tmp_path: Path) -> None:
    with node_at(tmp_path) as node:
        (keeper,) = node.start(0).values()
        with httpx.Client(base_url=keeper.url) as client:
            for body in ({}, {"requests": [{}]}, {"requests": [{"request": {"grant_id": "0x"}}]}, {"requests": 1}):
                answer = client.post("/v1/releases", json=body)
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
                assert answer.headers["content-type"] == "application/problem+json"
            for path, status, code in (
                ("/v1/log/entries/0", 404, "log_unknown"),
                ("/v1/log/inclusion?place=0&size=1", 404, "log_unknown"),
                ("/v1/log/consistency?old=1&new=0", 404, "log_unknown"),
                ("/v1/deletions/0x00", 404, "share_unknown"),
                ("/v1/nothing", 404, "route_unknown"),
            ):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert client.post("/v1/shares", content=b"x" * 2_000_000).json()["code"] == "body_too_large"
        with pytest.raises(KeeperRefused) as caught:
            keeper.ask([])
        assert caught.value.code == "invalid_request"
