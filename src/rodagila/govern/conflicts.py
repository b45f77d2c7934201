"""Rules between the fields of a policy: values that are each allowed and together cannot work.

The share that leaves the pool may not reach one (MECHANISM 4), a pool needs a source, and limits of one step must
leave the next step something to work with.

>>> from dataclasses import replace
>>> policy = Policy(name="docs")
>>> [c.fields[0] for c in conflicts_in(replace(policy, pool=replace(policy.pool, treasury_cut_ppm=1_000_000)))]
['pool.treasury_cut']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rodagila.core.money import PPM
from rodagila.core.policy import Policy

FIXED = ("name", "challenge", "token", "governance")
"""Parts of a policy that a launch writes into contracts or into the model line's name."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Fields (by path) that contradict each other, why, and what to change."""

    fields: tuple[str, ...]
    problem: str
    fix: str


def conflicts_in(policy: Policy) -> Iterator[Conflict]:
    """Yield every conflict of ``policy``."""
    yield from _pool_conflicts(policy)
    yield from _token_conflicts(policy)
    records, value, bond = policy.records, policy.value, policy.bond
    if records.min_chars > records.max_bytes:
        yield Conflict(
            ("records.min_chars", "records.max_bytes"),
            f"the shortest text ({records.min_chars} characters) is larger than the largest record"
            f" ({records.max_bytes} bytes), so no record fits",
            "Lower min_chars or raise max_bytes.",
        )
    if value.coverage_k > value.top:
        yield Conflict(
            ("value.coverage_k", "value.top"),
            f"coverage counts {value.coverage_k} records of a query but only {value.top} are kept",
            "Lower coverage_k or raise top.",
        )
    if bond.newcomer_multiplier > bond.multiplier:
        yield Conflict(
            ("bond.newcomer_multiplier", "bond.multiplier"),
            f"newcomers would bond {bond.newcomer_multiplier} times a record's pay and others {bond.multiplier} times",
            "Give newcomers at most the multiplier of the others.",
        )


def _token_conflicts(policy: Policy) -> Iterator[Conflict]:
    token = policy.token
    if token.founders > token.cap:
        yield Conflict(
            ("token.founders", "token.cap"),
            f"the founders would get {token.founders:,} tokens, more than the {token.cap:,} there can ever be",
            "Lower founders or raise cap.",
        )
    elif token.per_turn and token.founders == token.cap:
        yield Conflict(
            ("token.founders", "token.cap", "token.per_turn"),
            "the founders would get every token there can ever be, so no turn can issue any",
            "Lower founders, raise cap, or set per_turn to 0.",
        )
    threshold = policy.governance.proposal_threshold_ppm
    if token.founders * PPM < token.cap * threshold:
        yield Conflict(
            ("governance.proposal_threshold", "token.founders"),
            "the founders' tokens would not suffice to propose anything, and nobody else has any at first",
            "Lower proposal_threshold or raise founders.",
        )


def changes_of_what_is_fixed(before: Policy, after: Policy) -> Iterator[Conflict]:
    """Yield what a new version of a launched DAO's policy may not change, because its contracts hold it for ever."""
    if after.version != before.version + 1:
        yield Conflict(
            ("version",),
            f"version {after.version} would follow version {before.version}",
            f"Give version {before.version + 1}.",
        )
    for name in FIXED:
        if getattr(before, name) != getattr(after, name):
            yield Conflict(
                (name,),
                f"{name} was fixed when the DAO was launched",
                "Keep what `roda dao show` tells; the voting rules are changed on the governor itself.",
            )


def _pool_conflicts(policy: Policy) -> Iterator[Conflict]:
    pool, prices = policy.pool, policy.prices
    if pool.seed_pool:
        return
    if pool.treasury_cut_ppm >= PPM:
        yield Conflict(
            ("pool.treasury_cut", "pool.seed_pool"),
            "the treasury keeps every fee and adds nothing, so nobody can ever be paid",
            "Lower treasury_cut below 1 or give a seed_pool.",
        )
    if not any((prices.chat, prices.search, prices.classify, prices.embeddings)):
        yield Conflict(
            ("prices.chat", "prices.search", "prices.classify", "prices.embeddings", "pool.seed_pool"),
            "every call is free and the treasury adds nothing, so nobody can ever be paid",
            "Give a price or a seed_pool.",
        )
