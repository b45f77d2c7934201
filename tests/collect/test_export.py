"""Exports give the contributor's own words, say what was left out, and never fall over."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.collect.export import Export, read_export, require_own
from rodagila.core.errors import RodaError
from rodagila.core.policy import RecordRules
from rodagila.core.records import Record

RULES = RecordRules()


def node(name: str, parent: str | None, children: list[str], role: str = "", text: str = "", at: int = 0) -> Any:
    message = {"author": {"role": role}, "create_time": at, "content": {"content_type": "text", "parts": [text]}}
    return {"id": name, "parent": parent, "children": children, "message": message if role else None}


def chatgpt() -> list[Any]:
    """One conversation with a branch that was given up, one tool's message and one question without an answer."""
    nodes = [
        node("root", None, ["system"]),
        node("system", "root", ["q1"], "system", "be kind"),
        node("q1", "system", ["old", "a1"], "user", "how do I reset my card", 10),
        node("old", "q1", [], "assistant", "a first try", 11),
        node("a1", "q1", ["t1"], "assistant", "Open the app.", 12),
        node("t1", "a1", ["a2"], "tool", "tool's words", 12),
        node("a2", "t1", ["q2"], "assistant", "Then press reset.", 13),
        node("q2", "a2", [], "user", "thank you", 14),
    ]
    return [{"title": "Card", "create_time": 1, "mapping": {n["id"]: n for n in nodes}, "current_node": "q2"}]


def claude() -> list[Any]:
    said = [("human", "what is age"), ("assistant", "A tool that seals files."), ("human", "and shamir"), ("human", "")]
    body = [
        {
            "sender": sender,
            "text": "",
            "content": [{"type": "text", "text": text}],
            "created_at": f"2024-01-0{n}T00:00:00Z",
        }
        for n, (sender, text) in enumerate(said, 1)
    ]
    return [{"uuid": "u", "name": "Age", "chat_messages": body}]


def saved(folder: Path, files: dict[str, Any], name: str = "export.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for inner, content in files.items():
            made.writestr(inner, content if isinstance(content, str | bytes) else json.dumps(content))
    return path


def records(export: Export) -> list[Record]:
    return [row.record for row in export.rows]


def refusal(path: Path, rules: RecordRules = RULES) -> RodaError:
    with pytest.raises(RodaError) as caught:
        read_export(path, rules)
    return caught.value


def test_a_chatgpt_export_gives_questions_with_their_answers(tmp_path: Path) -> None:
    export = read_export(saved(tmp_path, {"conversations.json": chatgpt(), "user.json": {"email": "x"}}), RULES)
    assert records(export) == [
        Record("how do I reset my card", answer="Open the app.\nThen press reset."),
        Record("thank you"),
    ]
    assert (export.source, export.files, export.ignored) == ("chatgpt", 1, 1)
    assert export.levels == {"consistent": 2}


def test_the_same_export_unpacked_or_as_one_file_gives_the_same(tmp_path: Path) -> None:
    whole = read_export(saved(tmp_path, {"conversations.json": chatgpt()}), RULES)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "conversations.json").write_text(json.dumps(chatgpt()))
    for path in (tmp_path / "folder", tmp_path / "folder" / "conversations.json"):
        assert read_export(path, RULES) == whole


def test_a_conversation_whose_links_or_times_disagree_is_only_asserted(tmp_path: Path) -> None:
    back, cut = chatgpt(), chatgpt()
    back[0]["mapping"]["q2"]["message"]["create_time"] = 5
    cut[0]["mapping"]["a1"]["children"] = []
    for conversations in (back, cut):
        export = read_export(saved(tmp_path, {"conversations.json": conversations}), RULES)
        assert export.levels == {"asserted": 2}


def test_a_circle_of_nodes_ends(tmp_path: Path) -> None:
    conversations = chatgpt()
    conversations[0]["mapping"]["root"]["parent"] = "q2"
    export = read_export(saved(tmp_path, {"conversations.json": conversations}), RULES)
    assert (len(export.rows), export.levels) == (2, {"asserted": 2})


def test_a_claude_export_gives_questions_with_their_answers(tmp_path: Path) -> None:
    export = read_export(saved(tmp_path, {"conversations.json": claude(), "users.json": []}), RULES)
    assert records(export) == [Record("what is age", answer="A tool that seals files."), Record("and shamir")]
    assert export.source == "claude"


def test_an_export_of_more_than_one_contribution_is_continued_where_the_last_one_ended(tmp_path: Path) -> None:
    path = saved(tmp_path, {"conversations.json": chatgpt() * 5})
    rules = RecordRules(max_records=4)
    start: int | None = 0
    taken: list[Record] = []
    sizes = []
    while start is not None:
        export = read_export(path, rules, start=start)
        assert export.total == 10
        sizes.append(len(export.rows))
        taken += records(export)
        start = export.next
    assert sizes == [4, 4, 2]
    assert taken == records(read_export(path, RULES))


def test_a_record_over_the_limit_is_left_out_and_said(tmp_path: Path) -> None:
    export = read_export(saved(tmp_path, {"conversations.json": chatgpt()}), RecordRules(max_bytes=60))
    assert records(export) == [Record("thank you")]
    assert export.left_out == {"record_too_large": 1}
    assert export.problems[0].code == "record_too_large"
    assert refusal(tmp_path / "export.zip", RecordRules(max_bytes=60, on_malformed="refuse")).code == "record_too_large"


def test_an_archive_with_no_known_file_is_refused(tmp_path: Path) -> None:
    assert refusal(saved(tmp_path, {"photo.jpg": b"\xff\xd8"})).code == "file_unreadable"
    assert refusal(saved(tmp_path, {"conversations.json": '[{"mapping": {}}'})).code == "json_malformed"
    assert refusal(saved(tmp_path, {"records.jsonl": b""})).code == "file_empty"


def test_parquet_gives_the_rows_of_the_other_tables(tmp_path: Path) -> None:
    body = [{"text": "where is my card", "label": "7", "answer": ""}, {"text": "plain", "label": "", "answer": "é"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(body), tmp_path / "a.parquet", row_group_size=1)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in body))
    tables = [records(read_export(tmp_path / name, RULES)) for name in ("a.parquet", "a.jsonl")]
    assert tables[0] == tables[1] == [Record("where is my card", label="7"), Record("plain", answer="é")]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "ssn": ["b"]}), tmp_path / "b.parquet")
    assert refusal(tmp_path / "b.parquet").code == "unknown_columns"
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(content[:60] + b"\xff" * 60 + content[120:])
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    assert refusal(tmp_path / "d.parquet").code == "file_unreadable"


def test_a_folder_of_texts_is_cut_at_headings_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# One\n\nfirst é\n\n## Two\nsecond\n")
    (tmp_path / "notes" / "b.txt").write_text("# no heading here\n" + "word " * 300 + "\n\nnext part\n")
    texts = [record.text for record in records(read_export(tmp_path / "notes", RULES))]
    assert texts[:2] == ["# One\n\nfirst é", "## Two\nsecond"]
    assert texts[2].startswith("# no heading here")
    assert texts[3:] == ["next part"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


def check_fuzzed(path: Path) -> None:
    """Read a damaged export: a reading or one clear error, and nothing that cannot be sealed."""
    try:
        export = read_export(path, RecordRules(max_bytes=500), me=["John Doe"])
    except RodaError as error:
        assert error.message
    else:
        for record in records(export):
            assert record.text.strip()
            json.dumps(record.as_json()).encode()
            record.text.encode()


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_assistants_with_any_field_replaced_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    value = data.draw(st.sampled_from([chatgpt, claude]))()
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(value)))
        container[key] = data.draw(JSON)
    check_fuzzed(saved(tmp_path_factory.getbasetemp(), {"conversations.json": value}, "fuzzed-assistants.zip"))


def test_an_export_in_which_nobody_is_the_contributor_asks_who_she_is(tmp_path: Path) -> None:
    export = read_export(saved(tmp_path, {"conversations.json": chatgpt()}), RULES)
    require_own(export)
