"""The documents say what the code does: links, codes, variables, commands, encodings and tests they name."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from documents import INLINE, blocks_of, check_mention
from rodagila.chain.escrow import PAY_TYPES
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.core import messages
from rodagila.core.errors import CODES
from rodagila.core.messages import (
    Contribution,
    Domain,
    Feedback,
    Manifest,
    Preference,
    Proof,
    Receipt,
    Response,
    TaskRequest,
)
from rodagila.core.money import PPM
from rodagila.govern.fields import FIELDS
from rodagila.reward import public
from rodagila.reward.roots import USAGE_TYPES
from rodagila.reward.tree import PAYOUT_TYPES, SLASH_TYPES, TOKEN_TYPES
from rodagila.serve.effects import NEAR_PPM
from rodagila.value.cosine import ONE
from rodagila.value.neighbours import UNIT
from rodagila.value.slots import MIN_TEXTS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MESSAGES = (Contribution, Manifest, Proof, Receipt, Feedback, TaskRequest, Response, Preference)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"\bRODA_[A-Z]+\b")
SIGNATURE = re.compile(r"^\s*([A-Z]\w+)\((.+)\)$", re.MULTILINE)
TEST_NAME = re.compile(r"`((?:contracts/)?tests?/[\w/.]+)::(\w+)`")


@pytest.fixture(scope="module")
def protocol() -> str:
    """The protocol's text."""
    return (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def text_of(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_resolves(path: Path) -> None:
    for target in LINK.findall(text_of(path)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{path.name}: no heading {target}"


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in LINK.findall(text_of(ROOT / "README.md"))}
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS} - {"README.md"} <= linked


@pytest.mark.parametrize("path", [*sorted((ROOT / "docs").glob("*.svg"))], ids=lambda path: path.name)
def test_every_picture_stands_alone(path: Path) -> None:
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    text = path.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(?:href|src|url)\s*[=(]\s*[\"']?(?!#)\w", text), "a picture must load nothing"


def script(path: str) -> ModuleType:
    """Return a script of the project as a module."""
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def test_the_page_of_errors_is_what_the_code_raises() -> None:
    written = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert written == script("docs/make_errors.py").page(), "run: python docs/make_errors.py > docs/errors.md"
    assert all(f"| `{code}` | {meaning} |" in written for code, meaning in CODES.items())


def test_every_variable_of_the_code_is_documented_and_no_other() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = set(VARIABLE.findall(source))
    table = set(re.findall(r"^\| `(RODA_\w+)` \|", text_of(ROOT / "docs" / "operations.md"), re.MULTILINE))
    assert used == table


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "cli.md"], ids=lambda path: path.name)
def test_every_mentioned_command_exists(path: Path) -> None:
    for text in INLINE.findall(text_of(path).replace("\n", " ")):
        check_mention(text)


def test_a_mention_of_a_command_that_is_none_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command"):
        check_mention("roda turn open")
    with pytest.raises(AssertionError, match="no option"):
        check_mention("roda audit --fast")


def type_string(message: type) -> str:
    """Return EIP-712's encodeType of a message: itself first, then what it refers to, by name."""
    types, primary = message.TYPES, message.PRIMARY  # type: ignore[attr-defined]
    names = [primary, *sorted(name for name in types if name != primary)]
    return "".join(f"{name}({parameters(types[name], ',')})" for name in names)


def parameters(parts: list[dict[str, str]], separator: str) -> str:
    """Return ``type name`` of each part; a struct by its own name."""
    kinds = [part["internalType"].rpartition(".")[2] if part["type"] == "tuple" else part["type"] for part in parts]
    return separator.join(f"{kind} {part['name']}" for kind, part in zip(kinds, parts, strict=True))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_the_protocol_states_the_type_string_of_every_message(protocol: str, message: type) -> None:
    lines = [line.strip() for line in protocol.splitlines() if line.strip().startswith(f"{message.__name__}(")]
    assert lines == [type_string(message)]


def test_no_message_of_the_code_is_left_out() -> None:
    defined = {
        name for name, value in vars(messages).items() if isinstance(value, type) and getattr(value, "PRIMARY", None)
    }
    assert defined - {"Message"} == {message.__name__ for message in MESSAGES}


def test_the_protocol_states_domain_and_chain(protocol: str) -> None:
    domain = Domain(1, "0x" + "11" * 20).as_json()
    assert f'name: "{domain["name"]}", version: "{domain["version"]}"' in protocol
    assert f"chain id {EMBEDDED_CHAIN_ID}" in protocol


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("pay", PAY_TYPES),
        ("payout", PAYOUT_TYPES),
        ("slash", SLASH_TYPES),
        ("token", TOKEN_TYPES),
        ("usage", USAGE_TYPES),
    ],
    ids=str,
)
def test_the_protocol_states_the_types_of_every_leaf(protocol: str, name: str, types: list[str]) -> None:
    found = re.search(rf"{name} leaf += \((.+)\)", protocol)
    assert found is not None
    assert [cell.split()[0] for cell in found[1].split(", ")] == types


def test_the_protocol_states_every_field_of_the_public_file(protocol: str) -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", protocol.split("## Public file", 1)[1], re.MULTILINE)
    stated = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert stated == public._HEAD | public._SETS | public._MONEY
    assert f"`{public.FORMAT}`" in protocol
    assert f"{public.MAX_BYTES // 2**20} MiB" in protocol


def test_the_protocol_states_events_as_the_contracts_have_them(protocol: str) -> None:
    artifacts = (ROOT / "src/rodagila/chain/artifacts").glob("*.json")
    events = {
        f"{entry['name']}({parameters(entry['inputs'], ', ')})"
        for path in artifacts
        for entry in json.loads(path.read_text())["abi"]
        if entry["type"] == "event"
    }
    names = {message.__name__ for message in MESSAGES}
    stated = {f"{name}({rest})" for name, rest in SIGNATURE.findall(protocol) if name not in names}
    signed = "".join(path.read_text() for path in (ROOT / "contracts/src").glob("*.sol"))
    stated = {line for line in stated if f'"{line}"' not in signed}  # the messages that contracts check
    assert len(stated) >= 5
    assert stated <= events


def test_every_test_that_the_threat_table_names_exists() -> None:
    named = TEST_NAME.findall(text_of(ROOT / "docs" / "security.md"))
    assert len(named) > 25
    for file, name in named:
        path = ROOT / file
        assert path.exists(), file
        assert name in functions_of(path), f"{file}::{name}"


def functions_of(path: Path) -> set[str]:
    """Return the names of a test file's functions."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sol":
        return set(re.findall(r"function (\w+)\(", text))
    return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}


def test_the_newest_change_is_of_this_version() -> None:
    newest = re.search(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert newest is not None and newest[1] == version("rodagila")


def test_the_mechanism_states_the_constants_of_the_code() -> None:
    text = " ".join(text_of(ROOT / "docs" / "mechanism.md").split())
    assert f"One = 2^{ONE.bit_length() - 1} in cosines, gains and novelties; 2^{UNIT.bit_length() - 1} in" in text
    assert f"with fewer than {MIN_TEXTS} such texts" in text
    assert f"(cosine >= {NEAR_PPM / PPM})" in text


def test_every_field_of_the_policy_that_the_mechanism_names_exists() -> None:
    text = text_of(ROOT / "docs" / "mechanism.md")
    fields = {field.path for field in FIELDS} | {field.path.rpartition(".")[2] for field in FIELDS}
    named = {"treasury_cut", "seed_pool", "target_lift", "theta_max", "theta_percentile", "tau_percentile", "check_k"}
    named |= {
        "newcomer_multiplier",
        "max_weight",
        "wash_margin",
        "minhash_jaccard",
        "queries.per_turn",
        "feedback.learn",
    }
    assert named <= fields
    assert all(name in text for name in named)


def test_blocks_of_documents_are_closed() -> None:
    for path in DOCUMENTS:
        blocks_of(path.read_text(encoding="utf-8"))


def test_the_page_of_figures_is_what_was_measured() -> None:
    results = json.loads((ROOT / "benches" / "results.json").read_text(encoding="utf-8"))
    written = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert written == script("benches/run.py").page(results), "run: make bench"
