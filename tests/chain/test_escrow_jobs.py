"""Jobs, digests and leaves computed off the ledger are those of the contracts; a batch is paid by its evaluators."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account import Account

from clocks import StandingClock
from rodagila.chain.contracts import ContractRefused, deploy, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.escrow import (
    PAY_TYPES,
    Job,
    acceptance_digest,
    approval,
    commitments_digest,
    panel_hash,
    panel_job,
    settlement_digest,
)
from rodagila.chain.port import ZERO_ADDRESS
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import ZERO_HASH, keccak
from rodagila.core.merkle import MerkleTree, standard_leaf

BUYER, EVALUATOR, RATER, STRANGER = (Account.from_key(keccak(name)) for name in (b"buyer", b"eva", b"rater", b"x"))
FAR = 2**63 - 1


def test_a_batch_s_life_by_what_is_computed_here(tmp_path: Path) -> None:
    with EmbeddedLedger.open(tmp_path / "ledger.db", clock=StandingClock()) as ledger:
        for account in (BUYER, STRANGER):
            send_wei(ledger, ledger.faucet, account.address, 10**18)
        token = deploy(ledger, ledger.faucet, "PayToken", ledger.faucet.address)
        split = deploy(ledger, BUYER, "Split", BUYER.address, BUYER.address, token.address)
        stake = deploy(ledger, BUYER, "Stake", BUYER.address, token.address, BUYER.address)
        predicates = deploy(ledger, BUYER, "Predicates", stake.address)
        escrow = deploy(ledger, BUYER, "Escrow", split.address, predicates.address)
        pay = deploy(ledger, BUYER, "TaskPay", escrow.address)
        assert split.call("isOpen", token.address)
        assert not split.call("isOpen", ZERO_ADDRESS)
        token.transact(ledger.faucet, "drip", BUYER.address, 1_000)
        token.transact(BUYER, "approve", escrow.address, 1_000)

        members, chain = [EVALUATOR.address], ledger.chain_id
        job = panel_job(
            buyer=BUYER.address, provider=pay.address, token=token.address, amount=1_000,
            deadline=ledger.timestamp() + 1_000, panel=panel_hash(1, members), subject=keccak(b"terms"), nonce=1,
        )  # fmt: skip
        batch = job.job_id(chain, escrow.address)
        assert escrow.call("jobId", job.as_tuple()) == batch
        assert predicates.call("panelHash", 1, members) == panel_hash(1, members)
        assert Job.from_json(job.as_json()) == job
        escrow.transact(BUYER, "fund", [job.as_tuple()])

        root = keccak(b"responses")
        what = commitments_digest(chain, pay.address, batch, root, 3)
        by_buyer = approval(0, [], what, [BUYER])
        with pytest.raises(ContractRefused) as refused:
            pay.transact(STRANGER, "commit", job.as_tuple(), root, 3, by_buyer)
        assert refused.value.error == "EvaluatorsOnly"
        pay.transact(STRANGER, "commit", job.as_tuple(), root, 3, approval(1, members, what, [EVALUATOR]))

        row = [chain, pay.address, batch, RATER.address, 700]
        assert standard_leaf(PAY_TYPES, row) == pay.call("payLeaf", batch, RATER.address, 700)
        tree = MerkleTree.of(PAY_TYPES, [row])
        accepted = approval(1, members, acceptance_digest(chain, escrow.address, [batch], [700], FAR), [EVALUATOR])
        assert escrow.call("acceptanceDigest", [batch], [700], FAR) == acceptance_digest(
            chain, escrow.address, [batch], [700], FAR
        )
        settled = approval(
            1, members, settlement_digest(chain, pay.address, batch, tree.root, 700, keccak(b"file")), [EVALUATOR]
        )
        outcome = (tree.root, 700, keccak(b"file"))
        send_wei(ledger, BUYER, BUYER.address, 0)
        pay.transact(STRANGER, "settle", job.as_tuple(), outcome, FAR, accepted, settled)
        assert token.call("balanceOf", BUYER.address) == 300
        pay.transact(STRANGER, "claim", batch, [RATER.address], [700], [tree.proof(0)])
        assert token.call("balanceOf", RATER.address) == 700
        with pytest.raises(ContractRefused, match="Nothing can be done"):
            pay.transact(STRANGER, "claim", batch, [RATER.address], [700], [tree.proof(0)])


def test_a_job_is_read_only_as_it_is_written() -> None:
    job = panel_job(
        buyer=BUYER.address, provider=BUYER.address, token=BUYER.address, amount=1, deadline=2, panel=ZERO_HASH,
        subject=ZERO_HASH, nonce=3,
    )  # fmt: skip
    body = job.as_json()
    for change in ({"amount": "1.0"}, {"amount": " 1"}, {"nonce": "x"}, {"subject": "0xzz"}, {"extra": "1"}):
        with pytest.raises(InvalidInput) as refused:
            Job.from_json(body | change)
        assert refused.value.code == "batch_file_invalid"
    with pytest.raises(InvalidInput):
        Job.from_json({})
