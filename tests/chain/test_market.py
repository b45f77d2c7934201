"""The market's contracts on the embedded ledger: hashes and signatures made in Python are those of the contracts.

What a buyer, an evaluator or a keeper computes off the ledger must be what the contracts compute: ids, nonces, digests,
roots, commitments. And whoever reads the events alone must know all that is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount

from clocks import StandingClock
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.contracts import Contract, ContractRefused, deploy, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import ZERO_ADDRESS
from rodagila.chain.tokens import Token
from rodagila.core.hashing import ZERO_HASH, keccak, keccak_abi
from rodagila.core.merkle import MerkleTree, ordered_root

START = 1_700_000_000
DAY = 86_400
FAR = 2**64 - 1
OWNER, BUYER, PROVIDER, *EVALUATORS = (
    Account.from_key(keccak(name)) for name in (b"owner", b"buyer", b"provider", b"one", b"two", b"three")
)
TREASURY = Account.from_key(keccak(b"treasury")).address
KEY, SCOPE, PURPOSE, AGE_KEY, SUBJECT = (keccak(w) for w in (b"key", b"scope", b"purpose", b"age", b"subject"))
OFFER = "(address,uint128,uint8,uint64,uint64,bytes32,bytes32,bytes32,bytes32)"
TERMS = "(address,bytes32,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
JOB = "(address,address,address,uint96,uint64,uint64,uint32,uint8,bytes32,bytes32,bytes32,uint256)"
RESULT, PANEL, STAKED, SAMPLED, GOLD = range(5)
EVALUATOR, RELEASE = 1, 3


@dataclass(frozen=True, slots=True)
class Market:
    """A ledger with a market on it, and money at its buyer and its evaluators."""

    clock: StandingClock
    ledger: EmbeddedLedger
    token: Contract
    split: Contract
    licenses: Contract
    stake: Contract
    escrow: Contract

    def hash_in(self, contract: Contract, kind: str, value: Sequence[Any]) -> bytes:
        """Return the id of a struct in a contract, computed here."""
        return keccak_abi(["uint256", "address", kind], [self.ledger.chain_id, contract.address, value])

    def authorize(self, payer: LocalAccount, receiver: Contract, value: int, nonce: bytes) -> tuple[int, int, bytes]:
        """Return the EIP-3009 authorisation as the contracts take it."""
        signed = authorize_receipt(
            payer,
            chain_id=self.ledger.chain_id,
            token=Token(self.token.address),
            receiver=receiver.address,
            value=value,
            valid_before=FAR,
            nonce=nonce,
        )
        return (0, FAR, signed.signature)

    def job(self, kind: int, predicate: bytes, nonce: int, **other: Any) -> dict[str, Any]:
        """Return a job of 1,000,000 for eight units."""
        return {
            "buyer": BUYER.address,
            "provider": PROVIDER.address,
            "token": self.token.address,
            "amount": 1_000_000,
            "deadline": START + 7 * DAY,
            "window": DAY if kind in (SAMPLED, GOLD) else 0,
            "units": 8,
            "kind": kind,
            "predicate": predicate,
            "splitKey": ZERO_HASH,
            "subject": SUBJECT,
            "nonce": nonce,
        } | other

    def job_id(self, job: dict[str, Any]) -> bytes:
        """Return a job's id, computed here."""
        return self.hash_in(self.escrow, JOB, tuple(job.values()))

    def fund(self, *jobs: dict[str, Any]) -> list[bytes]:
        """Fund jobs by the buyer's signature; anyone sends it."""
        ids = [self.job_id(job) for job in jobs]
        total = sum(job["amount"] for job in jobs)
        signed = self.authorize(BUYER, self.escrow, total, keccak(b"".join(ids)))
        self.escrow.transact(OWNER, "fundByAuthorization", list(jobs), signed)
        return ids

    def accept(self, signer: LocalAccount, ids: list[bytes], cumulatives: list[int]) -> bytes:
        """Return a signature on an acceptance, made by eth-account from the type alone."""
        signed = signer.sign_typed_data(
            domain_data={
                "name": "Rodagila",
                "version": "1",
                "chainId": self.ledger.chain_id,
                "verifyingContract": self.escrow.address,
            },
            message_types={
                "Acceptance": [
                    {"name": "jobs", "type": "bytes32[]"},
                    {"name": "cumulatives", "type": "uint96[]"},
                    {"name": "expiry", "type": "uint64"},
                ]
            },
            message_data={"jobs": ids, "cumulatives": cumulatives, "expiry": FAR},
        )
        return bytes(signed.signature)


def approval(threshold: int, members: list[str], signed: dict[str, bytes]) -> bytes:
    """Return what ``claim`` takes; signers in ascending order."""
    signers = sorted(signed, key=str.lower)
    return encode(
        ["uint256", "address[]", "address[]", "bytes[]"],
        [threshold, members, signers, [signed[signer] for signer in signers]],
    )


def encode(types: list[str], values: list[Any]) -> bytes:
    """Return the ABI encoding of ``values``."""
    return bytes(abi_encode(types, values))


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    clock = StandingClock()
    with EmbeddedLedger.open(tmp_path / "ledger.db", clock=clock) as ledger:
        for account in (OWNER, BUYER, PROVIDER, *EVALUATORS):
            send_wei(ledger, ledger.faucet, account.address, 10**18)
        token = deploy(ledger, ledger.faucet, "PayToken", ledger.faucet.address)
        split = deploy(ledger, OWNER, "Split", OWNER.address, TREASURY, ZERO_ADDRESS)
        licenses = deploy(ledger, OWNER, "Licenses", OWNER.address, split.address)
        stake = deploy(ledger, OWNER, "Stake", OWNER.address, token.address, TREASURY)
        predicates = deploy(ledger, OWNER, "Predicates", stake.address)
        escrow = deploy(ledger, OWNER, "Escrow", split.address, predicates.address)
        split.transact(OWNER, "setToken", token.address, True)
        for account in (BUYER, *EVALUATORS):
            token.transact(ledger.faucet, "drip", account.address, 100_000_000)
        yield Market(clock, ledger, token, split, licenses, stake, escrow)


def test_a_license_is_bought_by_a_signature_and_read_from_its_event(market: Market) -> None:
    shares = sorted([(PROVIDER.address, 600_000), (EVALUATORS[0].address, 333_333)], key=lambda row: row[0].lower())
    market.split.transact(OWNER, "setShares", KEY, shares)
    offer = (market.token.address, 101, RELEASE, 30 * DAY, START + DAY, SCOPE, PURPOSE, ZERO_HASH, KEY)
    market.licenses.transact(OWNER, "approveOffer", offer)
    offer_id = market.hash_in(market.licenses, OFFER, offer)
    terms = (PROVIDER.address, AGE_KEY, RELEASE, SCOPE, PURPOSE, ZERO_HASH, offer_id, keccak(b"salt"))
    grant_id = market.hash_in(market.licenses, TERMS, terms)
    signed = market.authorize(BUYER, market.licenses, 101, grant_id)
    order = (PROVIDER.address, AGE_KEY, keccak(b"salt"))
    market.licenses.transact(OWNER, "orderByAuthorization", offer, order, BUYER.address, signed)

    (granted,) = market.licenses.events("Granted", where={"grantee": PROVIDER.address})
    assert tuple(granted["terms"]) == terms
    assert market.hash_in(market.licenses, TERMS, tuple(granted["terms"])) == granted["id"] == grant_id
    assert market.licenses.call("grantOf", grant_id) == (PROVIDER.address, granted["expiry"], RELEASE, 1)
    assert granted["expiry"] >= START + 30 * DAY
    (ordered,) = market.licenses.events("Ordered", where={"offerId": offer_id})
    assert (ordered["payer"], ordered["price"]) == (BUYER.address, 101)
    credits = {who: market.split.call("creditOf", market.token.address, who) for who, _ in shares}
    assert credits == {PROVIDER.address: 60, EVALUATORS[0].address: 33}
    assert market.split.call("creditOf", market.token.address, TREASURY) == 101 - 60 - 33
    with pytest.raises(ContractRefused, match="granted before") as again:
        market.licenses.transact(OWNER, "orderByAuthorization", offer, order, BUYER.address, signed)
    assert again.value.error == "GrantKnown"


def test_jobs_are_funded_and_accepted_by_signatures(market: Market) -> None:
    members = sorted((evaluator.address for evaluator in EVALUATORS), key=str.lower)
    panel = keccak((2).to_bytes(32) + b"".join(bytes(12) + bytes.fromhex(member[2:]) for member in members))
    jobs = [market.job(PANEL, panel, nonce) for nonce in range(3)]
    ids = market.fund(*jobs)
    assert [market.escrow.call("jobId", job) for job in jobs] == ids
    amounts = [1_000_000, 250_000, 7]
    signatures = {evaluator.address: market.accept(evaluator, ids, amounts) for evaluator in EVALUATORS[:2]}
    market.escrow.transact(OWNER, "claim", jobs, amounts, FAR, approval(2, members, signatures))
    assert market.token.call("balanceOf", PROVIDER.address) == sum(amounts)
    by_buyer = {BUYER.address: market.accept(BUYER, ids[1:], [250_000, 8])}
    market.escrow.transact(OWNER, "claim", jobs[1:], [250_000, 8], FAR, approval(0, [], by_buyer))
    assert market.token.call("balanceOf", PROVIDER.address) == sum(amounts) + 1
    with pytest.raises(ContractRefused, match="Nothing can be done"):
        market.escrow.transact(OWNER, "claim", jobs[1:], [250_000, 8], FAR, approval(0, [], by_buyer))
    market.clock.now += 7 * DAY
    market.escrow.transact(OWNER, "settle", jobs)
    assert market.token.call("balanceOf", market.escrow.address) == 0


def test_units_are_opened_against_the_protocol_s_ordered_root(market: Market) -> None:
    units = [f"row {i}".encode() for i in range(8)]
    hashes = [keccak(unit) for unit in units]
    tree = MerkleTree.of(["uint256", "bytes32"], [[i, h] for i, h in enumerate(hashes)])
    assert tree.root == ordered_root(hashes)
    job = market.job(SAMPLED, tree.root, 1)
    market.fund(job)
    market.escrow.transact(PROVIDER, "deliver", job, 8, b"")
    named = [1, 6]
    positions = b"".join(i.to_bytes(4) for i in named)
    market.escrow.transact(BUYER, "sample", job, positions)
    opening = encode(
        ["bytes", "bytes[]", "bytes32[][]"], [positions, [units[i] for i in named], [tree.proof(i) for i in named]]
    )
    market.escrow.transact(OWNER, "prove", job, opening)
    assert market.token.call("balanceOf", PROVIDER.address) == 1_000_000


def test_answers_are_graded_by_the_test_that_was_committed_to(market: Market) -> None:
    questions = [(0, 7), (3, 1), (7, 2)]
    test = keccak(b"salt") + (2).to_bytes(2) + b"".join(i.to_bytes(4) + bytes([a]) for i, a in questions)
    good, bad = market.job(GOLD, keccak(test), 1), market.job(GOLD, keccak(test), 2)
    market.fund(good, bad)
    for job, answers in ((good, bytes([7, 0, 0, 1, 0, 0, 0, 9])), (bad, bytes([7, 0, 0, 9, 0, 0, 0, 9]))):
        market.escrow.transact(PROVIDER, "deliver", job, 8, answers)
        market.escrow.transact(OWNER, "prove", job, encode(["bytes", "bytes"], [test, answers]))
    assert market.token.call("balanceOf", PROVIDER.address) == 1_000_000
    assert market.token.call("balanceOf", BUYER.address) == 99_000_000


def test_evaluators_settle_on_the_weighted_median(market: Market) -> None:
    for evaluator, amount in zip(EVALUATORS, (100, 200, 250), strict=True):
        nonce = keccak_abi(["uint8", "bytes32"], [EVALUATOR, keccak(b"stake")])
        signed = market.authorize(evaluator, market.stake, amount, nonce)
        market.stake.transact(
            OWNER, "stakeByAuthorization", EVALUATOR, evaluator.address, amount, keccak(b"stake"), signed
        )
    market.stake.transact(OWNER, "openRound", keccak(b"turn 1"), START + DAY, START + 2 * DAY, 50)
    round_id = market.stake.call("roundId", OWNER.address, keccak(b"turn 1"))
    scores = dict(zip((evaluator.address for evaluator in EVALUATORS), (30, 10, 20), strict=True))
    where = ["uint256", "address", "bytes32", "address", "uint96", "bytes32"]
    for evaluator in EVALUATORS:
        committed = [round_id, evaluator.address, scores[evaluator.address], keccak(b"salt")]
        commitment = keccak_abi(where, [market.ledger.chain_id, market.stake.address, *committed])
        market.stake.transact(evaluator, "commit", round_id, commitment, 0)
    market.clock.now += DAY
    for evaluator in EVALUATORS:
        market.stake.transact(evaluator, "reveal", round_id, scores[evaluator.address], keccak(b"salt"))
    market.clock.now += DAY
    revealed = {event["score"]: event["weight"] for event in market.stake.events("Revealed", where={"id": round_id})}
    median = min(m for m in revealed if 2 * sum(w for s, w in revealed.items() if s <= m) >= sum(revealed.values()))
    with pytest.raises(ContractRefused, match="not the weighted lower median"):
        market.stake.transact(OWNER, "closeRound", round_id, 10)
    market.stake.transact(OWNER, "closeRound", round_id, median)
    assert market.stake.call("resultOf", round_id) == (20, 550)


def test_events_tell_all_that_is_stored_of_jobs_credits_and_stakes(market: Market) -> None:
    market.split.transact(OWNER, "setShares", KEY, [(PROVIDER.address, 333_333)])
    result = b"the result"
    jobs = [market.job(RESULT, keccak(result), nonce, splitKey=KEY) for nonce in range(3)]
    ids = market.fund(*jobs)
    market.escrow.transact(OWNER, "prove", jobs[0], result)
    by_buyer = {BUYER.address: market.accept(BUYER, ids[1:2], [31])}
    market.escrow.transact(OWNER, "claim", jobs[1:2], [31], FAR, approval(0, [], by_buyer))
    market.escrow.transact(PROVIDER, "decline", jobs[2])
    market.split.transact(OWNER, "withdraw", TREASURY, market.token.address)
    one = EVALUATORS[0]
    market.token.transact(one, "approve", market.stake.address, 100)
    market.stake.transact(one, "stake", EVALUATOR, 100)
    market.stake.transact(one, "unstake", EVALUATOR, 30)
    market.stake.transact(OWNER, "slash", EVALUATOR, one.address, 50, keccak(b"fault"))

    paid = {event["id"]: event["cumulative"] for event in market.escrow.events("JobPaid")}
    closed = {event["id"] for event in market.escrow.events("JobClosed")}
    for event in market.escrow.events("JobFunded"):
        standing = market.escrow.call("standingOf", event["id"])
        assert market.hash_in(market.escrow, JOB, tuple(event["job"])) == event["id"]
        assert standing.paid == paid.get(event["id"], 0)
        assert (standing.stage == 4) == (event["id"] in closed)
    assert credits_by_events(market) == {
        who: market.split.call("creditOf", market.token.address, who) for who in (PROVIDER.address, TREASURY)
    }
    (staked,), (unstaked,) = market.stake.events("Staked"), market.stake.events("Unstaked")
    (slashed,) = market.stake.events("Slashed", where={"faultId": keccak(b"fault")})
    position = market.stake.call("positionOf", EVALUATOR, one.address)
    assert position.leaving == unstaked["amount"] - slashed["ofLeaving"] == 0
    assert position.staked == staked["amount"] - unstaked["amount"] - slashed["ofStaked"] == 50
    assert position.freeAt == unstaked["freeAt"]


def credits_by_events(market: Market) -> dict[str, int]:
    """Return what each account may draw, from the split's events alone."""
    events = [
        (event["block_number"], event["log_index"], name, event)
        for name in ("SharesSet", "Paid", "Credited", "Drawn")
        for event in market.split.events(name)
    ]
    shares: dict[bytes, list[Any]] = {}
    credit: defaultdict[str, int] = defaultdict(int)
    for _, _, name, event in sorted(events, key=lambda row: row[:2]):
        if name == "SharesSet":
            shares[event["key"]] = event["shares"]
        elif name == "Paid":
            for share in shares.get(event["key"], []):
                credit[share.account] += event["amount"] * share.ppm // 1_000_000
            credit[TREASURY] += event["rest"]
        elif name == "Credited":
            credit[event["account"]] += event["amount"]
        else:
            credit[event["account"]] -= event["amount"]
    return dict(credit)
