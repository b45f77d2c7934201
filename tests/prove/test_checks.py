"""Checks tell each kind of contribution from the others, and a proof holds for one of them only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_account import Account

from rodagila.collect.contribution import SealedContribution, open_contribution, prepare_contribution
from rodagila.collect.docstrings import docstring_corpus
from rodagila.collect.freeloaders import junk
from rodagila.core.errors import InvalidInput, NotAuthorised
from rodagila.core.messages import Domain, digest, sign
from rodagila.core.policy import ModelRules, Policy, RecordRules
from rodagila.core.records import Record
from rodagila.core.redaction import Redacted
from rodagila.core.vectors import Int8Array
from rodagila.prove.checks import Evaluation, evaluate
from rodagila.prove.duplicates import SeenRecords
from rodagila.prove.proof import proofs_root, sign_proof, verify_proof
from rodagila.prove.quality import quality_ppm
from rodagila.vault.contents import OpenedContribution
from rodagila.vault.keeper import NodeKeeper

ADA = Account.from_key("0x" + "11" * 32)
EVE = Account.from_key("0x" + "33" * 32)
NODE = Account.from_key("0x" + "22" * 32)
DOMAIN = Domain(1337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
POLICY = Policy(name="bank")
TEXTS = ["where is my card", "how do I lock my account", "what is the balance of my savings"]
RECORDS = [Record(text, label="bank") for text in TEXTS]


def vectors_for(count: int) -> Int8Array:
    return np.eye(max(count, 8), dtype=np.int8)[:count] * np.int8(100)


def opened_from(records: list[Record], policy: Policy = POLICY) -> tuple[SealedContribution, OpenedContribution]:
    keeper = NodeKeeper(NODE)
    sealed = prepare_contribution(
        records,
        owner=ADA,
        domain=DOMAIN,
        policy=policy,
        keeper_recipient=keeper.recipient,
        nonce=0,
        salt=bytes(32),
        consent_expiry=2_000_000_000,
    )
    return sealed, open_contribution(sealed.manifest, sealed.ciphertext, sealed.sealed_key, keeper, domain=DOMAIN)


def evaluated(records: list[Record], sealed_under: Policy = POLICY, **changes: Any) -> Evaluation:
    sealed, opened = opened_from(records, sealed_under)
    given: dict[str, Any] = {
        "opened": opened,
        "manifest": sealed.manifest,
        "signature": sealed.signature,
        "domain": DOMAIN,
        "policy": sealed_under,
        "vectors": vectors_for(len(records)),
        "seen": SeenRecords(),
        "first_place": 0,
    }
    return evaluate(**given | changes)


def passed(evaluation: Evaluation) -> dict[str, bool]:
    return {check.name: check.passed for check in evaluation.checks}


def test_an_honest_contribution_passes_every_check() -> None:
    evaluation = evaluated(RECORDS)
    assert passed(evaluation) == dict.fromkeys(["authentic", "owned", "well_formed", "good", "clean", "unique"], True)
    assert evaluation.accepted == 3
    assert evaluation.score_ppm == 1_000_000


def test_the_json_form_comes_back_equal_with_the_same_hash() -> None:
    evaluation = evaluated([*RECORDS, RECORDS[0]])
    again = Evaluation.from_json(json.loads(json.dumps(evaluation.as_json())))
    assert again == evaluation
    assert again.checks_hash() == evaluation.checks_hash() != evaluated(RECORDS).checks_hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": bytes(65)},
        {"domain": Domain(1, DOMAIN.registry)},
        {"policy": Policy(name="bank", version=2)},
    ],
)
def test_what_is_not_authentic_is_refused_whole(changes: dict[str, Any]) -> None:
    evaluation = evaluated(RECORDS, **changes)
    assert not passed(evaluation)["authentic"]
    assert {status.reason for status in evaluation.statuses} == {"not_authentic"}
    assert (evaluation.accepted, evaluation.score_ppm) == (0, 0)


def test_another_signer_is_not_authentic() -> None:
    sealed, _ = opened_from(RECORDS)
    assert not passed(evaluated(RECORDS, signature=sign(EVE, DOMAIN, sealed.manifest)))["authentic"]


@pytest.mark.parametrize(
    "changes", [{"owner": EVE.address}, {"salt": b"\x01" * 32}, {"records": tuple(reversed(RECORDS))}]
)
def test_what_does_not_recompute_is_not_owned(changes: dict[str, Any]) -> None:
    _, opened = opened_from(RECORDS)
    seen = SeenRecords()
    evaluation = evaluated(RECORDS, opened=replace(opened, **changes), seen=seen)
    assert not passed(evaluation)["owned"]
    assert {status.reason for status in evaluation.statuses} == {"not_owned"}
    assert len(seen) == 0


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record("short", label="x"), "too_short"),
        (Record("   short        ", label="x"), "too_short"),
        (Record("where is my \x07 card", label="x"), "control_characters"),
        (Record("where is my card", label="a\x00b"), "control_characters"),
        (Record("where is my card"), "no_target"),
        (Record("where is my card", label=" "), "no_target"),
        (Record("where is my card", answer="only an answer"), "no_target"),
        (Record("aaaaaaaaaaaaaaaaaaaaaa", label="x"), "low_quality"),
        (Record("buy buy buy buy buy buy buy buy buy buy buy buy buy", label="x"), "low_quality"),
        (Record("12 34 56 78 9 10 11 12 1", label="x"), "low_quality"),
    ],
)
def test_a_bad_record_is_refused_for_its_reason_and_the_rest_is_taken(record: Record, reason: str) -> None:
    evaluation = evaluated([RECORDS[1], record, RECORDS[2]])
    assert [status.reason for status in evaluation.statuses] == ["", reason, ""]
    assert evaluation.accepted == 2
    assert evaluation.score_ppm == 666_666
    assert passed(evaluation)["good"] == (reason != "low_quality")
    assert passed(evaluation)["well_formed"] == (reason == "low_quality")


def test_personal_data_that_redaction_would_find_is_refused_and_toxic_words_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a client of one's own that does not redact
    monkeypatch.setattr("rodagila.collect.preview.redact", lambda text, names=None: Redacted(text, {}))
    left, rude = Record("write to ada@example.org now", label="x"), Record("what a bastard of a bank", label="x")
    evaluation = evaluated([RECORDS[1], left, rude])
    assert [status.reason for status in evaluation.statuses] == ["", "personal_data", ""]
    clean = next(check for check in evaluation.checks if check.name == "clean")
    assert (clean.passed, clean.detail) == (False, "1 of 3 without findings: 1 personal, 1 toxic")
    assert passed(evaluation)["well_formed"] and passed(evaluation)["good"]
    strict = replace(POLICY, checks=replace(POLICY.checks, refuse="all"))
    assert [status.reason for status in evaluated([rude], strict).statuses] == ["toxic_words"]


def test_an_answer_is_target_enough_for_retrieval() -> None:
    policy = Policy(name="docs", model=ModelRules(task="retrieve"))
    assert evaluated([Record("where is my card", answer="here")], policy).accepted == 1


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        (RecordRules(max_bytes=55), ["", "", "too_large"]),
        (RecordRules(max_records=2), ["too_many_records"] * 3),
    ],
)
def test_too_large_and_too_many_are_refused_even_if_an_owner_signs_them(rules: RecordRules, reasons: list[str]) -> None:
    strict = Policy(name="bank", records=rules)
    sealed, opened = opened_from(RECORDS)
    contribution = replace(sealed.contribution, policy_hash=strict.policy_hash())
    manifest = replace(sealed.manifest, contribution=contribution)
    evaluation = evaluated(
        RECORDS,
        opened=replace(opened, contribution_id=digest(DOMAIN, contribution)),
        manifest=manifest,
        signature=sign(ADA, DOMAIN, manifest),
        policy=strict,
    )
    assert [status.reason for status in evaluation.statuses] == reasons


def test_a_copy_in_the_same_contribution_counts_once() -> None:
    evaluation = evaluated([RECORDS[0], RECORDS[1], RECORDS[0]], first_place=10)
    assert [(status.status, status.duplicate_of) for status in evaluation.statuses] == [
        ("accepted", None),
        ("accepted", None),
        ("duplicate", 10),
    ]
    assert not passed(evaluation)["unique"]
    assert evaluation.score_ppm == 666_666


def test_the_first_place_wins_over_turns_and_accounts() -> None:
    seen = SeenRecords()
    evaluated(RECORDS, seen=seen)
    copy = [replace(record, label="stolen") for record in RECORDS]
    evaluation = evaluated(copy, seen=seen, first_place=3)
    assert [status.duplicate_of for status in evaluation.statuses] == [0, 1, 2]
    assert len(seen) == 3


def test_evaluating_again_gives_the_same_evaluation() -> None:
    seen = SeenRecords()
    records = [*RECORDS, RECORDS[0]]
    first = evaluated(records, seen=seen, first_place=4)
    evaluated([Record("a later contribution of someone", label="bank")], seen=seen, first_place=8)
    assert evaluated(records, seen=seen, first_place=4) == first


def test_near_by_embedding_is_reported_and_not_punished() -> None:
    seen = SeenRecords()
    seen.add(-1, Record("the reference corpus says so"), vectors_for(1)[0])
    evaluation = evaluated(RECORDS, seen=seen)
    assert [status.nearest_ppm for status in evaluation.statuses] == [1_000_000, 0, 0]
    assert evaluation.accepted == 3
    assert "1 near" in evaluation.checks[-1].detail
    same = evaluated(RECORDS, vectors=np.ones((3, 8), np.int8))
    assert [status.nearest_ppm for status in same.statuses] == [0, 1_000_000, 1_000_000]


def test_vectors_must_be_one_for_each_record() -> None:
    with pytest.raises(InvalidInput):
        evaluated(RECORDS, vectors=vectors_for(2))


def test_junk_is_told_from_real_text(shared_data: Path) -> None:
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    queries = [text for text, _ in data["train"] if len(text) >= POLICY.records.min_chars]
    low = POLICY.checks.min_quality_ppm
    assert sum(quality_ppm(text) < low for text in queries) <= len(queries) // 500
    assert sum(quality_ppm(record.text) < low for record in junk(500, 1)) >= 490


def test_documentation_passes_and_is_unique() -> None:
    corpus = docstring_corpus(owners=2, records_per_owner=40, queries=4, reference=4)
    records = [record for owned in corpus.owners.values() for record in owned]
    evaluation = evaluated(records, Policy(name="docs", model=ModelRules(task="retrieve")))
    assert evaluation.accepted >= 78


@pytest.mark.parametrize(
    "text",
    ["wie kann ich meine Karte sperren lassen", "bagaimana cara mengatur ulang kata sandi", "我怎样重置我的银行卡密码"],
)
def test_other_languages_pass_the_quality_check(text: str) -> None:
    assert quality_ppm(text) > POLICY.checks.min_quality_ppm


@pytest.fixture(scope="module")
def proof_parts() -> dict[str, Any]:
    sealed, _ = opened_from(RECORDS)
    evaluation = evaluated(RECORDS)
    about = {"contribution_id": sealed.contribution_id, "owner": ADA.address, "policy_hash": POLICY.policy_hash()}
    proof, signature = sign_proof(NODE, DOMAIN, evaluation, **about)
    return {"proof": proof, "signature": signature, "domain": DOMAIN, "evaluator": NODE.address, **about}


def test_a_proof_verifies_with_and_without_its_evaluation(proof_parts: dict[str, Any]) -> None:
    verify_proof(**proof_parts)
    verify_proof(**proof_parts, evaluation=evaluated(RECORDS))
    with pytest.raises(NotAuthorised):
        verify_proof(**proof_parts, evaluation=evaluated(RECORDS[:2]))


@pytest.mark.parametrize(
    ("lifted_to", "message_field"),
    [
        ({"owner": EVE.address}, {"owner": EVE.address}),
        ({"contribution_id": b"\x01" * 32}, {"contribution_id": b"\x01" * 32}),
        ({"policy_hash": b"\x02" * 32}, {"policy_hash": b"\x02" * 32}),
        ({"domain": Domain(1, DOMAIN.registry)}, {}),
        ({"domain": Domain(1337, EVE.address)}, {}),
        ({"evaluator": EVE.address}, {}),
        ({"signature": bytes(65)}, {}),
    ],
)
def test_a_proof_cannot_be_lifted(
    proof_parts: dict[str, Any], lifted_to: dict[str, Any], message_field: dict[str, Any]
) -> None:
    forged = replace(proof_parts["proof"], **message_field)
    for proof in (proof_parts["proof"], forged):
        with pytest.raises(NotAuthorised) as caught:
            verify_proof(**proof_parts | lifted_to | {"proof": proof})
        assert caught.value.code == "proof_invalid"


@pytest.mark.parametrize("changes", [{"score": 1}, {"accepted": 9}, {"checks_hash": bytes(32)}])
def test_a_changed_result_breaks_the_signature(proof_parts: dict[str, Any], changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthorised):
        verify_proof(**proof_parts | {"proof": replace(proof_parts["proof"], **changes)})


def test_the_proofs_root_fixes_their_order(proof_parts: dict[str, Any]) -> None:
    one, other = digest(DOMAIN, proof_parts["proof"]), bytes(32)
    assert proofs_root([one, other]) != proofs_root([other, one])
