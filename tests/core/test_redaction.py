"""Redaction takes out what it knows, leaves the rest alone, and asks nobody."""

from __future__ import annotations

import logging
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core import redaction
from rodagila.core.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to bob.smith@example.com today", "write to <email> today"),
        ("bob@corp.local", "<email>"),
        ("call +1 212 555 2368 now", "call <phone> now"),
        ("call (212) 555-2368 now", "call <phone> now"),
        ("card 4111 1111 1111 1111 ok", "card <card> ok"),
        ("card 4111-1111-1111-1112 has a wrong checksum", "card <card> has a wrong checksum"),
        ("pay DE89370400440532013000 please", "pay <iban> please"),
        ("pay DE89 3704 0044 0532 0130 01 please", "pay <iban> please"),
        ("from 192.168.17.10 today", "from <ip> today"),
        ("from fe80::1ff:fe23:4567:890a today", "from <ip> today"),
        ("device 00:1B:44:11:3A:B7 joined", "device <mac> joined"),
        ("ssn 078-05-1120 and 123-45-6789", "ssn <national_id> and <national_id>"),
        ("btc 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "btc <crypto_address>"),
        ("eth 0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "eth <crypto_address>"),
        ("key 0x" + "1f" * 32, "key <secret>"),
        ("key ghp_0123456789abcdefghijABCDEFGHIJ012345", "key <secret>"),
        ("key sk-proj-abcdEFGH1234567890abcd", "key <secret>"),
        ("id AKIAIOSFODNN7EXAMPLE", "id <secret>"),
        ("api_key = 'abcd1234efgh'", "api_key = '<secret>'"),
        ("password: correcthorse9", "password: <secret>"),
        ("postgres://bob:hunter2@db.example.org/x", "postgres://<secret>/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc", "<secret>"),
        ("AGE-SECRET-KEY-1JTKFPYTSL348PEN77H3GTUUS7UAVX9Q0DXD88H4G0YASSVVREPFQ56DS32", "<secret>"),
    ],
)
def test_what_is_personal_or_secret_is_replaced(text: str, expected: str) -> None:
    redacted = redact(text)
    assert redacted.text == expected
    assert sum(redacted.counts.values()) == expected.count("<")


@pytest.mark.parametrize(
    "text",
    [
        "x[::2] and std::vector<int>; ::1",
        "numpy 1.26.4 was released on 2024-01-15 at 10:30:00",
        "pi is 3.14159265358979 and a million is 1000000",
        "the password must have eight characters; see token rules",
        "use the @app.route decorator",
        "networkx.algorithms.simple_paths.all_simple_paths: Generate all simple paths.",
    ],
)
def test_what_is_neither_stays(text: str) -> None:
    assert redact(text) == redaction.Redacted(text, {})


def test_a_name_of_a_person_is_missed_as_the_documentation_says() -> None:
    assert redact("Ada Lovelace lives in London").text == "Ada Lovelace lives in London"
    assert "Names of people" in str(redaction.__doc__)


PARTS = st.sampled_from(
    [
        "bob@example.com",
        "+1 212 555 2368",
        "4111 1111 1111 1111",
        "123-45-6789",
        "password: abc12345",
        "<email>",
        "<",
        ">",
        "0x",
        "1f" * 32,
        " ",
        "-",
        "=",
        "sk-",
        "12",
        "@",
        "://",
        "a:b",
        "1.2.3.4",
        "DE89370400440532013000",
        "hello",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PARTS, max_size=7).map("".join) | st.text(max_size=40))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once.text) == redaction.Redacted(once.text, {})


def test_an_error_in_a_recogniser_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("recogniser")

    monkeypatch.setattr(redaction, "spans_of", broken)
    with pytest.raises(RuntimeError):
        redact("bob@example.com")


def test_redaction_asks_no_network_and_logs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    with caplog.at_level(logging.DEBUG):
        assert redact("write to someone@a-host-nobody-knows.co.uk").text == "write to <email>"
    assert "someone" not in caplog.text


LONG = (
    "sk-",
    "token=",
    "://a:",
    "a@",
    "1-",
    "1 ",
    "4111 ",
    "DE12 ",
    "ab:",
    "ab-",
    "born ",
    "passport A1-",
    "eyJaaaaaaaa.",
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", LONG)
def test_no_text_takes_time_that_grows_with_the_square_of_its_length(piece: str) -> None:
    text = piece * (200_000 // len(piece))  # the square of this would take minutes
    once = redact(text)
    assert redact(once.text).text == once.text
