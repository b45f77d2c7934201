"""A keeper gives its share out on the ledger's word alone: to the grantee, once, in scope, never after revocation."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keepers import ADA, DAY, EVALUATOR, KEEPERS, OWNER, RELEASE, STRANGER, Stand, open_stand

from rodagila.core.errors import RodaError
from rodagila.core.hashing import ZERO_HASH, from_hex, keccak
from rodagila.core.messages import sign, signer_of
from rodagila.core.releases import Release, ShareDeletion
from rodagila.vault.grants import GrantReader, scope_tree
from rodagila.vault.quorum import QuorumKeeper
from rodagila.vault.sealing import age_identity, identity_from_text, open_sealed
from rodagila.vault.share_keeper import ShareKeeper, SignedRequest, VolumeRules, released_as_json
from rodagila.vault.split_keys import SplitKey, open_share
from rodagila.vault.transparency import open_head, require_inclusion


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = open_stand(tmp_path)
    yield made
    made.close()


def refusal(action: Any, *arguments: Any, **settings: Any) -> str:
    """The code that an action is refused with."""
    with pytest.raises(RodaError) as caught:
        action(*arguments, **settings)
    return caught.value.code


class Peer:
    """A keeper in this process, as the quorum asks it."""

    def __init__(self, keeper: ShareKeeper) -> None:
        self.keeper, self.address, self.recipient = keeper, keeper.account.address, keeper.recipient

    def ask(self, requests: Sequence[SignedRequest]) -> list[dict[str, Any]]:
        return [released_as_json(answer) for answer in self.keeper.release(requests)]


class Dead(Peer):
    """A keeper that is down."""

    def ask(self, requests: Sequence[SignedRequest]) -> list[dict[str, Any]]:
        raise RodaError("unreachable", "It is down.")


class Liar(Peer):
    """A keeper that gives another share than the one it holds."""

    def ask(self, requests: Sequence[SignedRequest]) -> list[dict[str, Any]]:
        from rodagila.vault.sealing import recipient_of, seal

        sealed = seal(bytes(32) + b"\x01", [recipient_of(age_identity(EVALUATOR))])
        return [{"sealed": base64.b64encode(sealed).decode()}]


def quorum(stand: Stand, grant: bytes, *peers: Peer) -> QuorumKeeper:
    return QuorumKeeper(EVALUATOR, stand.domain, grant, peers, threshold=2, clock=stand.clock)


def opened(stand: Stand, keepers: QuorumKeeper, made: Any) -> bytes:
    key = keepers.release(made.split, contribution_id=made.id, purpose="evaluate")
    return open_sealed(made.ciphertext, [identity_from_text(key)])


def test_two_of_three_keepers_open_a_contribution_under_a_standing_grant(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    keepers = quorum(stand, grant, *map(Peer, stand.keepers))
    assert opened(stand, keepers, made) == b"records"
    assert keepers.faults == []


def test_with_one_keeper_down_it_opens_and_with_two_it_does_not(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    one, two, three = stand.keepers
    assert opened(stand, quorum(stand, grant, Dead(one), Peer(two), Peer(three)), made) == b"records"
    assert refusal(opened, stand, quorum(stand, grant, Dead(one), Peer(two), Dead(three)), made) == "quorum_missing"


def test_a_wrong_share_is_identified_and_the_others_are_enough(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    one, two, three = stand.keepers
    keepers = quorum(stand, grant, Liar(one), Peer(two), Peer(three))
    assert opened(stand, keepers, made) == b"records"
    assert [(fault.keeper, fault.code) for fault in keepers.faults] == [(one.recipient, "share_mismatch")]


def test_a_release_is_recorded_with_who_what_and_under_which_decision(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    answer = stand.ask(grant, made.id)
    keeper = stand.keepers[0]
    entry = keeper.log.entry(answer.place)
    head = open_head(keeper.log.head(), keeper.log.verifier)
    require_inclusion(entry, answer.place, head, keeper.log.inclusion(answer.place, head.size))
    body = json.loads(entry)
    record = Release(
        **{
            name: from_hex(value) if isinstance(value, str) and len(value) == 66 else value
            for name, value in body["record"].items()
        }
    )
    assert (record.grantee, record.decision, record.contribution_id, record.block) == (
        *(EVALUATOR.address, keccak(b"decision"), made.id),
        stand.ledger.block_number(),
    )
    assert signer_of(stand.domain, record, from_hex(body["signature"])) == KEEPERS[0].address
    share = open_share(answer.sealed, age_identity(EVALUATOR))
    SplitKey.from_bytes(made.split).require(made.id, share)


def test_the_same_request_again_gets_the_same_bytes_and_no_second_record(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    asked = stand.request(grant, made.id)
    keeper = stand.keepers[0]
    first, again = keeper.release([asked]), keeper.release([asked, asked])
    assert first * 2 == again
    assert keeper.log.size() == 1


def test_a_nonce_is_good_for_one_request(stand: Stand) -> None:
    made, other, grant = stand.kept(), stand.kept(), stand.grant()
    stand.ask(grant, made.id)
    assert refusal(stand.ask, grant, other.id) == "nonce_replayed"
    assert refusal(stand.ask, grant, made.id, deadline=299) == "nonce_replayed"
    stand.ask(grant, other.id, nonce=2)


def test_a_request_is_good_for_one_keeper_and_until_its_deadline(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    asked = stand.request(grant, made.id, keeper=1)
    (answer,) = stand.keepers[0].release([asked])
    assert isinstance(answer, RodaError) and answer.code == "keeper_mismatch"
    assert refusal(stand.ask, grant, made.id, deadline=-1) == "request_expired"
    assert refusal(stand.ask, grant, made.id, deadline=2 * DAY) == "request_expired"


def test_only_the_grantee_may_ask(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    for signer in (STRANGER, OWNER, ADA):
        assert refusal(stand.ask, grant, made.id, signer=signer) == "request_signature"
    asked = stand.request(grant, made.id)
    widened = replace(asked, request=replace(asked.request, nonce=2))
    (answer,) = stand.keepers[0].release([widened])
    assert isinstance(answer, RodaError) and answer.code == "request_signature"


def test_what_is_released_opens_for_the_grantee_alone(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    sealed = stand.ask(grant, made.id).sealed
    for account in (STRANGER, ADA, KEEPERS[0]):
        assert refusal(open_sealed, sealed, [age_identity(account)]) == "ciphertext_unreadable"


def test_a_grant_that_is_unknown_expired_or_revoked_releases_nothing(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    assert refusal(stand.ask, keccak(b"no grant"), made.id) == "grant_unknown"
    asked = stand.request(grant, made.id)
    stand.keepers[0].release([asked])
    stand.licenses.transact(OWNER, "revoke", grant)
    assert refusal(stand.ask, grant, made.id, nonce=2) == "grant_revoked"
    (again,) = stand.keepers[0].release([asked])
    assert isinstance(again, RodaError) and again.code == "grant_revoked"
    short = stand.grant(seconds=100, salt=keccak(b"short"))
    stand.ask(short, made.id, nonce=3)
    stand.clock.wait(100)
    assert refusal(stand.ask, short, made.id, nonce=4) == "grant_expired"


def test_a_scope_releases_what_it_names_and_not_one_more(stand: Stand) -> None:
    one, two, outside = stand.kept(), stand.kept(), stand.kept()
    tree = scope_tree([one.id, two.id])
    grant = stand.grant(tree.root)
    stand.ask(grant, one.id, proof=tree.proof(0))
    stand.ask(grant, two.id, proof=tree.proof(1), nonce=2)
    wider = scope_tree([one.id, two.id, outside.id])
    for proof in ((), tree.proof(0), tree.proof(1), wider.proof(2), [ZERO_HASH] * 65):
        code = refusal(stand.ask, grant, outside.id, proof=proof, nonce=3)
        assert code in ("scope_refused", "invalid_request")
    assert refusal(stand.ask, grant, one.id, proof=(), nonce=3) == "scope_refused"


def test_a_grant_outside_the_consent_does_not_reach_the_contribution(stand: Stand) -> None:
    made = stand.kept()
    other = stand.grant(purpose_hash=keccak(b"advertising"))
    assert refusal(stand.ask, other, made.id) == "purpose_refused"
    whole = stand.grant(mode=RELEASE, code_hash=ZERO_HASH)
    assert refusal(stand.ask, whole, made.id) == "purpose_refused"
    stand.ask(whole, stand.kept(modes=("release",)).id)
    stand.ask(stand.grant(purpose_hash=keccak(b"answers")), made.id)
    stand.clock.wait(30 * DAY)
    assert refusal(stand.ask, stand.grant(salt=keccak(b"later")), made.id) == "consent_expired"


def test_a_share_of_another_contribution_or_keeper_is_not_taken(stand: Stand) -> None:
    one, two = stand.contribution(), stand.contribution()
    keeper = stand.keepers[0]
    swapped = replace(one.manifest, key_hash=keccak(two.split))
    signature = sign(ADA, stand.domain, swapped)
    assert refusal(keeper.deposit, swapped, signature, two.split, one.consent) == "share_mismatch"
    split = SplitKey.from_bytes(one.split)
    first, second, third = split.shares
    crossed = replace(split, shares=(replace(first, sealed=second.sealed), second, third)).as_bytes()
    moved = replace(one.manifest, key_hash=keccak(crossed))
    signature = sign(ADA, stand.domain, moved)
    assert refusal(keeper.deposit, moved, signature, crossed, one.consent) == "ciphertext_unreadable"
    assert refusal(keeper.deposit, one.manifest, one.signature, two.split, one.consent) == "share_mismatch"
    assert refusal(keeper.deposit, one.manifest, two.signature, one.split, one.consent) == "manifest_signature"
    loosened = one.consent | {"modes": ["release"]}
    assert refusal(keeper.deposit, one.manifest, one.signature, one.split, loosened) == "consent_mismatch"
    assert keeper.status()["shares"] == 0
    keeper.deposit(one.manifest, one.signature, one.split, one.consent)
    keeper.deposit(one.manifest, one.signature, one.split, one.consent)
    assert keeper.status()["shares"] == 1


def test_a_revoked_contribution_is_forgotten_with_a_signed_receipt(stand: Stand) -> None:
    made, left, grant = stand.kept(), stand.kept(), stand.grant()
    keeper = stand.keepers[0]
    asked = stand.request(grant, made.id)
    (answer,) = keeper.release([asked])
    assert not isinstance(answer, RodaError)
    own = SplitKey.from_bytes(made.split).of_keeper(keeper.recipient).sealed
    stand.registry.transact(ADA, "revoke", made.id)
    (again,) = keeper.release([asked])
    assert isinstance(again, RodaError) and again.code == "contribution_revoked"
    assert stand.keepers[1].follow() == [made.id]
    assert stand.keepers[1].follow() == []
    receipt = keeper.deletion(made.id)
    record = ShareDeletion(
        **{
            name: from_hex(value) if isinstance(value, str) and len(value) == 66 else value
            for name, value in receipt["record"].items()
        }
    )
    assert (record.contribution_id, record.owner) == (made.id, ADA.address)
    assert signer_of(stand.domain, record, from_hex(receipt["signature"])) == KEEPERS[0].address
    assert refusal(keeper.deposit, made.manifest, made.signature, made.split, made.consent) == "contribution_revoked"
    stand.ask(grant, left.id, nonce=2)
    for path in stand.path.glob("keeper0.sqlite*"):
        data = path.read_bytes()
        assert own[-48:] not in data and answer.sealed[-48:] not in data, path


def test_a_revocation_by_somebody_else_deletes_nothing(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    stand.registry.transact(OWNER, "revoke", made.id)
    assert stand.keepers[0].follow() == []
    stand.ask(grant, made.id)


def test_a_contribution_that_was_revoked_before_is_not_taken(stand: Stand) -> None:
    made = stand.contribution()
    stand.registry.transact(ADA, "revoke", made.id)
    keeper = stand.keepers[0]
    keeper.follow()
    assert refusal(keeper.deposit, made.manifest, made.signature, made.split, made.consent) == "contribution_revoked"


class Forked:
    """An endpoint that shows another chain from some block on, or another word of a contract."""

    def __init__(self, ledger: Any, **lies: Any) -> None:
        self._ledger, self._lies = ledger, lies

    def __getattr__(self, name: str) -> Any:
        return self._lies.get(name, getattr(self._ledger, name))

    def at(self, block: int) -> Forked:
        return self


def test_endpoints_that_contradict_each_other_release_nothing(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    true = stand.ledger
    lies: list[dict[str, Any]] = [
        {"block": lambda number: replace(true.block(number), hash=ZERO_HASH)},
        {"call": lambda *_, **__: bytes(31) + b"\x01" + bytes(96)},
        {"logs": lambda *_, **__: []},
    ]
    for place, lie in enumerate(lies):
        reader = GrantReader([true, Forked(true, **lie)], stand.domain, stand.licenses.address)
        keeper = ShareKeeper(stand.path / f"lied{place}.sqlite", KEEPERS[0], reader, clock=stand.clock)
        keeper_deposit = keeper.deposit(made.manifest, made.signature, made.split, made.consent)
        assert keeper_deposit == made.id
        try:
            (answer,) = keeper.release([stand.request(grant, made.id)])
        except RodaError as error:
            answer = error
        assert isinstance(answer, RodaError)
        assert answer.code in ("ledger_disagrees", "grant_unknown")
        assert keeper.log.size() == 0
        keeper.close()


def test_an_endpoint_that_goes_back_on_a_pinned_block_is_noticed(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    stand.ask(grant, made.id)
    stand.keepers[0].close()
    lie = Forked(stand.ledger, block=lambda number: replace(stand.ledger.block(number), hash=ZERO_HASH))
    reader = GrantReader([lie], stand.domain, stand.licenses.address)
    stand.keepers[0] = ShareKeeper(stand.path / "keeper0.sqlite", KEEPERS[0], reader, clock=stand.clock)
    assert refusal(stand.ask, grant, made.id, nonce=2) == "ledger_reorganised"


def test_a_keeper_limits_each_grant_and_raises_an_alarm(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.keepers[0].close()
    stand.keepers[0] = keeper = stand.keeper(0, VolumeRules(per_grant=3, alarm=2))
    made, grant = stand.kept(), stand.grant()
    with caplog.at_level(logging.WARNING):
        for nonce in range(3):
            stand.ask(grant, made.id, nonce=nonce)
    assert [record.message for record in caplog.records] == ["alarm: 3 releases in the last 60 seconds"]
    assert keeper.status()["alarm"] is True
    assert refusal(stand.ask, grant, made.id, nonce=3) == "rate_limited"
    stand.ask(stand.grant(salt=keccak(b"other")), made.id)
    stand.clock.wait(61)
    assert keeper.status()["alarm"] is False
    stand.ask(grant, made.id, nonce=3)


def test_one_batch_answers_each_request_for_itself(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    keeper = stand.keepers[0]
    good = [stand.request(grant, made.id, nonce=nonce) for nonce in range(3)]
    bad = stand.request(grant, keccak(b"unknown"), nonce=9)
    answers = keeper.release([good[0], bad, *good[1:]])
    assert [getattr(answer, "code", "released") for answer in answers] == [
        *("released", "share_unknown", "released", "released")
    ]
    assert keeper.log.size() == 3
    assert refusal(keeper.release, []) == "invalid_request"


def test_a_grantee_with_a_key_of_low_order_gets_nothing_and_stops_nobody_else(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    weak = stand.grant(grantee_key=b"\x01" + bytes(31))
    asked = [stand.request(weak, made.id), stand.request(grant, made.id)]
    refused, released = stand.keepers[0].release(asked)
    assert isinstance(refused, RodaError) and refused.code == "key_invalid"
    assert not isinstance(released, RodaError)
    assert stand.keepers[0].log.size() == 1


@pytest.mark.parametrize(
    "statement", [pytest.param(3, marks=pytest.mark.slow), 8, 13, pytest.param(17, marks=pytest.mark.slow), 18, 19]
)
def test_a_keeper_killed_in_a_release_has_no_release_without_a_record(stand: Stand, statement: int) -> None:
    """The process dies at a statement of the release; asked again, the answer is there once, with one record."""
    made, grant = stand.kept(), stand.grant()
    asked = stand.request(grant, made.id)
    keeper = stand.keepers[0]
    keeper.close()
    child = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from keepers import *
path = Path({str(stand.path)!r})
clock = StandingClock({stand.clock.now})
ledger = EmbeddedLedger.open(path / "ledger.sqlite", clock=clock)
from rodagila.chain.abi import load_artifact
place = lambda address, name: Contract(ledger, address, load_artifact(name))
stand = Stand(path, clock, ledger, place({stand.registry.address!r}, "Registry"),
              place({stand.licenses.address!r}, "Licenses"))
keeper = stand.keeper(0)
left = {statement}
def count(_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
with keeper.log.reading() as file:
    file.set_trace_callback(count)
keeper.release([stand.request({grant!r}, {made.id!r})])
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", child], check=False, capture_output=True, text=True)
    assert run.returncode == -9, run.stderr
    stand.keepers[0] = keeper = stand.keeper(0)
    (answer,) = keeper.release([asked])
    assert not isinstance(answer, RodaError)
    assert keeper.log.size() == 1
    SplitKey.from_bytes(made.split).require(made.id, open_share(answer.sealed, age_identity(EVALUATOR)))


def test_no_share_or_key_is_in_the_clear_in_a_keepers_file(stand: Stand) -> None:
    made, grant = stand.kept(), stand.grant()
    answer = stand.ask(grant, made.id)
    share = open_share(answer.sealed, age_identity(EVALUATOR))
    secrets = [share.y, KEEPERS[0].key, made.object_key.encode(), str(age_identity(KEEPERS[0])).encode()]
    with sqlite3.connect(stand.path / "keeper0.sqlite") as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    for path in stand.path.glob("keeper0.sqlite*"):
        assert not any(bytes(secret) in path.read_bytes() for secret in secrets)
