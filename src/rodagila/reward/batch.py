"""What a batch of tasks comes to, and the public file from which anyone recomputes it.

The file holds hashes and signatures, no text: tasks by hash and price, golds with the hash of what is right, responses
as they were signed, each with the hash of its answer and the salt that opens its commitment. From that follow pay,
labels and agreement:

    pay         ``value.piece_pay``; leaves (chain id, task pay, batch, account, amount), accounts ascending, none of 0
    method      of those tried, the one that agrees with the most of the golds with even rank, on qualified accounts
    label       of a task: that method's, where two qualified answers or more stand behind the task (one, if its overlap
                is 1) and half of them or more behind the label
    certificate 95% interval (``value.certificate``) of that method over the golds of odd rank, which chose nothing

>>> load(blob).outcome().paid   # doctest: +SKIP
1250000
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np

from rodagila.chain.escrow import PAY_TYPES, Job
from rodagila.collect.batches import Terms
from rodagila.collect.tasks import allowed_answers, answer_hash, unswapped
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput, RodaError
from rodagila.core.hashing import ZERO_HASH, from_hex, hex0x, keccak
from rodagila.core.merkle import MerkleTree, ordered_root
from rodagila.core.messages import Domain, Response, dao_id, digest
from rodagila.core.money import PPM
from rodagila.core.vectors import Int64Array
from rodagila.value.aggregate import METHODS, Certificate, aggregate, certificate, choose
from rodagila.value.answers import UNANSWERED, Answers, krippendorff_alpha
from rodagila.value.piece_pay import PiecePay, PieceRules, piece_pay

FORMAT = "rodagila-batch-file-1"
MAX_BYTES = 512 * 2**20
GLAD_ANSWERS = 20_000
"""Above so many answers GLAD is not tried: it takes minutes."""
_FIELDS = {
    *("format", "terms", "escrow", "job", "seed_block", "seed", "golds_salt", "methods"),
    *("tasks", "golds", "accounts", "responses", "outcome"),
}


@dataclass(frozen=True, slots=True)
class GivenResponse:
    """A response as signed; ``answer`` (a hash) and ``salt`` open its commitment, both empty if nobody opened it."""

    account: str
    number: int
    lease: bytes
    commitment: bytes
    expiry: int
    signature: bytes
    answer: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Label:
    """What a task was answered: the hash of the answer, and how many of the qualified answers are it."""

    number: int
    answer: bytes
    votes: int
    of: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch; ``right`` is how many golds each method had right among those it was chosen by."""

    accounts: tuple[str, ...]
    pay: PiecePay
    budget: int
    method: str
    right: Mapping[str, int]
    labels: tuple[Label, ...]
    certificate: Certificate
    alpha_ppm: int | None

    @property
    def paid(self) -> int:
        """The sum of all pay, atomic units."""
        return self.pay.paid

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object; amounts as decimal text."""
        pay = self.pay
        rows = zip(self.accounts, pay.pay, pay.worth, pay.gate, pay.agreement, pay.golds, strict=True)
        return {
            "pay": [
                {
                    "account": account, "pay": str(amount), "worth": str(worth), "gate_ppm": gate,
                    "agreement_ppm": agreement, "golds": gold.asked, "golds_right": gold.right,
                }
                for account, amount, worth, gate, agreement, gold in rows
            ],
            "budget": str(self.budget),
            "paid": str(self.paid),
            "returned": str(self.budget - self.paid),
            "method": self.method,
            "right": dict(self.right),
            "labels": [[label.number, hex0x(label.answer), label.votes, label.of] for label in self.labels],
            "certificate": {
                "right": self.certificate.right, "asked": self.certificate.asked,
                "low_ppm": self.certificate.low_ppm, "high_ppm": self.certificate.high_ppm,
            },
            "alpha_ppm": self.alpha_ppm,
        }  # fmt: skip


@dataclass(frozen=True)
class BatchFacts:
    """All that an outcome follows from; ``golds`` are the hashes of true answers by task number."""

    terms: Terms
    escrow: str
    job: Job
    seed_block: int
    seed: bytes
    golds_salt: bytes
    methods: tuple[str, ...]
    tasks: tuple[tuple[bytes, int], ...]
    golds: Mapping[int, bytes]
    responses: tuple[GivenResponse, ...]

    @property
    def domain(self) -> Domain:
        """Where the responses are signed."""
        return Domain(self.terms.chain_id, self.terms.registry)

    @cached_property
    def batch(self) -> bytes:
        """The batch's id."""
        return self.job.job_id(self.terms.chain_id, self.escrow)

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that responded, ascending."""
        return tuple(sorted({row.account for row in self.responses}, key=lambda account: int(account, 16)))

    def message(self, row: GivenResponse) -> Response:
        """Return what the account of ``row`` signed."""
        task = self.tasks[row.number][0]
        dao = dao_id(self.domain)
        return Response(row.account, dao, self.batch, task, row.lease, row.commitment, row.expiry)

    def commitments_root(self) -> bytes:
        """Return the root over the digests of all responses in the order of their arrival."""
        return commitments_root([digest(self.domain, self.message(row)) for row in self.responses])

    def outcome(self) -> Outcome:
        """Return what came of the batch; raises ``InvalidInput`` value_inputs where the facts do not fit together."""
        answers, truth, codes = self._coded()
        rules = PieceRules(self.terms.least_golds, self.terms.peers, open_ended=not self._allowed)
        names = [bytes.fromhex(account[2:]) for account in self.accounts]
        pay = piece_pay(answers, truth, [price for _, price in self.tasks], names, self.seed, rules)
        good = answers.of(pay.qualified)
        labelled = {method: aggregate(good, method) for method in self.methods}
        choosing, certifying = _halves(truth)
        method = choose(labelled, choosing)
        found = labelled[method]
        alpha = krippendorff_alpha(good) if len(good) else float("nan")
        return Outcome(
            self.accounts,
            pay,
            self.job.amount,
            method,
            {name: certificate(labels, choosing).right for name, labels in labelled.items()},
            self._labels(good, truth, found, codes),
            certificate(found, certifying),
            None if isnan(alpha) else round(alpha * PPM),
        )

    def pay_tree(self, outcome: Outcome) -> MerkleTree:
        """Return the tree of the pay."""
        return MerkleTree.of(PAY_TYPES, self.pay_rows(outcome))

    def pay_rows(self, outcome: Outcome) -> list[list[Any]]:
        """Return the rows of the pay's leaves."""
        head = [self.terms.chain_id, self.terms.task_pay, self.batch]
        return [[*head, account, pay] for account, pay in zip(outcome.accounts, outcome.pay.pay, strict=True) if pay]

    @property
    def _allowed(self) -> tuple[str, ...]:
        return allowed_answers(self.terms.kind, self.terms.choices)

    def _coded(self) -> tuple[Answers, Int64Array, list[bytes]]:
        """Return the opened answers and the golds as codes, and what hash each code stands for."""
        opened = [(row, self._true_answer(row)) for row in self.responses if row.salt]
        if self._allowed:
            codes = [answer_hash(self.terms.kind, answer) for answer in self._allowed]
        else:
            codes = sorted({*self.golds.values(), *(answer for _, answer in opened)})
        code = {hashed: place for place, hashed in enumerate(codes)}
        place = {account: row for row, account in enumerate(self.accounts)}
        try:
            rows = [(place[row.account], row.number, code[answer]) for row, answer in opened]
            truth = np.full(len(self.tasks), UNANSWERED, np.int64)
            for number, hashed in self.golds.items():
                truth[number] = code[hashed]
        except (KeyError, IndexError) as error:
            raise InvalidInput("value_inputs", "An answer or a gold of the batch is none of its choices.") from error
        account, task, choice = np.array(rows, np.int64).reshape(-1, 3).T
        return Answers(account, task, choice, len(self.accounts), len(self.tasks), len(codes)), truth, codes

    def _true_answer(self, row: GivenResponse) -> bytes:
        """Return the hash of an answer about the outputs in the task's own order."""
        if self.terms.kind != "compare":
            return row.answer
        hashes = {answer_hash("compare", side): side for side in self._allowed}
        side = hashes.get(row.answer)
        return row.answer if side is None else answer_hash("compare", unswapped(side, row.lease))

    def _labels(self, good: Answers, truth: Int64Array, found: Int64Array, codes: Sequence[bytes]) -> tuple[Label, ...]:
        behind: dict[int, Counter[int]] = {}
        for task, choice in zip(good.task.tolist(), good.choice.tolist(), strict=True):
            behind.setdefault(task, Counter())[choice] += 1
        least = min(2, self.terms.overlap)
        labels = []
        for task, votes in sorted(behind.items()):
            code, total = int(found[task]), votes.total()
            if truth[task] == UNANSWERED and total >= least and 2 * votes[code] >= total:
                labels.append(Label(task, codes[code], votes[code], total))
        return tuple(labels)


def methods_to_try(terms: Terms, answers: int) -> tuple[str, ...]:
    """Return the methods that this machine can try: open answers and a machine without crowd-kit know the majority."""
    if not allowed_answers(terms.kind, terms.choices):
        return ("majority",)
    try:
        import crowdkit.aggregation  # noqa: F401
    except ImportError:
        return ("majority",)
    return tuple(method for method in METHODS if method != "glad" or answers <= GLAD_ANSWERS)


def commitments_root(digests: Sequence[bytes]) -> bytes:
    """Return the root that ``TaskPay`` keeps; of no responses the hash of nothing, because a root is never zero."""
    return ordered_root(digests) if digests else keccak(b"")


def pay_root(tree: MerkleTree) -> bytes:
    """Return the root of the pay, zero if nobody is paid."""
    return tree.root if tree.leaves else ZERO_HASH


def dump(facts: BatchFacts, outcome: Outcome) -> bytes:
    """Return the public file."""
    place = {account: row for row, account in enumerate(facts.accounts)}
    return canonical_json(
        {
            "format": FORMAT,
            "terms": facts.terms.as_json(),
            "escrow": facts.escrow,
            "job": facts.job.as_json(),
            "seed_block": facts.seed_block,
            "seed": hex0x(facts.seed),
            "golds_salt": hex0x(facts.golds_salt),
            "methods": list(facts.methods),
            "tasks": [[hex0x(hashed), str(price)] for hashed, price in facts.tasks],
            "golds": [[number, hex0x(truth)] for number, truth in sorted(facts.golds.items())],
            "accounts": list(facts.accounts),
            "responses": [
                [
                    place[row.account], row.number, hex0x(row.lease), hex0x(row.commitment), row.expiry,
                    hex0x(row.signature), hex0x(row.answer), hex0x(row.salt),
                ]
                for row in facts.responses
            ],
            "outcome": outcome.as_json(),
        }
    )  # fmt: skip


def load(data: bytes) -> tuple[BatchFacts, dict[str, Any]]:
    """Return the facts of a public file and the outcome that it states.

    Raises ``InvalidInput`` batch_file_invalid for whatever ``dump`` would not write.
    """
    if len(data) > MAX_BYTES:
        raise _invalid(f"it has more than {MAX_BYTES // 2**20} MiB")
    try:
        body = json.loads(data)
        if set(body) != _FIELDS or body["format"] != FORMAT:
            raise _invalid("its fields are not those of the protocol")
        accounts = body["accounts"]
        facts = BatchFacts(
            terms=Terms.from_json(body["terms"]),
            escrow=str(body["escrow"]),
            job=Job.from_json(body["job"]),
            seed_block=int(body["seed_block"]),
            seed=from_hex(body["seed"]),
            golds_salt=from_hex(body["golds_salt"]),
            methods=tuple(map(str, body["methods"])),
            tasks=tuple((from_hex(hashed), int(price)) for hashed, price in body["tasks"]),
            golds={int(number): from_hex(truth) for number, truth in body["golds"]},
            responses=tuple(_response(accounts, row) for row in body["responses"]),
        )
        stated = dict(body["outcome"])
        if any(not 0 <= row.number < len(facts.tasks) for row in facts.responses):
            raise _invalid("a response is to a task that is none")
        again = dump(facts, _Stated(stated))  # type: ignore[arg-type]
    except RodaError:
        raise
    except Exception as error:  # a stranger's JSON can fail anywhere on the way
        raise _invalid(f"{type(error).__name__} while reading it") from error
    if again != data:
        raise _invalid("it is not in canonical form")
    return facts, stated


@dataclass(frozen=True, slots=True)
class _Stated:
    """An outcome as a file states it, to write the same bytes again."""

    body: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it unchanged."""
        return self.body


def _response(accounts: Sequence[str], row: Sequence[Any]) -> GivenResponse:
    account, number, lease, committed, expiry, signature, answer, salt = row
    if not 0 <= account < len(accounts) or len(from_hex(lease)) != 32:
        raise ValueError("no such account, or a lease that is none")
    return GivenResponse(
        str(accounts[account]), int(number), from_hex(lease), from_hex(committed), int(expiry), from_hex(signature),
        from_hex(answer), from_hex(salt),
    )  # fmt: skip


def _halves(truth: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the golds of even and of odd rank: the one half chooses the method, the other certifies it."""
    golds = np.flatnonzero(truth != UNANSWERED)
    halves = [np.full_like(truth, UNANSWERED) for _ in range(2)]
    for half, kept in zip(halves, (golds[::2], golds[1::2]), strict=True):
        half[kept] = truth[kept]
    return halves[0], halves[1]


def _invalid(why: str) -> InvalidInput:
    return InvalidInput("batch_file_invalid", f"This is not the public file of a batch: {why}.")
