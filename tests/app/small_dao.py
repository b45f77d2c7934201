"""A small DAO for tests: three owners with a topic each, a buyer, queries on all topics, payments as calls make."""

from __future__ import annotations

import secrets

from eth_account import Account
from eth_account.signers.local import LocalAccount

from rodagila.app.daos import Dao, drip, launch
from rodagila.app.holdings import Holdings
from rodagila.app.home import Home
from rodagila.app.intake import receive, seal
from rodagila.app.turn import begin_turn
from rodagila.core.hashing import keccak
from rodagila.core.policy import Policy, PoolRules
from rodagila.core.records import Record

TOPICS = {
    "cards": ("replace a lost bank card", "freeze my credit card", "order a new debit card", "my card was stolen"),
    "weather": ("will it rain in Paris", "forecast for the weekend", "how cold is it outside", "is a storm coming"),
    "travel": ("book a flight to Rome", "find a cheap hotel room", "change my train ticket", "rent a car in Oslo"),
}
WORDS = ("please tell me quickly", "I would like to know", "can somebody help me to")
OWNERS = ("ada", "bob", "cem")
TOPIC_OF = dict(zip(OWNERS, TOPICS, strict=True))


def texts(topic: str, prefix: int) -> list[Record]:
    """Return labelled texts of one topic, worded differently for each prefix."""
    return [Record(f"{WORDS[prefix]}: {text}", label=topic) for text in TOPICS[topic]]


def key_of(name: str) -> LocalAccount:
    """Return the account of a name, the same in every test."""
    return Account.from_key(keccak(b"test " + name.encode()))


def holdings() -> Holdings:
    """Return queries on all topics and a reference corpus about none of them."""
    queries = [record for topic in TOPICS for record in texts(topic, 2)]
    reference = (Record("the mitochondria is the powerhouse of the cell", label="biology"),)
    return Holdings(reference, tuple(queries[::2]), tuple(queries[1::2]))


def contribute(dao: Dao, name: str, turn: int = 1) -> None:
    """Let the owner ``name`` bring the texts of its topic."""
    records = texts(TOPIC_OF[name], turn - 1)
    salt = keccak(f"salt {name} {turn}".encode())
    receive(dao, *seal(dao, key_of(name), records, salt=salt))


def pay(dao: Dao, amount: int, payer: str = "buyer") -> None:
    """Pay the treasury as a paid call does: by a signed EIP-3009 transfer that the gateway sends."""
    account, token = key_of(payer), dao.contract("PayToken")
    nonce, until = secrets.token_bytes(32), dao.home.ledger.timestamp() + 3_600
    message = {
        "from": account.address, "to": dao.row.treasury, "value": amount,
        "validAfter": 0, "validBefore": until, "nonce": nonce,
    }  # fmt: skip
    names = "address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce"
    fields = [dict(zip(("type", "name"), name.split(), strict=True)) for name in names.split(", ")]
    signed = account.sign_typed_data(
        domain_data={
            "name": "Roda Pay", "version": "1", "chainId": dao.domain.chain_id, "verifyingContract": token.address
        },
        message_types={"TransferWithAuthorization": fields},
        message_data=message,
    )  # fmt: skip
    function = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    gateway = dao.account("gateway")
    token.transact(
        gateway, function, account.address, dao.row.treasury, amount, 0, until, nonce, bytes(signed.signature)
    )


def launch_dao(home: Home, name: str = "docs", **rules: object) -> Dao:
    """Launch a DAO with known keys, fund its people and open its first turn."""
    policy = Policy(name=name, pool=PoolRules(target_lift_ppm=100_000), **rules)  # type: ignore[arg-type]
    dao = launch(home, name, policy, holdings(), lambda role: home.keys.new(role, keccak(b"role " + role.encode())))
    begin_turn(dao, 1)
    for owner in (*OWNERS, "buyer"):
        drip(home, key_of(owner).address, 50_000_000)
    return dao
