"""A whole gateway for tests: embedded ledger, deployed pay token, funded buyers, SQLite home and a real port.

The model is a small stand-in with the protocol's shape over real sentences: cosine of hashed words, no training.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from fastapi import FastAPI
from sqlalchemy import insert

with warnings.catch_warnings():
    # web3, which x402's EVM schemes import, still imports a module that websockets has deprecated.
    warnings.filterwarnings("ignore", "websockets.legacy is deprecated", DeprecationWarning)
    import x402.mechanisms.evm  # noqa: F401

from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.funding import faucet_of
from rodagila.chain.port import Ledger
from rodagila.chain.predeploys import predeployed_code
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, dao_id
from rodagila.core.policy import Policy, PriceRules
from rodagila.market.calls import Calls
from rodagila.market.channels import ChannelStore
from rodagila.market.paywall import Paywall
from rodagila.market.prices import Token, network_of
from rodagila.serve.catalogue import Catalogue, ServedModel
from rodagila.serve.feedback import FeedbackBook
from rodagila.serve.gateway import GatewayContext, create_app
from rodagila.store import schema
from rodagila.store.database import Database

SENTENCES = (
    ("Open file and return a corresponding file object.", "open"),
    ("Deserialize s, a str instance containing a JSON document, to a Python object.", "json.loads"),
    ("Serialize obj to a JSON formatted str.", "json.dumps"),
    ("Return a new sorted list from the items in iterable.", "sorted"),
    ("Recursively delete a directory tree.", "shutil.rmtree"),
    ("Suspend execution of the calling thread for the given number of seconds.", "time.sleep"),
    ("Compile a regular expression pattern into a regular expression object.", "re.compile"),
    ("Return the absolute value of a number.", "abs"),
)
PRICES = PriceRules(chat=2_000, search=1_000, classify=900, embeddings=500)


def key(name: str) -> LocalAccount:
    """Return a test account that its name determines."""
    account: LocalAccount = Account.from_key(keccak(f"test {name}".encode()))
    return account


@dataclass(frozen=True, slots=True)
class Found:
    place: int
    owner: str
    contribution_id: bytes
    text: str
    target: str
    score_ppm: int


@dataclass(frozen=True, slots=True)
class Said:
    text: str
    citations: tuple[Found, ...]


class WordModel:
    """Nearest sentence by hashed words; counts its calls, fails on demand."""

    def __init__(self, rows: Sequence[tuple[str, str]] = SENTENCES) -> None:
        self.rows = tuple(rows)
        self.vectors = self.embed([text for text, _ in self.rows])
        self.calls = 0
        self.fails: BaseException | None = None
        self.before: Callable[[], None] = lambda: None

    def embed(self, texts: Sequence[str]) -> Any:
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                vectors[row, zlib.crc32(word.encode()) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def search(self, text: str, k: int) -> list[Found]:
        self.calls += 1
        self.before()
        if self.fails is not None:
            raise self.fails
        scores = (self.vectors @ self.embed([text])[0]).tolist()
        best = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:k]
        owner = key("owner").address
        return [Found(i, owner, keccak(b"c"), *self.rows[i], int(scores[i] * 1_000_000)) for i in best]

    def classify(self, text: str, top: int) -> list[tuple[str, int]]:
        return [(hit.target, hit.score_ppm) for hit in self.search(text, top)]

    def answer(self, question: str, k: int) -> Said:
        hits = self.search(question, k)
        return Said(f"{hits[0].target}: {hits[0].text}", tuple(hits))


class Stand:
    """One gateway with two DAOs on one ledger; ``restart`` opens everything again from disk.

    ``ledger`` is another one than the embedded ledger, with money for the faucet; ``token`` is what another stand made
    in the same folder, whose files are then opened.
    """

    def __init__(self, folder: Path, ledger: Ledger | None = None, token: str | None = None) -> None:
        self.folder = folder
        self.gateway, self.buyer, self.poor = key("gateway"), key("buyer"), key("poor")
        self.treasuries = {"docs": key("treasury docs").address, "code": key("treasury code").address}
        self.models = {name: WordModel() for name in self.treasuries}
        self.ledger = ledger or EmbeddedLedger.open(folder / "ledger.sqlite", genesis_code=predeployed_code())
        self.faucet = faucet_of(self.ledger)
        self.token = Token(token or self._deployed())
        if token is None:
            self._fund()
        self._open()

    @property
    def network(self) -> str:
        return network_of(self.ledger.chain_id)

    def domain(self, dao: str) -> Domain:
        return Domain(self.ledger.chain_id, key(f"registry {dao}").address)

    def balance(self, address: str) -> int:
        data = keccak(b"balanceOf(address)")[:4] + abi_encode(["address"], [address])
        return int.from_bytes(self.ledger.call(self.token.address, data), "big")

    def restart(self) -> None:
        """Close the ledger and the database and open them again, as after a crash."""
        self.close()
        self.ledger = EmbeddedLedger.open(self.folder / "ledger.sqlite")
        self._open()

    def close(self) -> None:
        self.database.close()
        self.ledger.close()

    def transact(self, sender: LocalAccount, to: str | None, data: bytes, value: int = 0) -> Any:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.ledger.chain_id,
            "nonce": self.ledger.nonce(sender.address),
            "value": value,
            "data": data,
            "gas": 5_000_000,
            "maxFeePerGas": 2 * self.ledger.base_fee() + 1,
            "maxPriorityFeePerGas": 1,
        }
        if to is not None:
            transaction["to"] = to
        raw = bytes(sender.sign_transaction(transaction).raw_transaction)
        receipt = self.ledger.receipt(self.ledger.send(raw))
        assert receipt.status == 1
        return receipt

    def _deployed(self) -> str:
        artifact = json.loads(files("rodagila.chain").joinpath("artifacts/PayToken.json").read_text())
        code = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
        receipt = self.transact(self.faucet, None, code + abi_encode(["address"], [self.faucet.address]))
        return str(receipt.contract_address)

    def _fund(self) -> None:
        drip = keccak(b"drip(address,uint256)")[:4]
        for account, amount in ((self.buyer, 1_000_000_000), (self.poor, 10)):
            data = drip + abi_encode(["address", "uint256"], [account.address, amount])
            self.transact(self.faucet, self.token.address, data)
        self.transact(self.faucet, self.gateway.address, b"", 10**20)

    def _open(self) -> None:
        self.database = Database.open(self.folder / "home.sqlite")
        with self.database.begin() as connection:
            for name, treasury in self.treasuries.items():
                row = dict.fromkeys(("rewards", "token", "operator", "evaluator", "gateway"), treasury)
                row |= {"name": name, "dao_id": dao_id(self.domain(name)).hex(), "treasury": treasury, "policy": "{}"}
                row |= {"registry": self.domain(name).registry, "policy_hash": "", "holdings": "", "created": 0}
                values = {column.name: row.get(column.name, 0) for column in schema.dao.columns}
                connection.execute(insert(schema.dao).prefix_with("OR IGNORE").values(values))
        self.calls = Calls(self.database)
        self.channels = ChannelStore(self.database)
        self.paywall = Paywall(self.ledger, self.token, self.gateway, self.calls, self.channels)
        self.feedback = FeedbackBook(self.database, self.calls)
        self.catalogue = Catalogue([self._served(name) for name in self.treasuries])
        self.context = GatewayContext(self.catalogue, self.paywall, self.feedback)
        self.app = create_app(self.context)

    def _served(self, name: str) -> ServedModel:
        policy = Policy(name=name, prices=PRICES)
        return ServedModel(name, 1, self.domain(name), self.treasuries[name], policy, self.models[name], 1_700_000_000)


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` on a free port in a thread and give its address."""
    # asyncio switches Nagle's delay off only on sockets that say they are TCP; with it a response waits 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="off", log_level="critical"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([taken])), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the gateway did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def signed_header(stand: Stand, response: httpx.Response, account: LocalAccount, **changes: Any) -> str:
    """Return the header that x402's own client makes for a 402, after ``changes`` to the terms it is shown."""
    from x402 import x402ClientSync
    from x402.http.utils import decode_payment_required_header, encode_payment_signature_header
    from x402.mechanisms.evm.exact.register import register_exact_evm_client

    required = decode_payment_required_header(response.headers["PAYMENT-REQUIRED"])
    terms = required.accepts[0].model_copy(update=changes)
    client = x402ClientSync()
    register_exact_evm_client(client, account)
    client.set_spend_controls(False)
    payload = client.create_payment_payload(required.model_copy(update={"accepts": [terms]}))
    return encode_payment_signature_header(payload)
