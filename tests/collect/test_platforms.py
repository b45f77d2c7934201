"""Chats, mail and histories of platforms, against fixtures with their expected outputs, and damaged at random."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_export import JSON, check_fuzzed, places, saved

from rodagila.collect import chats, dkim, reddit, takeout
from rodagila.collect.archive import open_files
from rodagila.collect.export import SOURCES, Export, archived_keys, read_export, require_own
from rodagila.collect.message import Message, Source
from rodagila.core.errors import RodaError
from rodagila.core.policy import RecordRules

RULES = RecordRules()


@pytest.fixture(scope="module")
def exports(shared_data: Path) -> Path:
    return shared_data / "exports"


def texts(export: Export) -> list[str]:
    return [row.record.text for row in export.rows]


def expected(path: Path) -> list[tuple[str, str, str]]:
    return sorted((row["timestamp"], row["author"], row["message"]) for row in json.loads(path.read_text()))


def messages(path: Path, source: str) -> Iterator[Message]:
    reader = next(item for item in SOURCES if item.name == source)
    with open_files(path) as files:
        name = files.entries[0].name
        first = next(item for item in SOURCES if item.recognises(name, files.head(name)))
        assert first.name == source
        for item in reader.read(files, name, RULES):
            assert isinstance(item, Message)
            yield item


def flat(path: Path, source: str) -> list[tuple[str, str, str]]:
    """Return time, author and text on one line of each message, as the expected outputs have them."""
    return sorted(
        (datetime.fromtimestamp(item.at or 0, UTC).isoformat()[:19], item.authors[0], " ".join(item.text.split()))
        for item in messages(path, source)
    )


@pytest.mark.parametrize("name", ["test_ddmmyy_24hrs", "test_mmddyy_24hrs", "test_mmddyyyy_12hrs"])
def test_whatsapp_gives_the_expected_messages_whatever_its_dates(exports: Path, name: str) -> None:
    folder = exports / "chat_miner" / "whatsapp"
    assert flat(folder / f"{name}.txt", "whatsapp") == expected(folder / "target.json")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("signal", "test_export.txt"),
        ("telegram", "test_single_export.json"),
        ("telegram", "test_batch_export.json"),
        ("instagram", "test_export.json"),
    ],
)
def test_other_chats_give_the_expected_messages(exports: Path, source: str, name: str) -> None:
    folder = exports / "chat_miner" / source
    assert flat(folder / name, source) == expected(folder / "target.json")


def test_messages_of_other_people_are_left_out_and_counted(exports: Path) -> None:
    path = exports / "chat_miner" / "whatsapp" / "test_ddmmyy_24hrs.txt"
    export = read_export(path, RULES, me=["john DOE"])
    assert (len(export.rows), export.left_out) == (2, {"other people": 4})
    assert export.authors["John Doe"] == 2
    nobody = read_export(path, RULES)
    with pytest.raises(RodaError) as caught:
        require_own(nobody)
    assert caught.value.code == "author_unknown"
    assert "'John Doe'" in caught.value.message


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("31/12/2020, 23:59 - A: x", "2020-12-31T23:59:00"),
        ("12/31/20, 11:59 PM - A: x", "2020-12-31T23:59:00"),
        ("12/31/20, 11:59\u202fPM - A: x", "2020-12-31T23:59:00"),
        ("\u200e[31.12.20, 23:59:07] A: x", "2020-12-31T23:59:07"),
        ("[31/12/2020, 11:59:07 p. m.] A: x", "2020-12-31T23:59:07"),
        ("31.12.20, 23:59 - A: x", "2020-12-31T23:59:00"),
        ("31-12-2020 23:59 - A: x", "2020-12-31T23:59:00"),
        ("2020-12-31, 23:59 - A: x", "2020-12-31T23:59:00"),
        ("2020/12/31, 23.59 - A: x", "2020-12-31T23:59:00"),
        ("[2020-12-31, 11:59:07 PM] A: x", "2020-12-31T23:59:07"),
        ("31/12/20 12:05 am - A: x", "2020-12-31T00:05:00"),
    ],
)
def test_dates_are_read_as_each_region_writes_them(line: str, moment: str) -> None:
    (message,) = chats.messages_of([line], chats.order_of([line]))
    assert (message.authors, message.text) == (("A",), "x")
    assert message.at == int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


def test_where_no_number_tells_day_from_month_the_order_of_time_does() -> None:
    by_month = ["01/12/20, 10:00 - A: x", "02/01/20, 10:00 - A: y", "03/01/20, 10:00 - A: z"]
    assert chats.order_of(by_month) == "mdy"
    assert chats.order_of(["01/02/20, 10:00 - A: x", "01/03/20, 10:00 - A: y"]) == "dmy"


def test_what_was_not_exported_is_no_text() -> None:
    lines = ["1/2/20, 10:00 - A: <Media omitted>", "[1/2/20, 10:00:00] A: \u200eimage omitted"]
    assert [message.text for message in chats.messages_of(lines, "dmy")] == ["", ""]


def test_slack_gives_the_words_of_one_member_by_any_of_her_names(exports: Path) -> None:
    path = exports / "slack" / "testarchive.zip"
    by_name = [texts(read_export(path, RULES, me=[name])) for name in ("Harry Potter", "abilinski", "U0BMYT2FL")]
    assert by_name[0] == by_name[1] == by_name[2]
    export = read_export(path, RULES, me=["Harry Potter"])
    assert export.source == "slack"
    assert len(export.rows) == export.authors["Harry Potter"] - export.left_out.get("no text", 0) > 3
    assert export.left_out["other people"] == sum(export.authors.values()) - export.authors["Harry Potter"]
    assert not any("<@" in text or "&amp;" in text for text in texts(export))


def test_reddit_gives_posts_and_comments_and_nothing_else(exports: Path) -> None:
    export = read_export(exports / "potluck" / "reddit", RULES)
    assert (export.source, export.files, export.ignored) == ("reddit", 2, 1)
    assert "Thanks for the feedback, everyone!" in texts(export)
    assert any(text.startswith("My First Python Project\nJust finished") for text in texts(export))
    assert not any("0.0.0.0" in text or "reddit.com" in text for text in texts(export))
    assert len(export.rows) == 8


def test_takeout_gives_own_mail_and_titles_of_pages(exports: Path) -> None:
    export = read_export(exports / "potluck" / "google_takeout", RULES, me=["jane.smith@example.com"])
    assert export.source == "browser history+mail"
    assert "Re: Meeting Tomorrow\n\nHi John,\n\n3pm works great for me. See you then!\n\nBest,\nJane" in texts(export)
    assert "Google Search" in texts(export)
    assert not any("http" in text or "John\n" in text.split("Hi John")[0] for text in texts(export))
    assert export.left_out == {"no text": 1, "other people": 3}


def test_activity_gives_what_was_searched_for(tmp_path: Path) -> None:
    body = [
        {"header": "Search", "title": "Searched for how to seal a file", "time": "2024-01-01T00:00:00Z"},
        {"header": "Chrome", "title": "Visited https://a.example/?token=abc", "time": "2024-01-01T00:00:00Z"},
    ]
    export = read_export(saved(tmp_path, {"Takeout/My Activity/Search/MyActivity.json": body}), RULES)
    assert (export.source, texts(export), export.left_out) == ("activity", ["how to seal a file"], {"no text": 1})


def split(path: Path) -> tuple[str, bytes]:
    """Return the archived keys at the top of a signed mail's file, and the mail."""
    top, _, mail = path.read_bytes().partition(b"\n\n")
    return top.decode(), mail


@pytest.mark.parametrize("name", ["001", "002"])
def test_signed_mail_is_proven_under_its_archived_key_and_under_no_other(
    exports: Path, tmp_path: Path, name: str
) -> None:
    top, mail = split(exports / "dkim" / f"{name}.txt")
    (tmp_path / "keys.txt").write_text(top)
    keys = archived_keys(tmp_path / "keys.txt")
    author = takeout.mail_message(mail, {}).authors[0]

    def level(content: bytes, known: dict[str, str]) -> dict[str, int]:
        (tmp_path / "mail.eml").write_bytes(content)
        return dict(read_export(tmp_path / "mail.eml", RULES, me=[author], keys=known).levels)

    assert level(mail, keys) == level(mail.replace(b"\n", b"\r\n"), keys) == {"proven": 1}
    other, _ = split(exports / "dkim" / ("002.txt" if name == "001" else "001.txt"))
    swapped = dict.fromkeys(keys, list(dkim.keys_of(other).values())[-1])
    assert level(mail, {}) == level(mail, swapped) == {"asserted": 1}
    body = mail.rstrip()
    for changed in (body + b" more", body.replace(b"Subject: ", b"Subject: Not ", 1), b"From: a@b.c\n" + body):
        assert "proven" not in level(changed, keys)


@pytest.mark.parametrize(
    ("name", "domains"),
    [("001", ["football.example.com"] * 2), ("002", ["example.com"]), ("003", ["ietf.org"] * 2)],
)
def test_every_signature_of_the_fixtures_holds(exports: Path, name: str, domains: list[str]) -> None:
    top, mail = split(exports / "dkim" / f"{name}.txt")
    assert dkim.signing_domains(mail, dkim.keys_of(top)) == domains


def test_the_signature_of_a_mailing_list_does_not_prove_the_author(exports: Path) -> None:
    top, mail = split(exports / "dkim" / "003.txt")
    assert dkim.proven_domain(mail, dkim.keys_of(top)) == ""


def test_a_signature_over_part_of_the_body_proves_nothing(exports: Path) -> None:
    top, mail = split(exports / "dkim" / "001.txt")
    assert dkim.proven_domain(mail.replace(b"q=dns/txt;", b"l=0; q=dns/txt;"), dkim.keys_of(top)) == ""


def test_a_file_without_keys_is_no_archive_of_keys(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("nothing")
    with pytest.raises(RodaError) as caught:
        archived_keys(tmp_path / "keys.txt")
    assert caught.value.code == "file_unreadable"


def test_a_mail_over_the_limit_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeout, "MAX_MAIL_BYTES", 200)
    box = b"From a\nFrom: a@b.c\n\nhello\n\nFrom b\nFrom: a@b.c\n\n" + b"x" * 300 + b"\n\nFrom c\nSubject: s\n\nbye\n"
    assert [mail and len(mail) for mail in takeout.mails_of(io.BytesIO(box))] == [20, None, 16]


TELEGRAM = {"chats": {"list": [{"messages": [{"type": "message", "date_unixtime": "1", "from": "A", "text": "x"}]}]}}
INSTAGRAM = {"messages": [{"sender_name": "John Doe", "timestamp_ms": 1, "content": "x"}]}
SLACK = [{"user": "U1", "type": "message", "text": "x <@U2>", "ts": "1.0"}]
HISTORY = {"Browser History": [{"title": "x", "time_usec": 1}]}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_platforms_with_any_field_replaced_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, whole = data.draw(
        st.sampled_from(
            [
                ("result.json", TELEGRAM),
                ("message_1.json", INSTAGRAM),
                ("c/2020-01-01.json", SLACK),
                ("h.json", HISTORY),
            ]
        )
    )
    value = json.loads(json.dumps(whole))
    users: Any = [{"id": "U1", "real_name": "John Doe", "profile": {"email": "a@b.c"}}]
    container, key = data.draw(st.sampled_from(places(value)))
    container[key] = data.draw(JSON)
    container, key = data.draw(st.sampled_from(places(users)))
    container[key] = data.draw(JSON)
    check_fuzzed(saved(tmp_path_factory.getbasetemp(), {name: value, "users.json": users}, "fuzzed-platforms.zip"))


PIECES = st.sampled_from(
    [
        *("1/2/20, 10:00 - A: x", "[2020-01-01, 10:00] B: y", "\n", "\r", "\u200e", ",", '"', "%", "é"),
        *("From a\n", "From: a@b.c\n", "Subject: =?utf-8?q?x=?=\n", "DKIM-Signature: v=1; d=b.c; h=from; b="),
        *("Content-Type: multipart/mixed; boundary=b\n", "--b\n", "Content-Transfer-Encoding: base64\n"),
        *('id,permalink,date,title,body\n"', "charset=utf-99"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    content=st.lists(PIECES | st.text(max_size=5), max_size=14)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "ignore"))
    | st.binary(max_size=60),
    name=st.sampled_from(
        ["posts.csv", "chat.txt", "mail.mbox", "a.eml", "notes.md", "result.json", "x.parquet", "a.csv"]
    ),
)
def test_any_bytes_under_any_name_are_read_or_refused(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    check_fuzzed(path)
    list(reddit.rows_of(io.BytesIO(content.replace(b"\0", b"").decode(errors="ignore").encode()), name))
    keys = {"s._domainkey.b.c": "p=AAAA"}
    for mail in takeout.mails_of(io.BytesIO(content)):
        assert dkim.proven_domain(mail or b"", keys) == ""
    path.unlink()


def test_deep_mail_costs_only_itself(tmp_path: Path) -> None:
    deep = b"From a\nFrom: a@b.c\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000)
    )
    path = tmp_path / "mail.mbox"
    path.write_bytes(deep + b"\n\nFrom b\nFrom: a@b.c\n\nhello there\n")
    export = read_export(path, RULES, me=["a@b.c"])
    assert texts(export) == ["hello there"]


def test_every_source_has_a_name_of_its_own() -> None:
    names = Counter(source.name for source in SOURCES)
    assert all(isinstance(source, Source) for source in SOURCES)
    assert set(names.values()) == {1}
