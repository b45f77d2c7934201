"""Policy files: every problem is named by line, field and fix; writing and reading give an equal policy back."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.money import PPM
from rodagila.core.policy import SECTIONS, Policy
from rodagila.govern.conflicts import changes_of_what_is_fixed, conflicts_in
from rodagila.govern.document import MAX_BYTES
from rodagila.govern.fields import FIELDS, SECTION_MEANINGS, Field
from rodagila.govern.policy import MAX_PROBLEMS, check_policy, dump_policy, load_policy
from rodagila.govern.values import read_value, write_value

EXAMPLES = Path(__file__).parents[2] / "examples"


def problems_of(source: str | Path) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInput) as caught:
        load_policy(source)
    assert caught.value.code == "policy_invalid"
    problems: list[dict[str, Any]] = caught.value.details["problems"]
    assert all(set(problem) == {"line", "field", "problem", "fix"} and problem["fix"] for problem in problems)
    return problems


def values_of(field: Field) -> st.SearchStrategy[Any]:
    if field.kind == "flag":
        return st.booleans()
    if field.kind == "choice":
        return st.sampled_from(field.choices)
    if field.kind == "text":
        letters = st.characters(exclude_categories=["Cs"]).filter(str.isprintable)
        return st.text(letters, min_size=field.low, max_size=field.high).filter(lambda text: bool(text.strip()))
    return st.integers(field.low, field.high)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    body: dict[str, Any] = {section: {} for section in SECTIONS}
    for field in FIELDS:
        (body[field.section] if field.section else body)[field.attribute] = draw(values_of(field))
    # Put pairs that would contradict each other in order: throwing such policies away would leave too few.
    records, value, bond = body["records"], body["value"], body["bond"]
    records["min_chars"] = min(records["min_chars"], records["max_bytes"])
    value["coverage_k"] = min(value["coverage_k"], value["top"])
    bond["newcomer_multiplier"] = min(bond["newcomer_multiplier"], bond["multiplier"])
    body["pool"]["treasury_cut_ppm"] = min(body["pool"]["treasury_cut_ppm"], PPM - 1)
    body["prices"]["chat"] = max(body["prices"]["chat"], 1)
    token = body["token"]
    token["cap"] = max(2, token["cap"])
    token["founders"] = max(min(token["founders"], token["cap"] - 1), (token["cap"] + 19) // 20)
    return Policy.from_json(body)


@given(policies().filter(lambda policy: not list(conflicts_in(policy))))
def test_a_written_policy_reads_back_equal_and_hashes_the_same(policy: Policy) -> None:
    again = load_policy(dump_policy(policy))
    assert again == policy
    assert again.policy_hash() == policy.policy_hash()
    check_policy(policy)


@given(st.text(max_size=300))
def test_any_text_is_either_a_policy_or_a_list_of_problems(text: str) -> None:
    try:
        load_policy(text)
    except InvalidInput as error:
        assert error.code == "policy_invalid"
        assert error.details["problems"]


@given(st.sampled_from([field for field in FIELDS if field.kind == "share"]), st.data())
def test_a_share_reads_the_same_as_decimal_and_as_percent(field: Field, data: st.DataObject) -> None:
    ppm = data.draw(st.integers(field.low, field.high))
    percent = f"{ppm // 10_000}.{ppm % 10_000:04d}%"
    assert read_value(field, percent, quoted=True) == ppm
    assert read_value(field, write_value(field, ppm), quoted=False) == ppm


def test_the_table_of_fields_names_each_attribute_of_the_policy_once() -> None:
    attributes = []
    for item in dataclasses.fields(Policy):
        if item.name in SECTIONS:
            attributes += [(item.name, inner.name) for inner in dataclasses.fields(SECTIONS[item.name])]
        else:
            attributes.append(("", item.name))
    assert sorted((field.section, field.attribute) for field in FIELDS) == sorted(attributes)
    assert set(SECTION_MEANINGS) == set(SECTIONS)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_every_field_is_documented_in_a_sentence(field: Field) -> None:
    assert len(field.meaning.split()) >= 4
    assert field.meaning.endswith(".")
    assert (field.kind == "choice") == bool(field.choices)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid_policies(path: Path) -> None:
    assert load_policy(path).name == path.stem


def test_a_file_with_the_name_alone_is_the_default_policy() -> None:
    assert load_policy("name: docs\n") == Policy(name="docs")
    assert load_policy("name: docs\npool:\n") == Policy(name="docs")


def test_values_are_read_in_their_own_units() -> None:
    policy = load_policy(
        "name: docs\npool: {treasury_cut: 12.5%, seed_pool: 1000000}\nprices: {chat: 0.002}\n"
        "challenge: {window: 12h}\nfeedback: {learn: false}\nrecords: {max_records: 20_000}\n"
    )
    assert policy.pool.treasury_cut_ppm == 125_000
    assert policy.pool.seed_pool == 1_000_000_000_000
    assert policy.prices.chat == 2_000
    assert policy.challenge.window_seconds == 43_200
    assert policy.feedback.learn is False
    assert policy.records.max_records == 20_000


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    problems = problems_of(
        "nam: x\n"
        "pool:\n"
        "  treasury_cutt: 0.2\n"
        "  target_lift: 1.5\n"
        "prices:\n"
        "  chat: 1e-3\n"
        "model: {task: classfy}\n"
        "treasury_cut: 1\n"
    )
    assert [(problem["line"], problem["field"]) for problem in problems] == [
        (1, "nam"),
        (1, "name"),
        (3, "pool.treasury_cutt"),
        (4, "pool.target_lift"),
        (6, "prices.chat"),
        (7, "model.task"),
        (8, "treasury_cut"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "field", "fix"),
    [
        ("", 1, "name", 'name: "my-dao"'),
        ("nam: x\nname: docs", 1, "nam", "Did you mean name?"),
        ("name: docs\npool:\n  treasury_cutt: 1", 3, "pool.treasury_cutt", "Did you mean treasury_cut?"),
        ("name: docs\ntreasury_cut: 0.2", 2, "treasury_cut", "pool.treasury_cut"),
        ("name: 123", 1, "name", '"123"'),
        ('name: "  "', 1, "name", "printable"),
        ('name: "a\\nb"', 1, "name", "printable"),
        (f"name: {'x' * 65}", 1, "name", "printable"),
        ("name: [docs]", 1, "name", "Write it like"),
        ("name:", 1, "name", "Write it like"),
        ("name: docs\npool: 5", 2, "pool", "indented"),
        ("name: docs\npool: {treasury_cut: 1.2}", 2, "pool.treasury_cut", "from 0 to 1"),
        ("name: docs\npool: {treasury_cut: 101%}", 2, "pool.treasury_cut", "from 0 to 1"),
        ("name: docs\npool: {treasury_cut: 0.1234567}", 2, "pool.treasury_cut", "20%"),
        ("name: docs\npool: {treasury_cut: .nan}", 2, "pool.treasury_cut", "20%"),
        ("name: docs\npool: {treasury_cut: -0.1}", 2, "pool.treasury_cut", "20%"),
        ("name: docs\npool: {treasury_cut: 0.00001%}", 2, "pool.treasury_cut", "20%"),
        ("name: docs\npool: {treasury_cut: ٣}", 2, "pool.treasury_cut", "20%"),
        ("name: docs\npool: {target_lift: 0}", 2, "pool.target_lift", "from 0.000001 to 1"),
        ("name: docs\nprices: {chat: -1}", 2, "prices.chat", '"0.002"'),
        ("name: docs\nprices: {chat: 1001}", 2, "prices.chat", "from 0 to 1000"),
        ("name: docs\nrecords: {max_bytes: 1.5}", 2, "records.max_bytes", "without quotes"),
        ('name: docs\nrecords: {max_bytes: "512"}', 2, "records.max_bytes", "without quotes"),
        ("name: docs\nrecords: {max_bytes: 63}", 2, "records.max_bytes", "from 64"),
        ("name: docs\nchallenge: {window: soon}", 2, "challenge.window", "30s"),
        ("name: docs\nchallenge: {window: 31d}", 2, "challenge.window", "from 1s to 30d"),
        ("name: docs\nchallenge: {window: 0}", 2, "challenge.window", "from 1s to 30d"),
        ("name: docs\nmodel: {task: classfy}", 2, "model.task", "classify or retrieve"),
        ("name: docs\nfeedback: {learn: yes}", 2, "feedback.learn", "true or false"),
        ("name: docs\nname: more", 2, "name", "one of the two"),
        ("name: docs\npool:\n  treasury_cut: 0\n  treasury_cut: 1", 4, "pool.treasury_cut", "one of the two"),
        ("name: &a docs", 1, "", "where it is used"),
        ("name: docs\nb: *a", 2, "", "where it is used"),
        ("name: !!python/object/apply:os.system [ls]", 1, "", "exclamation"),
        ("name: a\n---\nname: b", 2, "", "one policy in one file"),
        ("- name", 1, "", "name: …"),
        ("name: docs\n? [a]\n: b", 2, "", "field: value"),
        ("name: docs\npool: {a: {b: {c: 1}}}", 2, "", "sections"),
        ("name: docs\n  pool: 1", 2, "", "indented"),
        ("name: docs\nb: \x00", 2, "", "Remove it"),
    ],
)
def test_each_problem_names_its_line_field_and_fix(text: str, line: int, field: str, fix: str) -> None:
    problem = problems_of(text)[0]
    assert (problem["line"], problem["field"]) == (line, field)
    assert fix in problem["fix"]


@pytest.mark.parametrize(
    ("body", "line", "field"),
    [
        ("pool:\n  treasury_cut: 1", 3, "pool.treasury_cut"),
        ("prices: {chat: 0, search: 0, classify: 0, embeddings: 0}", 2, "prices.chat"),
        ("records:\n  max_bytes: 64\n  min_chars: 65", 4, "records.min_chars"),
        ("value:\n  top: 4", 3, "value.top"),
        ("bond:\n  newcomer_multiplier: 4", 3, "bond.newcomer_multiplier"),
        ("token:\n  founders: 100_000_001", 3, "token.founders"),
        ("token:\n  cap: 20_000_000", 3, "token.cap"),
        ("token:\n  founders: 99_999", 3, "token.founders"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(body: str, line: int, field: str) -> None:
    (problem,) = problems_of(f"name: docs\n{body}\n")
    assert (problem["line"], problem["field"]) == (line, field)


def test_a_treasury_that_keeps_all_fees_is_allowed_when_it_seeds_the_pool() -> None:
    assert load_policy("name: docs\npool: {treasury_cut: 1, seed_pool: 5}").pool.treasury_cut_ppm == 1_000_000


def test_founders_may_hold_every_token_if_turns_issue_none() -> None:
    assert load_policy("name: docs\ntoken: {cap: 5, founders: 5, per_turn: 0}").token.founders == 5


def test_a_new_version_may_change_rules_but_not_what_contracts_hold_for_ever() -> None:
    old = load_policy("name: docs\n")
    new = load_policy("name: docs\nversion: 2\nprices: {chat: 0.003}\n")
    assert list(changes_of_what_is_fixed(old, new)) == []
    for text, field in (
        ("name: docs\n", "version"),
        ("name: docs\nversion: 3\n", "version"),
        ("name: other\nversion: 2\n", "name"),
        ("name: docs\nversion: 2\nchallenge: {window: 2d}\n", "challenge"),
        ("name: docs\nversion: 2\ntoken: {per_turn: 1_000_001}\n", "token"),
        ("name: docs\nversion: 2\ngovernance: {quorum_percent: 5}\n", "governance"),
    ):
        (conflict,) = changes_of_what_is_fixed(old, load_policy(text))
        assert conflict.fields == (field,) and conflict.fix


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 50_000,
        "name: docs\n" + "k: 1\n" * 40_000,
        "name: docs\n" + "k: 1\n" * 900,
        "name: docs\n" + "# nothing\n" * 20_000 + "k: 1",
        "name: docs\n" + "".join(f"k{i}: 1\n" for i in range(20_000)),
        "a: &a [x, x]\n" + "".join(f"b{i}: [*a, *a]\n" for i in range(10_000)),
        "name: " + "x" * 200_000,
        "x" * (MAX_BYTES + 1),
        "é" * MAX_BYTES,
    ],
    ids=[
        "brackets",
        "braces",
        "same key",
        "fewer of the same key",
        "comments",
        "many keys",
        "aliases",
        "long name",
        "large",
        "large in bytes",
    ],
)
def test_hostile_files_are_refused_quickly(text: str) -> None:
    start = time.process_time()
    assert 0 < len(problems_of(text)) <= MAX_PROBLEMS
    assert time.process_time() - start < 2


def test_a_file_is_never_read_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    assert "256 KiB" in problems_of(path)[0]["problem"]


def test_the_message_names_the_file_the_line_and_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: docs\nprices:\n  chatt: 1\n")
    with pytest.raises(InvalidInput) as caught:
        load_policy(path)
    assert str(caught.value) == (
        f"{path} has 1 problem; line 3: prices.chatt: 'chatt' is not a field in prices. Did you mean chat?"
    )


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        load_policy(tmp_path / "no.yaml")
    assert missing.value.code == "file_unknown"
    (tmp_path / "latin.yaml").write_bytes(b"name: docs\npurpose: caf\xe9\n")
    assert problems_of(tmp_path / "latin.yaml")[0]["line"] == 2
    with pytest.raises(InvalidInput) as folder:
        load_policy(tmp_path)
    assert folder.value.code == "file_unreadable"


def test_check_policy_refuses_what_a_file_could_not_hold() -> None:
    policy = Policy(name="docs")
    check_policy(policy)
    for broken in (
        dataclasses.replace(policy, name=""),
        dataclasses.replace(policy, model=dataclasses.replace(policy.model, task="guess")),
        dataclasses.replace(policy, pool=dataclasses.replace(policy.pool, treasury_cut_ppm=1_000_001)),
        dataclasses.replace(policy, pool=dataclasses.replace(policy.pool, treasury_cut_ppm=1_000_000)),
    ):
        with pytest.raises(InvalidInput) as caught:
            check_policy(broken)
        assert caught.value.code == "policy_invalid"
