"""What people want of a proposal, in fields, as the calls that do it.

An intent is a kind and a line of fields, ``pay`` with ``to=bob,amount=12.5,reason=labels of May``; a comma separates
fields only where a field's name follows. Amounts are decimal text, shares 60% or 0.6, durations 12h or 2d, times a
date, seconds, or a duration from now. A text of which the contract keeps the hash only (a purpose, a scope, a reason)
goes into the proposal's document; where the hash itself is known, 0x and 64 digits stand for it.

>>> read_fields("to=bob,amount=12.5,reason=labels, May")
{'to': 'bob', 'amount': '12.5', 'reason': 'labels, May'}
"""

from __future__ import annotations

import calendar
import json
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rodagila.core.errors import InvalidInput, NotFound, RodaError
from rodagila.core.hashing import ZERO_HASH, from_hex, keccak
from rodagila.core.money import PPM, TOKEN_UNIT, UNIT, parse_amount
from rodagila.core.policy import Policy
from rodagila.govern.actions import Action, Book, action_of, action_of_texts
from rodagila.govern.changes import next_policy, with_prices
from rodagila.govern.fields import Field
from rodagila.govern.values import WrongValue, read_value
from rodagila.vault import bech32

MODES = {"api": 1, "compute": 2, "release": 3}
"""Ways to use what is granted, as Licenses numbers them."""
ROLES = {"evaluator": 1, "keeper": 2, "trainer": 3, "gateway": 4}
"""Roles of a node, as Stake numbers them."""
LICENSE_FLAGS = {"commerce": 1, "derivatives": 2, "redistribution": 4, "attribution": 256, "same-license": 512}
"""What a model's license permits or demands, as Registry numbers it."""
_FIELD = re.compile(r"(?:^|,)\s*([A-Za-z0-9][A-Za-z0-9._-]*)=")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_TIME_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an intent is read against: who is who, the policy in force (if its text is known), the time, the words."""

    book: Book
    present: Policy | None
    now: int
    words_hash: bytes = ZERO_HASH


@dataclass(frozen=True, slots=True)
class Built:
    """The calls of intents, with the texts and policies of which they carry the hashes."""

    actions: tuple[Action, ...] = ()
    texts: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """A kind of intent: how its fields are written, what it does, and the builder of its calls."""

    kind: str
    fields: str
    meaning: str
    build: Callable[[Given], list[Action]]


def words_hash(title: str, text: str) -> bytes:
    """Return the hash by which a grant names the decision it came from: of the proposal's title and text."""
    return keccak(f"{title.strip()}\n\n{text.strip()}".encode())


def read_fields(text: str) -> dict[str, str]:
    """Return the fields of a line, or of a JSON object; raise ``InvalidInput``."""
    if text.lstrip().startswith("{"):
        try:
            body = json.loads(text)
        except ValueError as error:
            raise InvalidInput("action_invalid", f"This is not a JSON object: {error}.") from error
        return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in body.items()}
    found = list(_FIELD.finditer(text))
    if not found or found[0].start() != 0:
        raise InvalidInput("action_invalid", f"{text[:80]!r} has no fields.", hint="Write it like to=bob,amount=12.5.")
    ends = [*(match.start() for match in found[1:]), len(text)]
    fields: dict[str, str] = {}
    for match, end in zip(found, ends, strict=True):
        if match[1] in fields:
            raise InvalidInput("action_invalid", f"The field {match[1]} is given twice.", hint="Keep one.")
        fields[match[1]] = text[match.end() : end].strip()
    return fields


def build(wanted: list[tuple[str, str]], facts: Facts) -> Built:
    """Return the calls of ``wanted``, pairs of a kind and its line, in their order; raise ``InvalidInput``."""
    built = Built()
    for kind, line in wanted:
        given = Given(kind, line, replace(facts, present=built.policies[-1] if built.policies else facts.present))
        actions = INTENTS[kind].build(given)
        given.require_all_read()
        built = Built((*built.actions, *actions), (*built.texts, *given.texts), (*built.policies, *given.policies))
    return replace(built, texts=tuple(dict.fromkeys(built.texts)))


@dataclass(slots=True)
class Given:
    """The fields of one intent as they are read; texts and policies that the document must hold are collected."""

    kind: str
    line: str
    facts: Facts
    texts: list[str] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    _fields: dict[str, str] | None = None
    _read: set[str] = field(default_factory=set)

    @property
    def fields(self) -> dict[str, str]:
        """The fields by name."""
        if self._fields is None:
            self._fields = read_fields(self.line)
        return self._fields

    def require_all_read(self) -> None:
        """Raise ``InvalidInput`` for a field that the kind does not have."""
        unknown = sorted(set(self._fields or ()) - self._read)
        if unknown:
            raise self.wrong(unknown[0], "there is no such field", f"Fields: {INTENTS[self.kind].fields}.")

    def wrong(self, name: str, problem: str, fix: str) -> InvalidInput:
        """Return the error of one field."""
        return InvalidInput("action_invalid", f"--{self.kind}, {name}: {problem}.", hint=fix, field=name)

    def present(self) -> Policy:
        """Return the policy that would be replaced; raise ``NotFound`` (``policy_unknown``) without its text."""
        if self.facts.present is None:
            raise NotFound(
                "policy_unknown",
                "The text of the policy in force is not in this home, so nothing can follow it.",
                hint="Get the file from who proposed it, then run: roda policy keep FILE --dao NAME",
            )
        return self.facts.present

    def text(self, name: str, default: str | None = None) -> str:
        """Return a field's text; raise unless it is given or has a default."""
        self._read.add(name)
        value = self.fields.get(name, "")
        if value:
            return value
        if default is None:
            raise self.wrong(name, "it is missing", f"Fields: {INTENTS[self.kind].fields}.")
        return default

    def rest(self) -> dict[str, str]:
        """Return the fields that were not read yet."""
        left = {name: value for name, value in self.fields.items() if name not in self._read}
        self._read |= set(left)
        return left

    def account(self, name: str, default: str | None = None) -> str:
        """Return an address, given as such or by a name."""
        return self.facts.book.address(self.text(name, default))

    def amount(self, name: str) -> int:
        """Return atomic units of the pay token."""
        return self.number(name, "amount", 0, 10**15 * UNIT)

    def tokens(self, name: str) -> int:
        """Return atomic units of the DAO's token."""
        try:
            return parse_amount(self.text(name)) * TOKEN_UNIT // UNIT
        except InvalidInput as error:
            raise self.wrong(name, error.message.rstrip("."), error.hint) from error

    def share(self, name: str) -> int:
        """Return millionths."""
        return self.number(name, "share", 0, PPM)

    def duration(self, name: str) -> int:
        """Return seconds."""
        return self.number(name, "duration", 0, 100 * 366 * 86_400)

    def count(self, name: str) -> int:
        """Return a whole number."""
        return self.number(name, "count", 0, 2**53)

    def number(self, name: str, kind: str, low: int, high: int) -> int:
        """Return a value read by the rule of a policy's field of that kind."""
        try:
            return int(read_value(Field("", name, kind, low, high, ""), self.text(name), quoted=False))
        except WrongValue as error:
            raise self.wrong(name, error.problem, error.fix) from error

    def choice(self, name: str, choices: Mapping[str, int], default: str | None = None) -> int:
        """Return the number of one of ``choices``."""
        text = self.text(name, default)
        if text not in choices:
            raise self.wrong(name, f"{text!r} is not one of {', '.join(choices)}", "Give one of them.")
        return choices[text]

    def moment(self, name: str) -> int:
        """Return seconds since 1970 of a date, of seconds, or of a duration from now."""
        text = self.text(name)
        for form in _TIME_FORMATS:
            try:
                return calendar.timegm(time.strptime(text, form))
            except ValueError:
                continue
        if re.fullmatch(r"[0-9]{9,12}", text):
            return int(text)
        if re.fullmatch(r"[0-9]+ *[smhd][a-z]*", text):
            return self.facts.now + self.duration(name)
        raise self.wrong(name, f"{text!r} is not a time", "Write it like 2027-01-31, 2027-01-31T12:00Z or 90d.")

    def hash(self, name: str, default: str | None = None) -> bytes:
        """Return 32 bytes."""
        text = self.text(name, default)
        if not _HASH.fullmatch(text):
            raise self.wrong(name, f"{text[:80]!r} is not a hash", "Write 0x and 64 hex digits.")
        return from_hex(text)

    def hashed(self, name: str, default: str | None = None) -> bytes:
        """Return the hash of a text, which the document then holds, or the hash that is given itself."""
        text = self.text(name, default)
        if not text:
            return ZERO_HASH
        if _HASH.fullmatch(text):
            return from_hex(text)
        self.texts.append(text)
        return keccak(text.encode())

    def call(self, contract: str, function: str, *values: Any) -> list[Action]:
        """Return one call of the DAO's contract."""
        return [action_of(self.facts.book, contract, function, values)]


def _pay(given: Given) -> list[Action]:
    to, amount, reason = given.account("to"), given.amount("amount"), given.hashed("reason", "")
    return given.call("Treasury", "pay", to, amount, reason)


def _grant(given: Given) -> list[Action]:
    key = given.text("key", "")
    terms = {
        "grantee": given.account("grantee"),
        "granteeKey": _age_key(given, key) if key else ZERO_HASH,
        "mode": given.choice("mode", MODES),
        "scopeRoot": given.hashed("scope"),
        "purposeHash": given.hashed("purpose"),
        "codeHash": given.hashed("code", ""),
        "decision": given.facts.words_hash,
        "salt": given.hash("salt", "0x" + "00" * 32),
    }
    return given.call("Licenses", "grant", terms, given.moment("until"))


def _age_key(given: Given, text: str) -> bytes:
    if _HASH.fullmatch(text):
        return from_hex(text)
    try:
        prefix, data = bech32.decode(text)
        if prefix != "age" or len(data) != 32:
            raise ValueError(text)
    except (ValueError, RodaError) as error:
        raise given.wrong("key", "it is not an age recipient", "Give what begins with age1, or 0x hex.") from error
    return data


def _approve_offer(given: Given) -> list[Action]:
    offer = {
        "token": given.account("token", "PayToken"),
        "price": given.amount("price"),
        "mode": given.choice("mode", MODES),
        "duration": given.duration("duration"),
        "closesAt": given.moment("until"),
        "scopeRoot": given.hashed("scope"),
        "purposeHash": given.hashed("purpose"),
        "codeHash": given.hashed("code", ""),
        "splitKey": given.hashed("split"),
    }
    return given.call("Licenses", "approveOffer", offer)


def _shares(given: Given) -> list[Action]:
    key = given.hashed("key")
    rows = [(given.facts.book.address(name), given.share(name)) for name in given.rest()]
    return given.call("Split", "setShares", key, sorted(rows, key=lambda row: int(row[0], 16)))


def _policy(given: Given) -> list[Action]:
    try:
        policy = Policy.from_json(json.loads(given.line))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput("policy_invalid", f"This is not the JSON of a policy: {error}.") from error
    return _put_in_force(given, next_policy(given.present(), policy))


def _price(given: Given) -> list[Action]:
    return _put_in_force(given, with_prices(given.present(), given.rest()))


def _put_in_force(given: Given, policy: Policy) -> list[Action]:
    given.policies.append(policy)
    return given.call("Registry", "setPolicy", policy.policy_hash())


def _rule(given: Given) -> list[Action]:
    setters: dict[str, tuple[str, str, Callable[[str], int]]] = {
        "voting_delay": ("DaoGovernor", "setVotingDelay", given.duration),
        "voting_period": ("DaoGovernor", "setVotingPeriod", given.duration),
        "threshold": ("DaoGovernor", "setProposalThreshold", given.tokens),
        "quorum": ("DaoGovernor", "updateQuorumNumerator", lambda name: given.number(name, "count", 0, 100)),
        "timelock": ("DaoTimelock", "updateDelay", given.duration),
    }
    actions: list[Action] = []
    for name in list(given.fields):
        if name in setters:
            contract, function, read = setters[name]
            actions += given.call(contract, function, read(name))
    return actions


def _register_model(given: Given) -> list[Action]:
    words = [word for word in re.split(r"[+ ]+", given.text("license", "")) if word]
    unknown = [word for word in words if word not in LICENSE_FLAGS]
    if unknown:
        raise given.wrong("license", f"{unknown[0]!r} is not known", f"Join with +: {', '.join(LICENSE_FLAGS)}.")
    parents = [_parent(given, text) for text in given.text("parents", "").split("+") if text]
    royalty = given.share("royalty") if given.text("royalty", "") else 0
    beneficiary = given.account("beneficiary") if royalty else "0x" + "00" * 20
    flags = sum(LICENSE_FLAGS[word] for word in set(words))
    return given.call("Registry", "registerModel", given.hash("model"), flags, royalty, beneficiary, parents)


def _parent(given: Given, text: str) -> bytes:
    if not _HASH.fullmatch(text.strip()):
        raise given.wrong("parents", f"{text[:80]!r} is not a hash", "Join hashes with +.")
    return from_hex(text.strip())


def _slash(given: Given) -> list[Action]:
    role, account = given.choice("role", ROLES), given.account("account")
    return given.call("Stake", "slash", role, account, given.amount("amount"), given.hashed("fault"))


def _call(given: Given) -> list[Action]:
    try:
        words = shlex.split(given.line)
    except ValueError as error:
        raise InvalidInput("action_invalid", f"--call: {error}.", hint="Close the quotes.") from error
    if not words:
        raise InvalidInput("action_invalid", "--call is empty.", hint="Write it like Treasury.pay bob 1 0x….")
    return [action_of_texts(given.facts.book, words[0], words[1:])]


_WRONG = {"wrong": 1, "right": 0}
_YES_NO = {"yes": 1, "no": 0}
INTENTS: dict[str, Intent] = {
    intent.kind: intent
    for intent in (
        Intent("pay", "to=ACCOUNT,amount=0.5[,reason=TEXT]", "Pay from the treasury.", _pay),
        Intent("price", "chat=0.003[,search=…]", "Change prices of calls: a new version of the policy.", _price),
        Intent("policy", "FILE", "Put the policy of a file in force, from the next turn on.", _policy),
        Intent(
            "grant",
            "grantee=ACCOUNT,mode=api|compute|release,scope=TEXT,purpose=TEXT,until=TIME[,key=age1…][,code=HASH][,salt=HASH]",
            "Grant access to what the scope names.",
            _grant,
        ),
        Intent(
            "revoke-grant",
            "id=HASH",
            "End a grant or license.",
            lambda given: given.call("Licenses", "revoke", given.hash("id")),
        ),
        Intent(
            "approve-offer",
            "price=0.5,mode=api|compute|release,duration=30d,until=TIME,scope=TEXT,purpose=TEXT,split=TEXT[,code=HASH]",
            "Let everyone buy a license on these terms.",
            _approve_offer,
        ),
        Intent(
            "close-offer",
            "id=HASH",
            "Take no more orders under an offer.",
            lambda given: given.call("Licenses", "closeOffer", given.hash("id")),
        ),
        Intent(
            "token",
            "account=ACCOUNT,open=yes|no",
            "Open or end business in a pay token.",
            lambda given: given.call(
                "Split", "setToken", given.account("account"), bool(given.choice("open", _YES_NO))
            ),
        ),
        Intent(
            "shares",
            "key=TEXT,ACCOUNT=60%,ACCOUNT=…",
            "Say who earns of a key's sales; the rest goes to the treasury.",
            _shares,
        ),
        Intent(
            "disable-root",
            "turn=NUMBER",
            "Disable the root of a turn.",
            lambda given: given.call("Rewards", "disable", given.count("turn")),
        ),
        Intent(
            "resolve",
            "turn=NUMBER,root=wrong|right",
            "Decide a dispute over a turn's root.",
            lambda given: given.call("Rewards", "resolve", given.count("turn"), bool(given.choice("root", _WRONG))),
        ),
        Intent(
            "head",
            "model=HASH",
            "Let the model line go on from this model.",
            lambda given: given.call("Registry", "setHead", given.hash("model")),
        ),
        Intent(
            "register-model",
            "model=HASH[,license=commerce+derivatives+…][,royalty=5%,beneficiary=ACCOUNT][,parents=HASH+HASH]",
            "Register a foreign model, so that the line can go on from it.",
            _register_model,
        ),
        Intent(
            "operator",
            "account=ACCOUNT",
            "Change who runs the turns.",
            lambda given: given.call("Registry", "setOperator", given.account("account")),
        ),
        Intent(
            "rule",
            "voting_delay=1d|voting_period=3d|threshold=TOKENS|quorum=PERCENT|timelock=2d",
            "Change how the DAO decides.",
            _rule,
        ),
        Intent(
            "slash",
            "role=evaluator|keeper|trainer|gateway,account=ACCOUNT,amount=0.5,fault=TEXT",
            "Take a node's stake for a fault.",
            _slash,
        ),
        Intent("call", "'CONTRACT.FUNCTION ARGUMENT …'", "Call any function of the DAO's contracts.", _call),
    )
}
"""Every kind of intent, in the order of the help."""
