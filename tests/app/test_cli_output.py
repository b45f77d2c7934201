"""What commands print for people: aligned, complete, and deaf to what data would make a terminal do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rodagila.app.cli.audit import audit_line
from rodagila.app.cli.demo import show_demo
from rodagila.app.cli.output import emit, show_table


def test_a_table_aligns_amounts_to_the_right_and_escapes_foreign_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(
        [{"owner": "ada", "paid": 1_500_000}, {"owner": "[red]e\x1b[2Jve\u202e", "paid": 10_000_000}, {"owner": "bo"}]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["owner", "paid"]
    assert lines[2].endswith(" 1.5")
    assert lines[3].split() == ["[red]e\\x1b[2Jve\\u202e", "10"]
    assert lines[4].endswith(" -")
    assert len({len(line) for line in lines}) == 1


def test_only_the_asked_columns_are_shown_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([{"a": 1, "b": 2, "c": 3}], ("c", "a", "absent"))
    assert capsys.readouterr().out.splitlines()[0].split() == ["c", "a"]


def test_json_holds_atomic_units_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"paid": 1_500_000, "text": "paid 1.5"}, True)
    assert json.loads(capsys.readouterr().out) == {"paid": 1_500_000, "text": "paid 1.5"}
    emit({"paid": 1_500_000, "text": "paid\x07 1.5"}, False)
    assert capsys.readouterr().out == "paid\\x07 1.5\n"


def test_facts_show_nested_objects_and_lists_below_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "docs", "prices": {"price": 2_000}, "turns": [{"turn": 1, "paid": 5}], "none": []}, False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "docs"]
    assert lines[1:3] == ["prices", "  price  0.002"]
    assert lines[3] == "turns"
    assert lines[-2].split() == ["1", "0.000005"]
    assert lines[-1].split() == ["none", "-"]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ({"ok": True, "turns": [{}, {}]}, "Audit: every root of 2 turns was recomputed and agrees."),
        ({"ok": True, "roots": {"turn 1": {}}}, "Audit: every root of 1 turn was recomputed and agrees."),
        (
            {"ok": False, "turns": [{}], "differences": ["payout root"]},
            "Audit: 1 of what was published for 1 turn differs from what was recomputed.",
        ),
    ],
)
def test_the_audit_is_told_in_one_line(outcome: dict[str, Any], line: str) -> None:
    assert audit_line(outcome) == line


def test_the_demonstration_marks_freeloaders_and_says_where_the_report_is(capsys: pytest.CaptureFixture[str]) -> None:
    turn = {"turn": 1, "records": 9, "metric": "recall@5", "value": 0.5, "low": 0.4, "high": 0.6, "calls": 3}
    money = {"pool": 10, "paid": 7, "slashed": 1, "dust": 1, "rollover": 2, "root": "0x00"}
    owners = [
        {"owner": "mal", "kind": "junk", "payout": -1},
        {"owner": "ada", "kind": "honest", "payout": 7},
    ]
    early = {"queries": 12, "first": 0.75, "last": 0.5}
    rise = {"value": 0.25, "low": -0.1, "high": 0.6, "early": early}
    audit = {"ok": True, "roots": {"1": {}}}
    show_demo({"turns": [turn | money], "rise": rise, "owners": owners, "audit": audit, "report": "r.html"})
    out = capsys.readouterr().out
    assert "0.250 [-0.100 0.600]; on the 12 questions" in out
    assert "0.750 -> 0.500" in out
    assert out.index("ada") < out.index("mal")
    assert "! junk" in out
    assert "! honest" not in out
    assert out.endswith("Audit: every root of 1 turn was recomputed and agrees.\nReport: r.html\n")
