"""A data set is reported in figures alone, as JSON and as a page; Croissant describes it with its offers by ODRL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decisions import QUICK, decide, home_with_clock
from jsonschema import Draft202012Validator
from small_dao import OWNERS, TOPICS, contribute, holdings, key_of, launch_dao, texts
from test_report import HOSTILE, Page
from test_report_browser import chromium, render  # noqa: F401 - a fixture

from rodagila.app import operations
from rodagila.app.cli.entry import run
from rodagila.app.croissant import CONTEXT, croissant
from rodagila.app.daos import drip
from rodagila.app.dataset_page import render_dataset_page
from rodagila.app.datasets import gap, gini
from rodagila.app.evaluation import prove_turn
from rodagila.app.home import Home
from rodagila.app.intake import receive, seal
from rodagila.app.ledger_steps import post_bonds, register_batch
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain
from rodagila.core.records import Record

OFFER = "price=5,mode=release,duration=30d,until=2060-01-01,scope=docs,purpose=train,split=docs"
RUDE = Record("what a bastard of a hotel, all rights reserved", label="travel")
DOMAIN = Domain(1, "0x" + "11" * 20)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a DAO of four owners, of whom one copies, leaks the gate and is rude, and with an open offer."""
    with home_with_clock(tmp_path_factory.mktemp("datasets") / "home") as (home, clock):
        dao = launch_dao(home, governance=QUICK)
        for owner in OWNERS:
            contribute(dao, owner)
        drip(home, key_of("eve").address, 1_000_000)
        copied = Record(texts("cards", 0)[0].text, label="weather")
        leaked = holdings().gate[0]
        receive(dao, *seal(dao, key_of("eve"), [copied, leaked, RUDE], salt=keccak(b"salt eve")))
        decide(dao, clock, ("token", "account=PayToken,open=yes"), ("approve-offer", OFFER))
        register_batch(dao, 1)
        post_bonds(dao, 1)
        prove_turn(dao, 1)
        yield home


@pytest.fixture(scope="module")
def report(desk: Home) -> dict[str, Any]:
    return operations.dataset_report(desk, "docs", None, None, None)


def test_the_figures_are_those_of_what_was_contributed(report: dict[str, Any]) -> None:
    each = len(TOPICS["cards"])
    assert (report["records"], report["owners"], report["contributions"]) == (3 * each + 2, 4, 4)
    complete = report["completeness"]
    assert (complete["given"], complete["accepted"], complete["duplicate"]) == (3 * each + 3, 3 * each + 2, 1)
    assert complete["refused"] == {} and complete["with_label_ppm"] == 1_000_000 and complete["with_answer_ppm"] == 0
    assert complete["gate_targets_without_records"] == 0
    consistent = report["consistency"]
    assert (consistent["duplicates_of_other_owners"], consistent["duplicates_of_own_records"]) == (1, 0)
    assert (consistent["duplicates_with_another_target"], consistent["duplicates_left"]) == (1, 0)
    noise = report["noise"]
    assert (noise["toxic"], noise["boilerplate"], noise["personal_data_left"]) == (1, 1, 0)
    bias = report["bias"]
    assert {row["label"] for row in bias["labels"]} == set(TOPICS)
    assert sum(row["records"] for row in bias["largest_owners"]) == report["records"]
    assert {row["owner"] for row in bias["largest_owners"]} == {key_of(name).address for name in (*OWNERS, "eve")}
    gate, scoring = report["contamination"]["gate"], report["contamination"]["scoring"]
    assert (gate["exact"], gate["queries_touched"], scoring["queries_touched"]) == (1, 1, 0)


def test_no_text_of_a_record_or_a_query_leaves(report: dict[str, Any], desk: Home) -> None:
    described = operations.dataset_croissant(desk, "docs", None)
    for told in (json.dumps(report), render_dataset_page(report), json.dumps(described)):
        for topic in TOPICS:
            for record in texts(topic, 0) + texts(topic, 2):
                assert record.text not in told
        assert RUDE.text not in told and "bastard" not in told


def test_the_command_prints_the_report_and_writes_the_page(
    report: dict[str, Any], desk: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, page = tmp_path / "words.txt", tmp_path / "out" / "page.html"
    words.write_text("freeze\nstorm\n")
    command = ["dataset", "report", "--dao", "docs", "--home", str(desk.path), "--json"]
    assert run([*command, "--words", str(words), "--output", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["noise"]["toxic"] == 3  # "freeze my credit card", the same as a gate query, "is a storm coming"
    assert told["noise"]["judged_by_words"] == 2
    assert told["page"] == str(page) and Page(page.read_text()).open == []
    assert [item.name for item in page.parent.iterdir()] == ["page.html"]
    assert run(["dataset", "croissant", "--dao", "docs", "--home", str(desk.path)]) == 0
    assert json.loads(capsys.readouterr().out)["identifier"] == report["hash"]


def test_a_turn_or_data_set_that_is_not_there_is_told(desk: Home, prepared_home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no turn 9"):
        operations.dataset_report(desk, "docs", 9, None, None)
    with pytest.raises(NotFound, match="no DAO named"):
        operations.dataset_report(desk, "nobody", None, None, None)
    for data, code in ((b"", "file_empty"), (b"\xff\xfe\xff", "file_unreadable"), (b"a " * 40_000, "file_too_large")):
        (tmp_path / "words").write_bytes(data)
        with pytest.raises(InvalidInput) as caught:
            operations.dataset_report(desk, "docs", None, tmp_path / "words", None)
        assert caught.value.code == code


def test_a_data_set_without_an_accepted_record_says_so(home: Home) -> None:
    with pytest.raises(NotFound) as caught:
        operations.dataset_report(home, "docs", None, None, None)
    assert caught.value.code == "turn_empty"


def test_the_page_makes_no_request_and_runs_no_script(report: dict[str, Any]) -> None:
    page = Page(render_dataset_page(report))
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    plots = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert plots and all(set(str(attrs["aria-labelledby"]).split()) <= set(ids) for attrs in plots)


def test_the_page_renders_in_a_browser_and_its_policy_blocks_nothing(
    chromium: str,  # noqa: F811
    report: dict[str, Any],
    tmp_path: Path,
) -> None:
    hostile = json.loads(json.dumps(report))
    hostile["dao"] = hostile["bias"]["labels"][0]["label"] = HOSTILE
    hostile["noise"]["confused"] = [{"label": HOSTILE, "likelier": "b", "records": 3}]
    (tmp_path / "page.html").write_text(render_dataset_page(hostile), encoding="utf-8")
    picture = tmp_path / "page.png"
    shown = render(chromium, tmp_path / "page.html", tmp_path / "profile", f"--screenshot={picture}", "--dump-dom")
    assert picture.stat().st_size > 20_000
    assert shown.stdout.count("<svg") == 3
    assert "<script" not in shown.stdout and "<img" not in shown.stdout
    assert "CONSOLE" not in shown.stderr, shown.stderr


REFERENCE = {"type": "object", "required": ["@id"]}
FIELD = {
    "type": "object",
    "required": ["@type", "@id", "name", "description", "dataType", "source"],
    "properties": {
        "@type": {"const": "cr:Field"},
        "source": {"type": "object", "required": ["fileObject", "extract"], "properties": {"fileObject": REFERENCE}},
    },
}
CROISSANT = {
    "type": "object",
    "required": [
        *("@context", "@type", "name", "description", "conformsTo", "license", "url", "creator", "datePublished"),
        *("distribution", "recordSet", "version"),
    ],
    "properties": {
        "@type": {"const": "sc:Dataset"},
        "conformsTo": {"const": "http://mlcommons.org/croissant/1.0"},
        "isLiveDataset": {"const": True},  # else each file needs a checksum, which would confirm guesses of records
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "datePublished": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
        "distribution": {
            "type": "array",
            "items": {
                "required": ["@type", "@id", "name", "contentUrl", "encodingFormat"],
            },
        },
        "recordSet": {
            "type": "array",
            "items": {"required": ["@type", "@id", "name", "field"], "properties": {"field": {"items": FIELD}}},
        },
        "odrl:hasPolicy": {"type": "array", "items": {"required": ["@type", "@id", "odrl:permission"]}},
    },
}
"""What Croissant 1.0 requires of a data set, a file, a record set and a field (its section on classes)."""


def test_the_metadata_has_what_croissant_requires(desk: Home) -> None:
    body = operations.dataset_croissant(desk, "docs", None)
    assert list(Draft202012Validator(CROISSANT).iter_errors(body)) == []
    files = {item["@id"] for item in body["distribution"]}
    fields = [field for group in body["recordSet"] for field in group["field"]]
    assert {field["source"]["fileObject"]["@id"] for field in fields} <= files
    assert [field["@id"] for field in fields] == ["record/text", "record/label"]


def test_its_context_is_the_prescribed_one_and_odrl(shared_data: Path) -> None:
    published = json.loads((shared_data / "vectors/croissant/valid_1.0/titanic.json").read_text())["@context"]
    assert {**published, "odrl": CONTEXT["odrl"], "rai": CONTEXT["rai"]} == {
        **CONTEXT,
        **published,
        "odrl": CONTEXT["odrl"],
    }
    assert not set(CONTEXT) - set(published) - {"odrl", "rai", "examples"}


def test_an_open_offer_is_an_odrl_offer_with_its_price(desk: Home, report: dict[str, Any]) -> None:
    (offer,) = operations.dataset_croissant(desk, "docs", None)["odrl:hasPolicy"]
    (permission,) = offer["odrl:permission"]
    assert permission["odrl:action"] == {"@id": "odrl:reproduce"}
    (duty,) = permission["odrl:duty"]
    (price,) = duty["odrl:constraint"]
    assert price["odrl:rightOperand"]["@value"] == "5000000"
    bare = croissant(report, domain=DOMAIN, licenses=DOMAIN.registry, purpose="train", offers=[], at=0)
    assert "odrl:hasPolicy" not in bare


@pytest.mark.parametrize(("sizes", "wanted"), [([5, 5, 5], 0.0), ([0, 0, 12], 2 / 3), ([], 0.0), ([1, 3], 0.25)])
def test_gini_is_nought_for_equals_and_grows_with_inequality(sizes: list[int], wanted: float) -> None:
    assert gini(sizes) == pytest.approx(wanted)


def test_the_gap_is_the_total_variation_of_two_distributions() -> None:
    assert gap(Counter(a=3, b=1), Counter(a=1, b=1)) == pytest.approx(0.25)
    assert gap(Counter(a=1), Counter(b=9)) == 1
    assert gap(Counter(), Counter()) == 0
