"""Sources give every good record, name every bad line, and never fall over."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rodagila.collect.sources import read_records
from rodagila.core.errors import InvalidInput, NotFound, RodaError
from rodagila.core.policy import RecordRules
from rodagila.core.records import Record

SKIP = RecordRules(max_bytes=200)
REFUSE = RecordRules(max_bytes=200, on_malformed="refuse")
GOOD = '{"owner": "ada", "text": "where is my card", "label": "card"}'


def written(folder: Path, content: str | bytes, name: str = "export.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path, rules: RecordRules = SKIP) -> RodaError:
    with pytest.raises(RodaError) as caught:
        read_records(path, rules)
    return caught.value


def test_json_lines_give_rows_in_order_with_their_lines(tmp_path: Path) -> None:
    reading = read_records(written(tmp_path, f'{GOOD}\n\n{{"text": "second", "answer": "a"}}'), SKIP)
    assert [(row.owner, row.record, row.line) for row in reading.rows] == [
        ("ada", Record("where is my card", label="card"), 1),
        ("", Record("second", answer="a"), 3),
    ]
    assert reading.problems == ()


def test_the_three_formats_give_the_same_rows(tmp_path: Path) -> None:
    body = [{"owner": "ada", "text": 'commas, "quotes"\nand lines', "label": "7", "answer": "é"}, {"text": "plain"}]
    lines = written(tmp_path, "\n".join(json.dumps(item) for item in body))
    listed = written(tmp_path, json.dumps(body, indent=2), "export.json")
    table = tmp_path / "export.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["owner", "text", "label", "answer"], restval="")
        writer.writeheader()
        writer.writerows(body)
    rows = [[(row.owner, row.record) for row in read_records(path, SKIP).rows] for path in (lines, listed, table)]
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) == 2


def test_members_of_a_list_are_named_by_the_line_they_begin_on(tmp_path: Path) -> None:
    text = f'[\n {GOOD},\n 5,\n {{"text": "third",\n "label": "x"}}\n]'
    reading = read_records(written(tmp_path, text, "export.json"), SKIP)
    assert [row.line for row in reading.rows] == [2, 4]
    assert [(problem.line, problem.code) for problem in reading.problems] == [(3, "record_invalid")]


def test_a_malformed_line_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    reading = read_records(written(tmp_path, f'{GOOD}\n{{"text": \n{GOOD}\n'), SKIP)
    assert [row.line for row in reading.rows] == [1, 3]
    assert [(problem.line, problem.code) for problem in reading.problems] == [(2, "json_malformed")]
    assert "Line 2" in reading.problems[0].message


def test_under_refuse_a_malformed_line_takes_everything_back(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, f'{GOOD}\n{{"text": \n'), REFUSE)
    assert isinstance(error, InvalidInput)
    assert (error.code, error.details) == ("json_malformed", {"line": 2})


@pytest.mark.parametrize("length", [300, 50_000])
def test_a_record_over_the_limit_is_named(tmp_path: Path, length: int) -> None:
    path = written(tmp_path, f'{GOOD}\n{{"text": "{"x" * length}"}}\n{GOOD}\n')
    reading = read_records(path, SKIP)
    assert [row.line for row in reading.rows] == [1, 3]
    assert [(problem.line, problem.code) for problem in reading.problems] == [(2, "record_too_large")]
    assert refusal(path, REFUSE).code == "record_too_large"


def test_a_record_at_the_limit_is_taken(tmp_path: Path) -> None:
    fitting = "x" * (200 - len('{"text":""}'))
    assert len(read_records(written(tmp_path, json.dumps({"text": fitting})), REFUSE).rows) == 1
    assert refusal(written(tmp_path, json.dumps({"text": fitting + "x"})), REFUSE).code == "record_too_large"


@pytest.mark.parametrize("name", ["export.jsonl", "export.json", "export.csv"])
def test_unknown_columns_refuse_the_whole_file_and_are_named(tmp_path: Path, name: str) -> None:
    content = {
        "export.jsonl": f'{GOOD}\n{{"text": "t", "zip": "1", "age": 3}}',
        "export.json": '[{"text": "t", "zip": "1", "age": 3}]',
        "export.csv": "text,zip,age\nt,1,3\n",
    }[name]
    error = refusal(written(tmp_path, content, name))
    assert error.code == "unknown_columns"
    assert "'zip'" in error.message
    assert "'age'" in error.message


@pytest.mark.parametrize("name", ["export.jsonl", "export.json", "export.csv"])
@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_an_empty_file_holds_no_records(tmp_path: Path, name: str, content: str) -> None:
    assert refusal(written(tmp_path, content, name)).code == "file_empty"


def test_an_empty_list_and_a_header_alone_hold_no_records(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, " [ ] ", "export.json")).code == "file_empty"
    assert refusal(written(tmp_path, "text,label\n", "export.csv")).code == "file_empty"


def test_a_missing_file_is_unknown(tmp_path: Path) -> None:
    for path in (tmp_path / "no.jsonl", tmp_path / "no\0.jsonl", written(tmp_path, GOOD) / "below.jsonl"):
        with pytest.raises(NotFound) as caught:
            read_records(path, SKIP)
        assert caught.value.code == "file_unknown"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b'{"text": "caf\xe9"}', b"\x1f\x8b\x08", b'{"text": "a\x00b"}', "é".encode("utf-16")]
)
def test_what_is_not_utf8_text_is_unreadable(tmp_path: Path, content: bytes) -> None:
    for name in ("export.jsonl", "export.json", "export.csv"):
        assert refusal(written(tmp_path, content, name)).code == "file_unreadable"


def test_another_kind_of_file_or_a_folder_is_unreadable(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, GOOD, "export.xlsx")).code == "file_unreadable"
    (tmp_path / "folder.jsonl").mkdir()
    assert refusal(tmp_path / "folder.jsonl").code == "file_unreadable"


def test_a_byte_order_mark_is_not_part_of_the_data(tmp_path: Path) -> None:
    assert len(read_records(written(tmp_path, b"\xef\xbb\xbftext,label\nhello,x\n", "export.csv"), SKIP).rows) == 1
    assert len(read_records(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()), SKIP).rows) == 1


@pytest.mark.parametrize(
    "line", ['{"label": "x"}', '{"text": ""}', '{"text": 1.5}', '{"text": ["a"]}', '{"text": "\\ud800"}', "[]", "1"]
)
def test_a_line_without_a_text_is_invalid(tmp_path: Path, line: str) -> None:
    reading = read_records(written(tmp_path, f"{line}\n{GOOD}"), SKIP)
    assert [problem.code for problem in reading.problems] == ["record_invalid"]
    assert len(reading.rows) == 1


def test_a_csv_row_of_another_width_is_named(tmp_path: Path) -> None:
    reading = read_records(written(tmp_path, 'text,label\n"two\nlines",x\na,b,c\nhello,y\n', "export.csv"), SKIP)
    assert [row.line for row in reading.rows] == [2, 5]
    assert [(problem.line, problem.code) for problem in reading.problems] == [(4, "row_malformed")]


@pytest.mark.parametrize(
    "text", ["{}", "[1", '[{"text": "a"}] 1', '[{"text": "a"} {"text": "b"}]', '[{"text": "a"},]', "["]
)
def test_a_broken_list_is_refused_whole(tmp_path: Path, text: str) -> None:
    assert refusal(written(tmp_path, text, "export.json")).code == "json_malformed"


def test_a_file_over_the_bound_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rodagila.collect.sources.MAX_FILE_BYTES", 10)
    assert refusal(written(tmp_path, GOOD)).code == "file_too_large"


def test_reading_reports_progress(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = written(tmp_path, f"{GOOD}\n" * 2_500)
    read_records(path, SKIP, progress=lambda done, total: steps.append((done, total)))
    assert len(steps) == 3
    assert steps == sorted(steps)
    assert all(total == path.stat().st_size for _, total in steps)


PIECES = st.sampled_from(
    [
        GOOD.encode(),
        b"\n",
        b"\r",
        b'"',
        b",",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\xff",
        b"\x00",
        b"text,label\n",
        b"a,b\n",
        b'"a\nb",c\n',
        b"9" * 5000,
        b"[" * 3000,
        b"x" * 9000,
        b'{"text": "\\ud800"}',
        b'{"zip": 1}',
        b"NaN",
        b"\xef\xbb\xbf",
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    content=st.binary(max_size=300) | st.lists(PIECES, max_size=8).map(b"".join),
    name=st.sampled_from(["x.jsonl", "x.json", "x.csv"]),
    rules=st.sampled_from([SKIP, REFUSE]),
)
@example(content=b"[" * 100_000, name="x.json", rules=SKIP)
@example(content=b'text\n"' + b"x" * 200_000, name="x.csv", rules=SKIP)
def test_arbitrary_bytes_raise_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, rules: RecordRules
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        reading = read_records(path, rules)
    except RodaError:
        return
    assert reading.rows or reading.problems
    assert rules is SKIP or not reading.problems


RECORDS = st.builds(
    dict,
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20),
    label=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
)


@settings(max_examples=100, deadline=None)
@given(bodies=st.lists(RECORDS, min_size=1, max_size=6), indent=st.sampled_from([None, 1]))
def test_any_records_come_back_from_both_json_forms(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, str]], indent: int | None
) -> None:
    folder = tmp_path_factory.getbasetemp()
    expected = [Record.from_json(body) for body in bodies]
    lines = written(folder, "\n".join(json.dumps(body) for body in bodies), "y.jsonl")
    listed = written(folder, json.dumps(bodies, indent=indent), "y.json")
    for path in (lines, listed):
        assert [row.record for row in read_records(path, RecordRules()).rows] == expected


def test_real_posts_come_in_by_owner(tmp_path: Path, shared_data: Path) -> None:
    import gzip

    with gzip.open(shared_data / "newsgroups" / "posts.jsonl.gz", "rt") as file:
        posts = [json.loads(next(file)) for _ in range(200)]
    lines = [json.dumps({"owner": p["owner"], "text": p["text"], "label": p["group"]}) for p in posts]
    reading = read_records(written(tmp_path, "\n".join(lines)), RecordRules())
    assert len(reading.rows) + len(reading.problems) == 200
    assert {row.record.label for row in reading.rows} == {p["group"] for p in posts if p["text"]}
