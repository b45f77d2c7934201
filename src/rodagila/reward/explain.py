"""Explanation of a payout: from the pool to the leaf, record by record, recomputed from the public file.

pool -> lambda -> payable -> share of value -> pay of each record -> total of the turn -> cumulative -> leaf and proof;
beside it the DAO's tokens: what the turn may issue -> the same share -> total -> cumulative -> leaf and proof.
Every score, check and payout comes with its 95% interval over the scoring queries (``rodagila.value.uncertainty``).

Example: ``print(explain(public, account).as_text())``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rodagila.core.errors import NotFound
from rodagila.core.hashing import hex0x
from rodagila.core.money import PPM, format_amount, format_tokens
from rodagila.reward.facts import (
    ACCEPTED,
    REFUSED,
    Computed,
    TurnFacts,
    accepted_places,
    accepted_sources,
    compute,
    value_inputs,
)
from rodagila.reward.public import PublicTurn
from rodagila.reward.tree import TurnTree
from rodagila.value.cosine import ONE
from rodagila.value.neighbours import UNIT
from rodagila.value.slots import NOTHING
from rodagila.value.uncertainty import ByQuery, by_query, interval

AMOUNTS = (
    *("pool", "payable", "total", "total_low", "total_high", "slashed", "before", "cumulative"),
    *("issuable", "tokens", "tokens_before", "tokens_cumulative"),
)
BOUNDS = ("v_low", "v_high", "s_low", "s_high", "pay_low", "pay_high")


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One record of the account: what it was worth and why. Values as in ``ValueResult``, money in atomic units.

    ``v_low`` to ``v_high``, and so on: what other scoring queries of the same kind would have given, 95 times in
    100. Standing in the order is taken as it is: what is stopped, excluded or slashed is paid 0 to 0.
    """

    place: int
    contribution: str
    turn: int
    slot: bool
    nearest_ppm: int
    u: int
    novelty_ppm: int
    v: int
    s: int
    queries_helped: int
    pay: int
    issue: int
    slash: int
    reason: str
    v_low: int = 0
    v_high: int = 0
    s_low: int = 0
    s_high: int = 0
    pay_low: int = 0
    pay_high: int = 0

    def as_text(self) -> str:
        """Return the record's line of the table; the check with half of its interval."""
        reach = f"{format_amount(self.pay_low)} - {format_amount(self.pay_high)}"
        check = f"{self.s / UNIT:>7.3f} {(self.s_high - self.s) / UNIT:>6.3f}"
        money = f"{format_amount(self.pay):>10}  {reach:>21}  {format_amount(self.slash):>8}"
        return f"{self.place:>6}  {money}  {check}  {self.reason}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one account's payout of a turn came about; ``share_ppm`` of the total value, rounded down."""

    account: str
    turn: int
    pool: int
    lambda_ppm: int
    payable: int
    share_ppm: int
    records: tuple[RecordLine, ...]
    total: int
    total_low: int
    total_high: int
    slashed: int
    before: int
    cumulative: int
    leaf: str
    proof: tuple[str, ...]
    root: str
    issuable: int
    tokens: int
    tokens_before: int
    tokens_cumulative: int
    token_leaf: str
    token_proof: tuple[str, ...]
    token_root: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object; amounts and values are text, because they exceed what JSON numbers hold."""
        body = asdict(self)
        for name in AMOUNTS:
            body[name] = str(body[name])
        for line in body["records"]:
            line.update({name: str(line[name]) for name in ("u", "v", "s", "pay", "issue", "slash", *BOUNDS)})
        return body | {name: list(body[name]) for name in ("records", "proof", "token_proof")}

    def as_text(self, limit: int = 20) -> str:
        """Return lines for a person; at most ``limit`` records, those that moved most money first."""
        moved = sorted(self.records, key=lambda line: (-line.pay - line.slash, line.place))
        earning = sum(line.pay > 0 for line in self.records)
        head = [
            f"Turn {self.turn}, account {self.account}",
            f"pool {format_amount(self.pool)} x lambda {self.lambda_ppm / PPM:.6f}"
            f" = {format_amount(self.payable)} to pay, rounded down",
            f"your records hold {self.share_ppm / 10_000:.4f}% of the value: {format_amount(self.total)}"
            f" ({earning} of {len(self.records)} records earn)",
            f"slashed from bonds: {format_amount(self.slashed)}",
            f"cumulative {format_amount(self.before)} + {format_amount(self.total)} = {format_amount(self.cumulative)}",
            f"leaf {self.leaf or 'none'}",
            f"root {self.root}",
            f"tokens of the DAO: the same share of {format_tokens(self.issuable)} = {format_tokens(self.tokens)},"
            f" cumulative {format_tokens(self.tokens_cumulative)}",
            f"token leaf {self.token_leaf or 'none'}",
            f"token root {self.token_root}",
            "other scoring queries of the same kind would have paid, 95 times in 100,"
            f" {format_amount(self.total_low)} to {format_amount(self.total_high)}",
            "",
            f"{'place':>6}  {'pay':>10}  {'its 95% interval':>21}  {'slash':>8}  {'check':>7} {'+-':>6}  why",
        ]
        rows = [line.as_text() for line in moved[:limit]]
        more = [f"... and {len(moved) - limit} more"] if len(moved) > limit else []
        return "\n".join(head + rows + more)


def explain(public: PublicTurn, account: str, computed: Computed | None = None) -> Explanation:
    """Return the explanation for ``account``; raises ``NotFound`` if it neither has records nor was ever paid.

    ``computed`` may carry ``compute(public.facts)`` to explain many accounts at the cost of one.
    """
    facts, done = public.facts, computed or compute(public.facts)
    parts = by_query(value_inputs(facts), done.values)
    lines = tuple(_lines(public, account, done, parts))
    cumulative = done.settlement.cumulative.get(account, 0)
    tokens = done.settlement.cumulative_issued.get(account, 0)
    if not lines and not cumulative and not tokens:
        raise NotFound("account_unknown", f"{account} has no records and no payout up to turn {facts.turn}.")
    worth = sum(v for v, s in zip(done.values.v, done.values.s, strict=True) if s >= 0)
    own = sum(line.v for line in lines if line.s >= 0)
    total = done.outcome.payouts.get(account, 0)
    total_low, total_high = _total_interval(facts, done, parts, account)
    leaf, proof = _place(done.payout_tree, account)
    token_leaf, token_proof = _place(done.token_tree, account)
    return Explanation(
        account=account,
        turn=facts.turn,
        pool=done.outcome.pool,
        lambda_ppm=done.outcome.lambda_ppm,
        payable=done.outcome.payable,
        share_ppm=own * PPM // worth if worth else 0,
        records=lines,
        total=total,
        total_low=total_low,
        total_high=total_high,
        slashed=sum(line.slash for line in lines),
        before=facts.previous.get(account, 0),
        cumulative=cumulative,
        leaf=leaf,
        proof=proof,
        root=hex0x(done.payout_tree.root),
        issuable=done.outcome.issuable,
        tokens=done.outcome.tokens.get(account, 0),
        tokens_before=facts.previous_issued.get(account, 0),
        tokens_cumulative=tokens,
        token_leaf=token_leaf,
        token_proof=token_proof,
        token_root=hex0x(done.token_tree.root),
    )


def _place(tree: TurnTree, account: str) -> tuple[str, tuple[str, ...]]:
    """Return the leaf of ``account`` and its proof as hex, empty if it has none."""
    if all(row[0] != account for row in tree.rows):
        return "", ()
    return hex0x(tree.leaf_of(account)), tuple(hex0x(node) for node in tree.proof_of(account))


def _total_interval(facts: TurnFacts, done: Computed, parts: ByQuery, account: str) -> tuple[int, int]:
    """Return the 95% interval of what the account's records get together."""
    paid = [
        row
        for row, source in enumerate(accepted_sources(facts))
        if facts.contributions[source].owner == account and done.values.s[row] >= 0
    ]
    return _money(done, parts, paid, done.outcome.payouts.get(account, 0))


def _money(done: Computed, parts: ByQuery, paid: list[int], amount: int) -> tuple[int, int]:
    low, high = interval(parts.pay_error(paid, done.outcome.payable), amount)
    return max(0, low), min(high, done.outcome.payable)


def _lines(public: PublicTurn, account: str, done: Computed, parts: ByQuery) -> list[RecordLine]:
    """Return a line for every record the account gave, accepted or not, in place order."""
    row_of = {int(place): row for row, place in enumerate(accepted_places(public.facts))}
    lines, place = [], 0
    for entry in public.facts.contributions:
        for status in entry.statuses:
            if entry.owner == account:
                name = (place, hex0x(entry.id), entry.turn)
                lines.append(
                    _accepted(public, done, parts, row_of[place], name) if status == ACCEPTED else _other(status, name)
                )
            place += 1
    return lines


def _other(status: int, name: tuple[int, str, int]) -> RecordLine:
    reason = "refused by the checks" if status == REFUSED else f"the same text as the record at place {status}"
    place, contribution, turn = name
    return RecordLine(place, contribution, turn, False, 0, 0, 0, 0, 0, 0, 0, 0, 0, reason)


def _accepted(public: PublicTurn, done: Computed, parts: ByQuery, row: int, name: tuple[int, str, int]) -> RecordLine:
    values, (place, contribution, turn) = done.values, name
    v, s, pay = values.v[row], int(values.s[row]), done.settlement.pays[row]
    v_low, v_high = interval(parts.value_error([row]), v)
    s_low, s_high = interval(parts.check_error([row]), s)
    pay_low, pay_high = _money(done, parts, [row], pay) if s >= 0 else (0, 0)
    return RecordLine(
        place=place,
        contribution=contribution,
        turn=turn,
        slot=bool(values.slot[row]),
        nearest_ppm=int(values.nearest[row]) * PPM // ONE,
        u=int(values.u[row]),
        novelty_ppm=int(values.novelty[row]) * PPM // ONE,
        v=v,
        s=s,
        queries_helped=int(values.helped[row]),
        pay=pay,
        issue=done.settlement.issues[row],
        slash=done.settlement.slashes[row],
        reason=_reason(public, done, row, place),
        v_low=max(0, v_low),
        v_high=v_high,
        s_low=s_low,
        s_high=s_high,
        pay_low=pay_low,
        pay_high=pay_high,
    )


def _reason(public: PublicTurn, done: Computed, row: int, place: int) -> str:
    """Say in a few words why the record earns or not."""
    values = done.values
    if place in public.facts.excluded:
        return "excluded: its check was negative in an earlier turn"
    if not values.slot[row]:
        return _silence(public, done, row)
    if values.s[row] < 0:
        return f"misleads the queries: signed check {values.s[row] / UNIT:.4f}"
    if values.u[row] == 0:
        return "earlier records already answer the queries as well"
    if values.v[row] == 0:
        return f"nothing new beside {_neighbour(public, done, row)}"
    return _service(done, row)


def _silence(public: PublicTurn, done: Computed, row: int) -> str:
    """Say why no query hears a record."""
    if done.values.neighbour[row] == NOTHING:
        return f"no query has it among its {public.facts.policy.value.top} nearest"
    return f"too close to {_neighbour(public, done, row)}: cosine {done.values.nearest[row] / ONE:.3f}"


def _service(done: Computed, row: int) -> str:
    """Say whom a record of value serves, and why that may still pay nothing."""
    count = int(done.values.helped[row])
    text = f"serves {count} {'query' if count == 1 else 'queries'} better than what came before"
    if done.settlement.pays[row]:
        return text
    return f"{text}, but {'its share is below one unit' if done.outcome.payable else 'there was nothing to pay'}"


def _neighbour(public: PublicTurn, done: Computed, row: int) -> str:
    other = int(done.values.neighbour[row])
    if other >= 0:
        return f"the record at place {accepted_places(public.facts)[other]}"
    if other == NOTHING:
        return "nothing"
    behind = len(public.facts.reference)
    return f"reference record {-2 - other}" if -2 - other < behind else f"scoring query {-2 - other - behind}"
