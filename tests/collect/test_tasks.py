"""What an account is shown and may answer: every kind, canonical forms, what a commitment hides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.collect.batches import MAX_LINE_BYTES, Item, Terms, read_items
from rodagila.collect.tasks import (
    MAX_ANSWER_CHARS,
    Content,
    answer_hash,
    commitment,
    swapped,
    unswapped,
)
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import keccak, keccak_abi
from rodagila.core.messages import Domain

TEXT = "Ada Lovelace wrote the first program."
SALT = bytes(32)
PAIR = Content("compare", "Which is better?", "Say hello", SALT, outputs=("Hello!", "Go away."))


def content(kind: str) -> Content:
    """Return the content of a kind."""
    extra = {"classify": {"choices": ("yes", "no way")}, "verify": {"label": "yes"}}.get(kind, {})
    return PAIR if kind == "compare" else Content(kind, "Do it.", TEXT, SALT, **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "said", "canonical"),
    [
        ("classify", " no   way ", "no way"),
        ("span", "0:12", "0:12"),
        ("span", "3:13", "4:12"),
        ("span", "00:012", "0:12"),
        ("free", " A\u0301 b\n c ", "\u00c1 b c"),
        ("compare", "tie", "tie"),
        ("verify", "wrong", "wrong"),
    ],
)
def test_answers_have_one_form(kind: str, said: str, canonical: str) -> None:
    assert content(kind).answer(said) == canonical


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("classify", "maybe"), ("classify", ""), ("span", "12"), ("span", "5:5"), ("span", "0:99"), ("span", "a:b"),
        ("span", "3:4"), ("span", "-1:3"), ("span", "9" * 40 + ":" + "9" * 40), ("free", " \n "), ("free", "x" * 4_097),
        ("compare", "left"), ("verify", "yes"),
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_refused_with_one_sentence(kind: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        content(kind).answer(said)
    assert refused.value.code == "answer_invalid"
    assert refused.value.message.endswith(".")
    assert len(refused.value.message) < 400


def test_a_span_s_words_are_the_text_between_its_ends() -> None:
    span = content("span")
    assert span.words(span.answer("3:13")) == "Lovelace"
    assert content("free").words("word") == "word"


@given(st.binary(min_size=32, max_size=32))
def test_outputs_are_swapped_by_the_lease_and_answers_swapped_back(lease: bytes) -> None:
    shown = PAIR.shown(lease)
    assert shown.outputs == (PAIR.outputs[::-1] if swapped(lease) else PAIR.outputs)
    assert shown.shown(lease) == PAIR
    better = "first" if shown.outputs[0] == "Hello!" else "second"
    assert unswapped(better, lease) == "first"
    assert unswapped("tie", lease) == "tie"


@pytest.mark.parametrize("kind", ["classify", "span", "free", "compare", "verify"])
def test_a_content_survives_json_and_its_salt_changes_its_hash(kind: str) -> None:
    one = content(kind)
    assert Content.from_json(json.loads(json.dumps(one.as_json()))) == one
    other = Content(one.kind, one.instruction, one.text, keccak(b"salt"), one.choices, one.label, one.outputs)
    assert other.task_hash() != one.task_hash()
    assert other.record_hash() == one.record_hash()


def test_a_commitment_names_chain_registry_account_batch_task_answer_and_salt() -> None:
    domain, account = Domain(7, "0x" + "11" * 20), "0x" + "22" * 20
    parts = [keccak(name) for name in (b"batch", b"task", b"answer", b"salt")]
    kinds = ["uint256", "address", "address", "bytes32", "bytes32", "bytes32", "bytes32"]
    assert commitment(domain, account, *parts) == keccak_abi(kinds, [7, domain.registry, account, *parts])


def test_free_words_are_equal_whatever_their_case_and_others_are_not() -> None:
    assert answer_hash("free", "Straße") == answer_hash("free", "STRASSE")
    assert answer_hash("classify", "A") != answer_hash("classify", "a")


def test_terms_survive_json_and_nothing_else_is_read() -> None:
    people = ("0x" + "33" * 20,)
    terms = Terms(1, "0x" + "11" * 20, "0x" + "22" * 20, people[0], "free", "Say it.", (), 1, 2, 9, people)
    assert Terms.from_json(json.loads(json.dumps(terms.as_json()))) == terms
    for change in ({"format": "x"}, {"price": "a"}, {"extra": 1}, {"kind": "none"}):
        with pytest.raises(InvalidInput) as refused:
            Terms.from_json(terms.as_json() | change)
        assert refused.value.code == "tasks_invalid"


def write(path: Path, *lines: object) -> Path:
    """Write JSON lines; text as it is."""
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_tasks_and_golds_are_read_from_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", {"text": "a", "information": 5}, "", {"text": "b", "outputs": ["x", "y"]})
    assert read_items(file, golds=False) == [Item("a", information=5), Item("b", outputs=("x", "y"))]
    golds = write(tmp_path / "g.jsonl", {"text": "a", "truth": "yes"})
    assert read_items(golds, golds=True) == [Item("a", truth="yes")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "json_malformed"),
        ("[" * 60_000, "json_malformed"),
        ("x" * (MAX_LINE_BYTES + 1), "tasks_invalid"),
        ("[]", "tasks_invalid"),
        ('{"label": "a"}', "tasks_invalid"),
        ('{"text": 3}', "tasks_invalid"),
        ('{"text": "a", "information": 1000001}', "tasks_invalid"),
        ('{"text": "a", "information": "1"}', "tasks_invalid"),
        ('{"text": "a", "outputs": "xy"}', "tasks_invalid"),
        ('{"text": "a", "owner": "x"}', "tasks_invalid"),
        ('{"text": "a", "truth": "yes"}', "tasks_invalid"),
        ("", "file_empty"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_items(write(tmp_path / "bad.jsonl", line), golds=False)
    assert refused.value.code == code


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_items(tmp_path / "none.jsonl", golds=False)
    with pytest.raises(InvalidInput):
        read_items(write(tmp_path / "g.jsonl", {"text": "no truth"}), golds=True)
    assert MAX_ANSWER_CHARS == 4_096
