"""Payouts as people see them: the list of a turn, one owner's explanation, and the claim."""

from __future__ import annotations

from typing import Any

from rodagila.app.daos import Dao
from rodagila.app.ledger_steps import claim_money, claim_tokens, newest_final
from rodagila.app.publication import published
from rodagila.app.turns import closed_turn
from rodagila.core.errors import NotFound, RefusedByPolicy
from rodagila.core.money import format_amount, format_tokens
from rodagila.reward.explain import explain


def payouts_of(dao: Dao, number: int | None) -> list[dict[str, Any]]:
    """Return every owner with its payout and tokens of the turn, its slash, and what it is owed and has claimed.

    Tokens are text of atomic units: 18 decimals exceed what JSON numbers hold.
    """
    row = closed_turn(dao, number)
    public, computed = published(dao, row.number)
    cumulative, issued = computed.settlement.cumulative, computed.settlement.cumulative_issued
    owners = sorted({entry.owner for entry in public.facts.contributions} | set(cumulative) | set(issued))
    slashed = dict.fromkeys(owners, 0)
    for entry in public.facts.contributions:
        slashed[entry.owner] += public.outcome.slashes.get(entry.id, 0)
    rewards, token = dao.contract("Rewards"), dao.contract("DaoToken")
    return [
        {
            "turn": row.number,
            "account": owner,
            "payout": public.outcome.payouts.get(owner, 0),
            "slashed": slashed[owner],
            "cumulative": cumulative.get(owner, 0),
            "claimed": rewards.call("claimed", owner),
            "tokens": str(public.outcome.tokens.get(owner, 0)),
            "tokens_cumulative": str(issued.get(owner, 0)),
            "tokens_claimed": str(token.call("claimed", owner)),
        }
        for owner in owners
    ]


def explanation_of(dao: Dao, account: str, number: int | None) -> dict[str, Any]:
    """Return the explanation of one account's payout, as JSON and as text."""
    public, computed = published(dao, closed_turn(dao, number).number)
    found = explain(public, account, computed)
    return {**found.as_json(), "text": found.as_text()}


def claim_for(dao: Dao, account: str, *, dry_run: bool) -> dict[str, Any]:
    """Pay an account the money and the tokens that the newest final roots owe it.

    Anyone may send the claims; both go to the account. Raises ``NotFound`` if it earned nothing.
    """
    turn = _final_turn(dao)
    computed = published(dao, turn)[1]
    settlement = computed.settlement
    cumulative, issued = settlement.cumulative.get(account, 0), settlement.cumulative_issued.get(account, 0)
    if not cumulative and not issued:
        raise NotFound(
            "account_unknown",
            f"{account} has earned nothing in the DAO {dao.name!r} up to turn {turn}.",
            hint=f"See who did: roda payout list --dao {dao.name}",
        )
    rewards, token = dao.contract("Rewards"), dao.contract("DaoToken")
    paid, minted = int(rewards.call("claimed", account)), int(token.call("claimed", account))
    due, tokens_due = max(0, cumulative - paid), max(0, issued - minted)
    result = {
        "account": account,
        "turn": turn,
        "cumulative": cumulative,
        "claimed_before": paid,
        "due": due,
        "tokens_cumulative": str(issued),
        "tokens_claimed_before": str(minted),
        "tokens_due": str(tokens_due),
    }
    if dry_run:
        return {**result, "dry_run": True}
    claim_money(dao, turn, computed.payout_tree, [account])
    claim_tokens(dao, turn, computed.token_tree, [account])
    claimed, received = rewards.call("claimed", account), token.call("claimed", account)
    text = (
        f"{account} received {format_amount(claimed - paid)} and {format_tokens(received - minted)} tokens of the DAO."
    )
    return {
        **result,
        "paid": claimed - paid,
        "claimed": claimed,
        "tokens_received": str(received - minted),
        "text": text,
    }


def claim_all(dao: Dao) -> None:
    """Send the claims of everyone whom the newest final roots owe money or tokens."""
    turn = _final_turn(dao)
    computed = published(dao, turn)[1]
    for tree, send in ((computed.payout_tree, claim_money), (computed.token_tree, claim_tokens)):
        send(dao, turn, tree, [row[0] for row in tree.rows])


def _final_turn(dao: Dao) -> int:
    closed, final = closed_turn(dao, None).number, newest_final(dao)
    if final == 0:
        raise RefusedByPolicy(
            "window_open",
            f"No turn of the DAO {dao.name!r} is final: the roots of turn {closed} can be disputed or were taken away.",
            hint=f"Look at its turns: roda turn list --dao {dao.name}",
        )
    return final
