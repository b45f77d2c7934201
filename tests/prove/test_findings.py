"""Findings: what should not be trained on is found, ordinary texts are left alone, and the policy says what refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import CheckRules
from rodagila.prove.findings import KINDS, REASONS, TOXIC_WORDS, Findings, repeats, shared_runs
from rodagila.prove.language import FEWEST, Languages

needs_languages = pytest.mark.skipif(not Languages().available, reason="needs py3langid, which is not installed")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("where is my bank card", ()),
        ("write to ada@example.org about it", ("personal",)),
        ("my number is 078-05-1120, thanks", ("personal",)),
        ("token ghp_0123456789abcdefghijABCDEFGHIJ012345 leaked", ("personal",)),
        ("what a BASTARD of a problem", ("toxic",)),
        ("bastardise is another word", ()),
        ("buy now and save " * 10, ("repetition",)),
        ("Copyright 2020. All rights reserved.", ("boilerplate",)),
        ("Lorem ipsum dolor sit amet", ("boilerplate",)),
        ("the rights reserved for later", ()),
    ],
)
def test_each_kind_is_found_and_its_likeness_is_not(text: str, kinds: tuple[str, ...]) -> None:
    assert Findings().of(text) == kinds


def test_placeholders_of_redaction_are_no_personal_data() -> None:
    assert Findings().of("write to <email> or call <phone> today") == ()


def test_ordinary_queries_have_hardly_any_findings(shared_data: Path) -> None:
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    findings = Findings()
    found = [kind for text, _ in data["val"] for kind in findings.of(text)]
    assert len(found) <= len(data["val"]) // 100, found


def test_repetition_needs_a_long_text_and_a_part_that_is_large() -> None:
    assert not repeats("no no no no", ["no"] * 4)
    sentence = "the quick brown fox jumps over the lazy dog and then it sleeps for a while under an old tree nearby"
    assert not repeats(sentence, sentence.split())
    lines = "\n".join(["the same line again"] * 4 + ["another one", "and a third that differs"])
    assert repeats(lines, lines.split())


def test_what_many_records_share_is_boilerplate_of_the_data_set() -> None:
    footer = "this message was sent to you by the great example company"
    texts = [f"message number {n} about something else {footer}" for n in range(5)] + ["a text of its own"]
    assert shared_runs(texts) == [True] * 5 + [False]
    assert shared_runs(texts[:4]) == [False] * 4


def test_a_policy_gives_its_own_words() -> None:
    own = Findings(CheckRules(toxic_words="Plonker, numpty"))
    assert own.of("you absolute plonker") == ("toxic",)
    assert own.of("what a bastard") == ()
    assert all(word == word.lower() and word.isalpha() for word in TOXIC_WORDS)


def test_the_policy_says_what_refuses() -> None:
    everything = [kind for kind in KINDS if kind != "language"]
    assert [Findings(CheckRules(refuse="none")).refusing((kind,)) for kind in everything] == [""] * 4
    assert Findings().refusing(("personal", "toxic")) == "personal_data"
    assert Findings().refusing(("toxic",)) == ""
    assert Findings(CheckRules(refuse="all")).refusing(("toxic",)) == REASONS["toxic"]


SENTENCES = {
    "de": [
        "wie kann ich meine Karte sperren lassen",
        "ich möchte einen Flug nach Rom buchen",
        "wird es morgen in Berlin regnen",
    ],
    "fr": [
        "comment puis-je bloquer ma carte bancaire",
        "je voudrais réserver un vol pour Rome",
        "est-ce qu'il va pleuvoir demain",
    ],
    "es": [
        "cómo puedo bloquear mi tarjeta de crédito",
        "quiero reservar un vuelo a Roma",
        "va a llover mañana en Madrid",
    ],
    "it": [
        "come posso bloccare la mia carta di credito",
        "vorrei prenotare un volo per Parigi",
        "domani pioverà a Milano",
    ],
    "pt": [
        "como posso bloquear o meu cartão de crédito",
        "quero reservar um voo para Lisboa",
        "vai chover amanhã no Porto",
    ],
    "nl": [
        "hoe kan ik mijn bankpas laten blokkeren",
        "ik wil graag een vlucht naar Rome boeken",
        "gaat het morgen regenen",
    ],
    "id": [
        "bagaimana cara mengatur ulang kata sandi",
        "saya ingin memesan tiket pesawat ke Jakarta",
        "apakah besok akan hujan",
    ],
    "tr": [
        "kartımı nasıl iptal edebilirim",
        "Roma'ya uçak bileti almak istiyorum",
        "yarın İstanbul'da yağmur yağacak mı",
    ],
    "pl": ["jak mogę zablokować moją kartę", "chciałbym zarezerwować lot do Rzymu", "czy jutro będzie padać deszcz"],
    "sv": [
        "hur kan jag spärra mitt bankkort",
        "jag vill boka ett flyg till Stockholm",
        "kommer det att regna i morgon",
    ],
    "ru": ["как заблокировать мою банковскую карту", "я хочу забронировать билет в Москву", "будет ли завтра дождь"],
    "zh": ["我怎样重置我的银行卡密码", "我想预订去北京的航班", "明天上海会下雨吗"],
    "ja": [
        "クレジットカードを停止する方法を教えてください",
        "東京行きの航空券を予約したいです",
        "明日は雨が降りますか",
    ],
    "ar": ["كيف يمكنني إيقاف بطاقتي المصرفية", "أريد حجز رحلة إلى القاهرة", "هل ستمطر غدا"],
    "hi": ["मैं अपना कार्ड कैसे बंद करूं", "मुझे दिल्ली के लिए उड़ान बुक करनी है", "क्या कल बारिश होगी"],
}
"""Queries as people type them, of ours, so that no model was trained on them."""


@needs_languages
def test_short_queries_of_fifteen_languages_are_told_apart() -> None:
    languages = Languages()
    pairs = [(code, text) for code, texts in SENTENCES.items() for text in texts]
    right = sum(languages.of(text)[0] == code for code, text in pairs)
    assert right >= 0.9 * len(pairs), [(code, text, languages.of(text)) for code, text in pairs]


@needs_languages
def test_english_queries_are_hardly_ever_foreign_and_other_languages_mostly_are(shared_data: Path) -> None:
    english = Languages("en")
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    assert sum(english.foreign(text) for text, _ in data["test"]) <= len(data["test"]) // 500
    foreign = [text for texts in SENTENCES.values() for text in texts]
    assert sum(english.foreign(text) for text in foreign) >= 0.85 * len(foreign)
    assert Findings(CheckRules(languages="en")).of(SENTENCES["de"][0]) == ("language",)
    assert Findings(CheckRules(languages="en, de")).of(SENTENCES["de"][0]) == ()
    assert Findings(CheckRules(languages="en")).refusing(("language",)) == "other_language"


@needs_languages
def test_a_language_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(InvalidInput, match="names xx, which cannot be told"):
        Languages("en, xx").of("where is my bank card")


def test_no_language_is_asked_for_by_default_and_short_texts_are_not_judged() -> None:
    assert not Languages().foreign("wie kann ich meine Karte sperren lassen")
    assert Languages().of("x" * (FEWEST - 1)) == ("", 0)
    assert Languages("en").of("12 34 56") == ("", 0)
