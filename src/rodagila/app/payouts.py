"""Payouts as people see them: the list of a turn, one owner's explanation, and the claim."""

from __future__ import annotations

from typing import Any

from rodagila.app.daos import Dao
from rodagila.app.ledger_steps import claim
from rodagila.app.publication import published
from rodagila.app.turns import closed_turn
from rodagila.core.errors import NotFound, RefusedByPolicy
from rodagila.reward.explain import explain


def payouts_of(dao: Dao, number: int | None) -> list[dict[str, Any]]:
    """Return every owner with its payout of the turn, its slash, its cumulative amount and what it has claimed."""
    row = closed_turn(dao, number)
    public, computed = published(dao, row.number)
    cumulative = computed.settlement.cumulative
    owners = sorted({entry.owner for entry in public.facts.contributions} | set(cumulative))
    slashed = dict.fromkeys(owners, 0)
    for entry in public.facts.contributions:
        slashed[entry.owner] += public.outcome.slashes.get(entry.id, 0)
    rewards = dao.contract("Rewards")
    return [
        {
            "turn": row.number,
            "account": owner,
            "payout": public.outcome.payouts.get(owner, 0),
            "slashed": slashed[owner],
            "cumulative": cumulative.get(owner, 0),
            "claimed": rewards.call("claimed", owner),
        }
        for owner in owners
    ]


def explanation_of(dao: Dao, account: str, number: int | None) -> dict[str, Any]:
    """Return the explanation of one account's payout, as JSON and as text."""
    public, computed = published(dao, closed_turn(dao, number).number)
    found = explain(public, account, computed)
    return {**found.as_json(), "text": found.as_text()}


def claim_for(dao: Dao, account: str, *, dry_run: bool) -> dict[str, Any]:
    """Pay an account what the newest final root owes it; anyone may send the claim, the money goes to the account."""
    row = closed_turn(dao, None)
    computed = published(dao, row.number)[1]
    tree, cumulative = computed.payout_tree, computed.settlement.cumulative.get(account, 0)
    if cumulative == 0:
        raise NotFound(
            "account_unknown",
            f"{account} has earned nothing in the DAO {dao.name!r} up to turn {row.number}.",
            hint=f"See who did: roda payout list --dao {dao.name}",
        )
    rewards = dao.contract("Rewards")
    paid_before = int(rewards.call("claimed", account))
    due = cumulative - paid_before
    result = {
        "account": account,
        "turn": row.number,
        "cumulative": cumulative,
        "claimed_before": paid_before,
        "due": due,
    }
    if dry_run:
        return {**result, "dry_run": True}
    if not rewards.call("isFinal", row.number):
        raise RefusedByPolicy(
            "window_open",
            f"The challenge window of turn {row.number} is still open.",
            hint=f"It lasts {dao.policy.challenge.window_seconds} seconds; try again then.",
        )
    claim(dao, row.number, tree, [account])
    return {**result, "paid": due, "claimed": int(rewards.call("claimed", account))}
