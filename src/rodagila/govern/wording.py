"""A decoded call in plain words; where there are none for a function, its name and arguments stand for themselves.

Rule: a sentence is made of the call's bytes alone. Names come from the book, and a text stands beside a hash only if it
hashes to it. Calls that hand over power over the DAO are *grave* and are marked as such wherever they are shown.

>>> sentence_of(decode_action(action, book), Words(book)).text                  # doctest: +SKIP
'Pay 12.5 RPAY from the treasury to bob (0x2B5A…) for "labels of May".'
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rodagila.core.hashing import ZERO_HASH, hex0x, keccak
from rodagila.core.money import format_amount, format_tokens
from rodagila.core.policy import Policy
from rodagila.govern.actions import Action, Book, Decoded, decode_action
from rodagila.govern.changes import changes_between
from rodagila.govern.conflicts import changes_of_what_is_fixed

MAX_NESTING = 4
MAX_SHOWN = 300
"""Characters of a text that a sentence quotes."""


@dataclass(frozen=True, slots=True)
class Words:
    """What is known beside the bytes: names, the texts and policies of the document, and the policy in force."""

    book: Book
    texts: Sequence[str] = ()
    policies: Sequence[Policy] = ()
    present: Policy | None = None
    money: str = ""
    """The pay token's symbol."""

    def amount(self, units: int) -> str:
        """Return atomic units of the pay token with its symbol."""
        return f"{format_amount(units)} {self.money}".rstrip()

    def policy_and_before(self, policy_hash: bytes) -> tuple[Policy | None, Policy | None]:
        """Return the document's policy with that hash, and the one that it would replace, as far as they are known."""
        before = self.present
        for policy in self.policies:
            if policy.policy_hash() == policy_hash:
                return policy, before
            before = policy
        return None, before

    def of_hash(self, value: bytes) -> str:
        """Return the quoted text that hashes to ``value``, or the hash."""
        text = next((text for text in self.texts if keccak(text.encode()) == value), None)
        if text is None:
            return hex0x(value)
        return json.dumps(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…", ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one call does. ``alarm`` is empty, or says why a reader must not pass over it."""

    text: str
    alarm: str = ""
    details: tuple[str, ...] = ()


GRAVE = "this hands over power over the DAO"
UNREADABLE = "nobody can tell from here what this call does"


def sentence_of(decoded: Decoded, words: Words, nesting: int = 0) -> Sentence:
    """Return a decoded call in plain words."""
    if decoded.function is None:
        return Sentence(f"Call {decoded.text}: {decoded.problem}.", UNREADABLE)
    key = f"{decoded.contract}.{decoded.function.name}"
    value = f" It sends {decoded.action.value} wei along." if decoded.action.value else ""
    if key in _NESTED and nesting < MAX_NESTING:
        return _nested(decoded, words, nesting, value)
    write = _SENTENCES.get(key)
    text = write(decoded, words) if write else f"Call {decoded.text}."
    if key == "Registry.setPolicy":
        return _set_policy(decoded, words, value)
    return Sentence(text + value, GRAVE if key in _GRAVE else "")


def _nested(decoded: Decoded, words: Words, nesting: int, value: str) -> Sentence:
    inner = [sentence_of(decode_action(action, words.book), words, nesting + 1) for action in _NESTED_CALLS(decoded)]
    text = f"Call {decoded.contract}.{decoded.function.name if decoded.function else ''}, which calls on:{value}"
    return Sentence(text, GRAVE, tuple(line for item in inner for line in (item.text, *item.details)))


def _NESTED_CALLS(decoded: Decoded) -> list[Action]:
    found = {item.name: item.value for item in decoded.arguments}
    if "targets" in found:
        rows = zip(found["targets"], found.get("payloads", found.get("calldatas", ())), found["values"], strict=False)
        return [Action(target, data, value) for target, data, value in rows]
    data = found.get("data", found.get("payload", b""))
    return [Action(found["target"], data, found.get("value", 0))]


_NESTED = frozenset(
    {
        "DaoGovernor.relay",
        "DaoGovernor.propose",
        "DaoTimelock.schedule",
        "DaoTimelock.scheduleBatch",
        "DaoTimelock.execute",
        "DaoTimelock.executeBatch",
    }
)
"""Functions whose arguments are calls."""

_GRAVE = frozenset(
    {
        "DaoGovernor.updateTimelock",
        "DaoTimelock.grantRole",
        "DaoTimelock.revokeRole",
        "DaoTimelock.renounceRole",
    }
)


def moment(seconds: int) -> str:
    """Return a time as people read it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


def span(seconds: int) -> str:
    """Return a duration as people read it."""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            count = seconds // size
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{seconds} second" + ("" if seconds == 1 else "s")


def _set_policy(decoded: Decoded, words: Words, value: str) -> Sentence:
    policy_hash = decoded.arguments[0].value
    policy, before = words.policy_and_before(policy_hash)
    if policy is None:
        text = f"Put the policy with the hash {hex0x(policy_hash)} in force; its text is not known here."
        return Sentence(text + value, UNREADABLE)
    text = f"Put version {policy.version} of the policy in force, from the next turn on ({hex0x(policy_hash)})."
    if before is None:
        return Sentence(text + value)
    wrong = next(iter(changes_of_what_is_fixed(before, policy)), None)
    changes = tuple(change.text for change in changes_between(before, policy))
    return Sentence(
        text + value, f"it does not follow the policy that it replaces: {wrong.problem}" if wrong else "", changes
    )


def _pay(decoded: Decoded, words: Words) -> str:
    to, amount, reason = (item.value for item in decoded.arguments)
    why = f" for {words.of_hash(reason)}" if reason != ZERO_HASH else ""
    return f"Pay {words.amount(amount)} from the treasury to {words.book.name(to)}{why}."


def _said(template: str, **shown: Callable[[Any, Words], str]) -> Callable[[Decoded, Words], str]:
    """Return a writer that fills ``template`` with arguments by name, each shown by its function or as text."""

    def write(decoded: Decoded, words: Words) -> str:
        values = {
            item.name.rstrip("_"): (shown[item.name.rstrip("_")](item.value, words))
            if item.name.rstrip("_") in shown
            else item.text
            for item in decoded.arguments
        }
        return template.format(**values)

    return write


def _account(value: Any, words: Words) -> str:
    return words.book.name(value)


def _money(value: Any, words: Words) -> str:
    return words.amount(value)


def _tokens(value: Any, _words: Words) -> str:
    return format_tokens(value)


def _duration(value: Any, _words: Words) -> str:
    return span(value)


def _resolve(decoded: Decoded, _words: Words) -> str:
    turn, wrong = (item.value for item in decoded.arguments)
    verdict = "was right: the root was wrong" if wrong else "was wrong: the root stands"
    return f"Decide that the challenger of turn {turn} {verdict}."


def _what(scope: bytes, purpose: bytes, code: bytes, mode: int, words: Words) -> str:
    """Say what a grant or an offer gives: mode, scope, purpose and code."""
    ways = {
        1: "be asked about through the gateway",
        2: "be computed on by approved code",
        3: "be released in the clear",
    }
    run = f", by the code {hex0x(code)}" if code != ZERO_HASH else ""
    return f"{words.of_hash(scope)} may {ways.get(mode, f'be used in mode {mode}')} for {words.of_hash(purpose)}{run}"


def _grant(decoded: Decoded, words: Words) -> str:
    terms, expiry = (item.value for item in decoded.arguments)
    what = _what(terms.scopeRoot, terms.purposeHash, terms.codeHash, terms.mode, words)
    return f"Grant {words.book.name(terms.grantee)} access until {moment(expiry)}: {what}."


def _offer(decoded: Decoded, words: Words) -> str:
    offer = decoded.arguments[0].value
    what = _what(offer.scopeRoot, offer.purposeHash, offer.codeHash, offer.mode, words)
    price = f"{words.amount(offer.price)} ({words.book.name(offer.token)})"
    return (
        f"Let anyone buy a license of {span(offer.duration)} for {price} until {moment(offer.closesAt)}: {what}."
        f" The price is split by the key {words.of_hash(offer.splitKey)}."
    )


def _shares(decoded: Decoded, words: Words) -> str:
    key, rows = (item.value for item in decoded.arguments)
    shown = ", ".join(f"{words.book.name(row.account)} {format_amount(row.ppm * 100)}%" for row in rows)
    rest = format_amount((1_000_000 - sum(row.ppm for row in rows)) * 100)
    return f"Split what is paid for the key {words.of_hash(key)}: {shown or 'nobody'}; the treasury {rest}%."


def _set_token(decoded: Decoded, words: Words) -> str:
    token, is_open = (item.value for item in decoded.arguments)
    return f"{'Accept' if is_open else 'End new business in'} the pay token {words.book.name(token)}."


def _slash(decoded: Decoded, words: Words) -> str:
    role, account, amount, fault = (item.value for item in decoded.arguments)
    roles = {1: "evaluator", 2: "keeper", 3: "trainer", 4: "gateway"}
    who = f"{words.book.name(account)} has at stake as {roles.get(role, f'role {role}')}"
    return f"Take up to {words.amount(amount)} of what {who} for {words.of_hash(fault)}, to the treasury."


def _register_model(decoded: Decoded, words: Words) -> str:
    model, flags, royalty, beneficiary, parents = (item.value for item in decoded.arguments)
    names = {1: "commerce", 2: "derivatives", 4: "redistribution", 256: "attribution", 512: "same license"}
    license_ = ", ".join(name for flag, name in names.items() if flags & flag) or "nothing"
    pays = f"; its sales pay {format_amount(royalty * 100)}% to {words.book.name(beneficiary)}" if royalty else ""
    grown = f", grown from {', '.join(map(hex0x, parents))}" if parents else ""
    return f"Register the model {hex0x(model)}{grown}. Its license permits or demands {license_}{pays}."


_SENTENCES: dict[str, Callable[[Decoded, Words], str]] = {
    "Registry.setOperator": _said("Make {operator} the DAO's operator, who runs its turns.", operator=_account),
    "Treasury.pay": _pay,
    "Rewards.disable": _said("Disable the root of turn {turn}: nothing more is claimed by it."),
    "Rewards.resolve": _resolve,
    "Rewards.returnUnowed": _said(
        "Return {amount} that nobody is owed from the rewards to the treasury.", amount=_money
    ),
    "Registry.setHead": _said("Let the model line go on from the model {model}."),
    "Registry.registerModel": _register_model,
    "Licenses.grant": _grant,
    "Licenses.revoke": _said("End the grant {id}."),
    "Licenses.approveOffer": _offer,
    "Licenses.closeOffer": _said("Take no more orders under the offer {id}."),
    "Split.setShares": _shares,
    "Split.setToken": _set_token,
    "Stake.slash": _slash,
    "DaoGovernor.setVotingDelay": _said(
        "Let voting begin {newVotingDelay} after a proposal.", newVotingDelay=_duration
    ),
    "DaoGovernor.setVotingPeriod": _said("Let voting last {newVotingPeriod}.", newVotingPeriod=_duration),
    "DaoGovernor.setProposalThreshold": _said(
        "Require the power of {newProposalThreshold} tokens for a proposal.", newProposalThreshold=_tokens
    ),
    "DaoGovernor.updateQuorumNumerator": _said("Require {newQuorumNumerator}% of all tokens as quorum."),
    "DaoGovernor.updateTimelock": _said(
        "Let {newTimelock} act for the DAO instead of its timelock.", newTimelock=_account
    ),
    "DaoTimelock.updateDelay": _said("Let decisions wait {delay} in the timelock.", delay=_duration),
    "DaoTimelock.grantRole": _said("Give the timelock's role {role} to {account}.", account=_account),
    "DaoTimelock.revokeRole": _said("Take the timelock's role {role} from {account}.", account=_account),
    "PayToken.transfer": _said("Send {value} of the pay token from the timelock to {to}.", to=_account, value=_money),
}
"""Sentences by contract and function."""
