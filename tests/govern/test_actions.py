"""Calls of proposals: what is encoded is decoded again for every function there is, and lies are not decoded."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from rodagila.chain.abi import Entry, Param, load_artifact, shipped_names
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.govern.actions import (
    Action,
    Book,
    action_of,
    action_of_texts,
    decode_action,
    value_as_json,
    value_from_json,
    value_from_text,
)

FUNCTIONS = [
    (name, entry) for name in shipped_names() for entry in load_artifact(name).functions.values() if entry.inputs
]
PLACES = {f"0x{number:040x}": name for number, name in enumerate(shipped_names(), start=1)}
ADA, BOB = "0x" + "Aa" * 20, to_checksum_address("0x" + "bb" * 20)
BOOK = Book({to_checksum_address(address): name for address, name in PLACES.items()}, {BOB: "bob"})


def values_of(part: Param) -> st.SearchStrategy[Any]:
    """Draw values of an ABI type as ``decode_values`` returns them."""
    if part.kind.endswith("]"):
        size = part.kind[part.kind.rindex("[") + 1 : -1]
        least, most = (int(size), int(size)) if size else (0, 3)
        return st.lists(values_of(part.element), min_size=least, max_size=most)
    if part.kind == "tuple":
        return st.tuples(*map(values_of, part.components))
    if part.kind == "bool":
        return st.booleans()
    if part.kind == "address":
        return st.binary(min_size=20, max_size=20).map(to_checksum_address)
    if part.kind == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    if part.kind.startswith("bytes"):
        size = part.kind.removeprefix("bytes")
        return st.binary(min_size=int(size or 0), max_size=int(size or 80))
    bits = int(part.kind.lstrip("uint"))
    signed = part.kind.startswith("int")
    return st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)


@given(st.data())
def test_every_function_of_every_shipped_contract_decodes_to_what_was_encoded(data: st.DataObject) -> None:
    contract, entry = data.draw(st.sampled_from(FUNCTIONS))
    values = [data.draw(values_of(part)) for part in entry.inputs]
    action = action_of(BOOK, contract, entry.signature, values)
    decoded = decode_action(action, BOOK)
    assert (decoded.contract, decoded.function, decoded.problem) == (contract, entry, "")
    assert plain([argument.value for argument in decoded.arguments]) == plain(values)


@given(st.data())
def test_what_is_shown_of_a_call_can_be_typed_in_again(data: st.DataObject) -> None:
    contract, entry = data.draw(st.sampled_from(FUNCTIONS))
    action = action_of(BOOK, contract, entry.signature, [data.draw(values_of(part)) for part in entry.inputs])
    shown = [argument.text for argument in decode_action(action, BOOK).arguments]
    assert action_of_texts(BOOK, f"{contract}.{entry.signature}", shown) == action


@given(st.data())
def test_a_changed_byte_is_never_shown_as_the_call_it_was(data: st.DataObject) -> None:
    contract, entry = data.draw(st.sampled_from(FUNCTIONS))
    action = action_of(BOOK, contract, entry.signature, [data.draw(values_of(part)) for part in entry.inputs])
    place = data.draw(st.integers(0, len(action.data) - 1))
    changed = bytearray(action.data)
    changed[place] ^= data.draw(st.integers(1, 255))
    decoded = decode_action(Action(action.target, bytes(changed)), BOOK)
    assert decoded.text != decode_action(action, BOOK).text
    if decoded.function is not None:
        texts = [argument.text for argument in decoded.arguments]
        assert action_of_texts(BOOK, f"{contract}.{decoded.function.signature}", texts).data == bytes(changed)


def plain(value: Any) -> Any:
    """Return structs as lists, as drawn ones are tuples and decoded ones named tuples."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def pay(to: str = BOB, amount: int = 12_500_000) -> Action:
    return action_of(BOOK, "Treasury", "pay", (to, amount, bytes(32)))


def test_a_call_is_shown_with_the_names_and_values_of_its_arguments() -> None:
    assert decode_action(pay(), BOOK).text == f"Treasury.pay(to={BOB}, amount=12500000, reason=0x{'00' * 32})"
    body = decode_action(pay(), BOOK).as_json()
    assert body["function"] == "pay(address,uint256,bytes32)"
    assert body["arguments"][0] == {"name": "to", "type": "address", "value": BOB}


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (Action(pay().target, pay().data + b"\0" * 32), "more than the arguments"),
        (Action(pay().target, pay().data[:-1]), "does not decode"),
        (Action(pay().target, pay().data[:4] + b"\x01" + pay().data[5:]), "does not decode"),
        (Action(pay().target, b"\xde\xad\xbe\xef" + pay().data[4:]), "no function 0xdeadbeef"),
        (Action(pay().target, b""), "no data"),
        (Action(ADA, pay().data), "no contract of this DAO"),
    ],
    ids=["bytes after the arguments", "cut off", "dirty address", "unknown selector", "no data", "foreign contract"],
)
def test_what_cannot_be_decoded_is_said_and_never_guessed(action: Action, problem: str) -> None:
    decoded = decode_action(action, BOOK)
    assert problem in decoded.problem
    assert decoded.function is None
    assert decoded.as_json()["decoded"] is False
    assert decoded.as_json()["data"] == "0x" + action.data.hex()
    assert "pay(" not in decoded.text


def test_dynamic_arguments_at_odd_places_are_not_decoded() -> None:
    """A reader could be shown one string and the contract another: offsets may point anywhere."""
    function = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    action = action_of(BOOK, "PayToken", function, (ADA, BOB, 1, 0, 1, bytes(32), b"x" * 32))
    head, tail = action.data[: 4 + 6 * 32], action.data[4 + 7 * 32 :]
    moved = head + (7 * 32 + len(tail)).to_bytes(32, "big") + tail + tail
    assert "more than the arguments" in decode_action(Action(action.target, moved), BOOK).problem


def test_arguments_are_typed_as_text_by_name_or_address() -> None:
    by_name = action_of_texts(BOOK, "Treasury.pay", ["bob", "12500000", "0x" + "00" * 32])
    assert by_name == action_of_texts(BOOK, "Treasury.pay", [BOB.lower(), "0xbebc20", "0x" + "00" * 32]) == pay()


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["bob", "-1", "0x" + "00" * 32], "a number from 0"),
        (["bob", "12.5", "0x" + "00" * 32], "a whole number"),
        (["bob", str(2**256), "0x" + "00" * 32], "a number from 0"),
        (["bob", "1", "0x00"], "give 32 bytes"),
        (["bob", "1", "labels"], "0x and hex digits"),
        (["bob", "1"], "called with 2 arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(texts: list[str], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        action_of_texts(BOOK, "Treasury.pay", texts)


def test_unknown_names_are_refused() -> None:
    for call, texts in (("Treasury.pay", ["carol", "1", "0x" + "00" * 32]), ("Purse.pay", []), ("Bank.pay", ["1"])):
        with pytest.raises(NotFound):
            action_of_texts(BOOK, call, texts)
    with pytest.raises(InvalidInput, match=r"is not Contract\.function"):
        action_of_texts(BOOK, "pay", [])


def test_structs_lists_and_flags_are_read_and_written() -> None:
    part = Param(
        "rows", "tuple[2]", (Param("owner", "address"), Param("on", "bool"), Param("sizes", "int8[]")), struct="Row"
    )
    value = value_from_text(
        part, f'[["bob", true, [-128, 127]], {{"owner":"{BOB}","on":"false","sizes":[]}}]', BOOK.address
    )
    assert value == [
        {"owner": BOB, "on": True, "sizes": [-128, 127]},
        {"owner": BOB, "on": False, "sizes": []},
    ]
    rows = [tuple(row.values()) for row in value]
    assert value_from_json(part, value_as_json(part, rows), BOOK.address) == value
    for text in (
        "[]",
        '[["bob", true, [128]], ["bob", true, []]]',
        '[["bob", 1, []], ["bob", true, []]]',
        "{",
        "[1, 2]",
    ):
        with pytest.raises(InvalidInput, match=r"rows|sizes|on|owner"):
            value_from_text(part, text, BOOK.address)


def test_large_integers_are_text_in_json() -> None:
    part = Param("amount", "uint256")
    assert value_as_json(part, 2**53 - 1) == 2**53 - 1
    assert value_as_json(part, 2**53) == str(2**53)
    assert value_from_json(part, str(2**256 - 1), BOOK.address) == 2**256 - 1


def test_entries_without_arguments_decode_too() -> None:
    nothing: Entry = load_artifact("Treasury").function("balance", 0)
    assert decode_action(action_of(BOOK, "Treasury", nothing.signature, ()), BOOK).text == "Treasury.balance()"
