"""The report: one file without requests or scripts, everything from data escaped, nothing shown that does not hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rodagila.app.display import cell, printable
from rodagila.app.plots import bars, lines, nice_ticks
from rodagila.app.report import by_kind, conserves, render_report, write_report
from rodagila.core.policy import Policy

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}\u202e\x1b[31m</style><img src=x onerror=y>"
VOID = {"meta", "link", "br", "img", "input", "hr"}


def result_of(name: str = "ada") -> dict[str, Any]:
    turns = [
        {
            "turn": turn,
            "records": 100 * turn,
            "metric": "accuracy",
            "value": 0.6 + turn / 20,
            "low": 0.55 + turn / 20,
            "high": 0.65 + turn / 20,
            "baseline": 0.5,
            "calls": 12,
            "pool": 1_000_003,
            "paid": 750_000,
            "slashed": 500,
            "dust": 3,
            "rollover": 250_000,
            "root": "0x" + "ab" * 32,
        }
        for turn in (1, 2, 3)
    ]
    owners = [
        {"owner": name, "kind": "honest", "payout": 900_000},
        {"owner": "bob", "kind": "honest", "payout": 300_000},
        {"owner": "eve", "kind": "flipped labels", "payout": -120_000},
        {"owner": "mal", "kind": "exact copies", "payout": 0},
    ]
    explanation = {
        "account": "0x" + "11" * 20,
        "turn": 3,
        "pool": "1000003",
        "lambda_ppm": 750_000,
        "payable": "750003",
        "share_ppm": 400_000,
        "total": "300000",
        "cumulative": "900000",
        "leaf": "0x" + "cd" * 32,
        "proof": ["0x" + "ef" * 32],
        "root": "0x" + "ab" * 32,
        "records": [{"place": 4, "pay": "1000", "slash": "0", "reason": f"helped {name}"}],
    }
    return {
        "turns": turns,
        "owners": owners,
        "audit": {"ok": True, "roots": {"turn 1": {}}, "differences": []},
        "stages": [{"stage": "learn", "seconds": 1.5}, {"stage": "learn", "seconds": 0.5}],
        "explanation": explanation,
        "policy": Policy(name=name).as_json(),
        "dao": name,
    }


class Page(HTMLParser):
    """Collects the tags and attributes of a page and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_the_page_makes_no_request_and_runs_no_script() -> None:
    text = render_report(result_of())
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert not attributes & {"src", "href", "srcset", "xlink:href", "action", "data"}
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_tag_is_closed_in_order() -> None:
    assert Page(render_report(result_of())).open == []


def test_hostile_names_are_shown_as_text() -> None:
    result = result_of(HOSTILE)
    result["owners"][2]["kind"] = HOSTILE
    result["turns"][0]["metric"] = result["turns"][2]["metric"] = HOSTILE
    result["stages"].append({"stage": HOSTILE, "seconds": 1})
    result["audit"] = {"ok": False, "differences": [HOSTILE]}
    text = render_report(result)
    page = Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert "script" not in names
    assert "img" not in names
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text
    assert "{{7*7}}" in text


def test_every_plot_has_a_title_a_description_and_a_table() -> None:
    text = render_report(result_of())
    page = Page(text)
    plots = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(plots) == 4
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    for attrs in plots:
        assert attrs["role"] == "img"
        assert set(str(attrs["aria-labelledby"]).split()) <= ids
    assert sum(tag == "table" for tag, _ in page.tags) >= len(plots)


def test_ids_are_unique_and_headings_do_not_skip() -> None:
    page = Page(render_report(result_of()))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)][:2] == ["h1", "h2"]


def test_the_law_of_conservation_is_computed_not_claimed() -> None:
    result = result_of()
    assert "NOT conserved" not in render_report(result)
    result["turns"][1]["dust"] += 1
    assert not conserves(result["turns"][1])
    assert "NOT conserved" in render_report(result)


def test_an_audit_that_differs_is_shown_with_its_differences() -> None:
    result = result_of()
    result["audit"] = {"ok": False, "differences": ["turn 2: payout root"]}
    text = render_report(result)
    assert "DIFFERS" in text
    assert "turn 2: payout root" in text


def test_freeloaders_stand_beside_honest_owners_with_their_means() -> None:
    assert by_kind(result_of()["owners"]) == [
        {"kind": "honest", "owners": 2, "mean": 600_000, "sum": 1_200_000},
        {"kind": "exact copies", "owners": 1, "mean": 0, "sum": 0},
        {"kind": "flipped labels", "owners": 1, "mean": -120_000, "sum": -120_000},
    ]


def test_the_explanation_leads_from_the_pool_to_the_leaf() -> None:
    text = render_report(result_of())
    places = [text.index(value) for value in ("1.000003", "75.0000%", "0.750003", "0x" + "cd" * 32)]
    assert text.index("Why did this owner earn this?") < min(places[2:])
    listed = result_of() | {"explanation": {"steps": [{"title": "the pool", "value": "12.5"}, "then the leaf"]}}
    assert "the pool" in render_report(listed)
    assert "then the leaf" in render_report(listed)


@pytest.mark.parametrize("missing", ["stages", "explanation", "policy", "dao"])
def test_parts_without_data_are_left_out(missing: str) -> None:
    result = result_of()
    del result[missing]
    assert Page(render_report(result)).open == []


def test_a_demonstration_without_turns_or_owners_still_has_a_page() -> None:
    empty = {"turns": [], "owners": [], "audit": {"ok": True}}
    assert Page(render_report(empty)).open == []


def test_the_file_appears_whole_in_a_directory_that_is_made(tmp_path: Path) -> None:
    path = write_report(result_of(), tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == render_report(result_of())
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_ticks_cover_the_values_in_round_steps() -> None:
    for low, high in ((0.7, 0.84), (0, 1), (0.5, 0.5), (-0.02, 0.31), (0, 12345)):
        ticks = nice_ticks(low, high)
        assert ticks[0].at <= low + 1e-9
        assert ticks[-1].at >= high - 1e-9
        assert len(ticks) <= 7
    assert [tick.text for tick in nice_ticks(0, 1)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_higher_values_are_drawn_higher_and_intervals_enclose_them() -> None:
    plot = lines(["1", "2"], [(0.5, 0.4, 0.6), (0.7, 0.65, 0.75)], 0.45)
    first, second = plot.points
    assert second.y < first.y
    assert first.top < first.y < first.bottom
    assert plot.baseline is not None
    assert plot.baseline.at > first.y
    (alone,) = lines(["1"], [(0.5, 0.5, 0.5)]).points
    assert plot.left < alone.x < plot.right


def test_negative_bars_end_at_zero_and_stay_inside_the_plot() -> None:
    plot = bars([("a", 5.0, "5", "honest"), ("b", -5.0, "-5", "freeloader"), ("c", 0.0, "0", "honest")])
    gain, loss, none = plot.bars
    assert gain.x == pytest.approx(plot.zero)
    assert loss.x + loss.width == pytest.approx(plot.zero)
    assert gain.width == pytest.approx(loss.width)
    assert none.width == 0
    assert loss.x >= plot.label_x


def test_numbers_are_shown_by_the_kind_of_their_key() -> None:
    assert cell("paid", -1) == "-0.000001"
    assert cell("records", 12_345) == "12,345"
    assert cell("lambda_ppm", 250_000) == "0.250"
    assert cell("value", 0.73) == "0.730"
    assert cell("ok", False) == "no"
    assert cell("any", None) == "-"
    assert cell("name", "a\nb") == "a\\nb"
    assert printable("a\x1b[2J\u202eb") == "a\\x1b[2J\\u202eb"
