"""The audit of a batch of tasks: everything recomputed from its public file and the ledger, each difference a line.

    within   the terms are the job's subject; tasks and golds are those of the terms; each response is signed by its
             account, opens its commitment, and is its only one to that task; the outcome is recomputed
    ledger   the root of the responses was fixed before the seed's block; the seed is that block's hash; the escrow paid
             and returned what the outcome says; the root of the pay and the file's hash are those that were signed

What an audit cannot see: whether the texts behind the hashes are what accounts were shown (each can check her own), and
whether a response that was never acknowledged was left out.

>>> audit_batch(data, ledger_word).differences   # doctest: +SKIP
()
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rodagila.chain.escrow import panel_hash
from rodagila.collect.batches import golds_root, tasks_root
from rodagila.collect.tasks import commitment
from rodagila.core.hashing import hex0x, keccak
from rodagila.core.messages import signer_of
from rodagila.reward.batch import BatchFacts, Outcome, load, pay_root

SHOWN = 20
"""So many differences of one kind are listed at most."""


@dataclass(frozen=True, slots=True)
class LedgerBatch:
    """The ledger's word on a batch: zero and empty where nothing stands."""

    chain_id: int
    escrow: str
    task_pay: str
    commitments: bytes
    responses: int
    seed_block: int
    seed: bytes
    root: bytes
    paid: int
    returned: int
    public_hash: bytes


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What an audit found."""

    batch: bytes
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.differences


def audit_batch(data: bytes, word: LedgerBatch) -> BatchReport:
    """Return what differs; raises ``InvalidInput`` batch_file_invalid for a file that is none."""
    facts, stated = load(data)
    found = [*_within(facts), *_responses(facts)]
    if not found:
        outcome = facts.outcome()
        if outcome.as_json() != stated:
            found += _outcome(outcome, stated)
        found += _ledger(facts, outcome, data, word)
    return BatchReport(facts.batch, tuple(found))


def _within(facts: BatchFacts) -> Iterator[str]:
    terms, job = facts.terms, facts.job
    budget = sum(price for number, (_, price) in enumerate(facts.tasks) if number not in facts.golds) * terms.overlap
    named = (
        ("the subject of the job", hex0x(terms.subject()), hex0x(job.subject)),
        ("the panel of the job", hex0x(panel_hash(terms.threshold, terms.evaluators)), hex0x(job.predicate)),
        ("the provider of the job", terms.task_pay, job.provider),
        ("the buyer of the job", terms.requester, job.buyer),
        ("the root of the tasks", terms.tasks_root, hex0x(tasks_root(facts.tasks))),
        ("the root of the golds", terms.golds_root, hex0x(golds_root(facts.golds_salt, dict(facts.golds)))),
        ("the number of tasks", terms.tasks, len(facts.tasks)),
        ("the number of golds", terms.golds, len(facts.golds)),
        ("the budget", budget, job.amount),
    )
    for what, expected, found in named:
        if expected != found:
            yield _line(what, expected, found)


def _responses(facts: BatchFacts) -> Iterator[str]:
    seen: set[tuple[str, int]] = set()
    leases: set[bytes] = set()
    told = 0
    for row in facts.responses:
        wrong = ""
        if (row.account, row.number) in seen or row.lease in leases:
            wrong = "is the account's second to that task, or the lease's second"
        elif signer_of(facts.domain, facts.message(row), row.signature) != row.account:
            wrong = "is not signed by its account"
        elif row.salt and row.commitment != _committed(facts, row.account, row.number, row.answer, row.salt):
            wrong = "does not open its commitment"
        seen.add((row.account, row.number))
        leases.add(row.lease)
        if wrong and told < SHOWN:
            told += 1
            yield f"The response of {row.account} to task {row.number} {wrong}."


def _committed(facts: BatchFacts, account: str, number: int, answer: bytes, salt: bytes) -> bytes:
    if len(answer) != 32 or len(salt) != 32:
        return b""
    return commitment(facts.domain, account, facts.batch, facts.tasks[number][0], answer, salt)


def _outcome(outcome: Outcome, stated: dict[str, object]) -> Iterator[str]:
    for name, value in outcome.as_json().items():
        if stated.get(name) != value:
            yield _line(f"{name} in the outcome", str(value)[:200], str(stated.get(name))[:200])


def _ledger(facts: BatchFacts, outcome: Outcome, data: bytes, word: LedgerBatch) -> Iterator[str]:
    root = pay_root(facts.pay_tree(outcome))
    named = (
        ("the chain", word.chain_id, facts.terms.chain_id),
        ("the escrow", word.escrow, facts.escrow),
        ("the contract of the pay", word.task_pay, facts.terms.task_pay),
        ("the root of the responses", hex0x(facts.commitments_root()), hex0x(word.commitments)),
        ("the number of responses", len(facts.responses), word.responses),
        ("the block of the seed", word.seed_block, facts.seed_block),
        ("the seed", hex0x(word.seed), hex0x(facts.seed)),
        ("the root of the pay", hex0x(root), hex0x(word.root)),
        ("what was paid", outcome.paid, word.paid),
        ("what was returned", facts.job.amount - outcome.paid, word.returned),
        ("the hash of the public file", hex0x(keccak(data)), hex0x(word.public_hash)),
    )
    for what, expected, found in named:
        if expected != found:
            yield _line(what, expected, found)


def _line(what: str, expected: object, found: object) -> str:
    return f"{what[0].upper()}{what[1:]}: expected {expected}, found {found}."
