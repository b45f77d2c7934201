"""The shipped artifacts are what the sources say: by hash always, by recompiling where the tools are installed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from rodagila.chain.abi import decode_error, load_artifact, shipped_names
from rodagila.core.errors import InvalidInput, NotFound

SIZE_LIMIT = 12_000
GOVERNOR_LIMIT = 24_576  # EIP-170's; nearly all of it is OpenZeppelin's governor


@pytest.fixture(scope="module")
def export(project_root: Path) -> ModuleType:
    """The exporting script as a module."""
    spec = importlib.util.spec_from_file_location("export_artifacts", project_root / "contracts/export_artifacts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_exported_contract_is_shipped(export: ModuleType) -> None:
    assert shipped_names() == sorted(export.NAMES)


def test_shipped_hashes_are_those_of_the_sources(export: ModuleType) -> None:
    stale = [name for name in export.NAMES if load_artifact(name).source_hash != export.source_hash(name)]
    assert stale == [], "run `make contracts`: these artifacts were not exported after their sources changed"


def test_a_source_hash_covers_imports_and_settings(
    export: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    for path in [
        *export.sources_of("Treasury"),
        *(export.CONTRACTS / name for name in ("package.json", "foundry.toml")),
    ]:
        place = tmp_path / path.relative_to(export.CONTRACTS)
        place.write_bytes(path.read_bytes())
    before = export.source_hash("Treasury")
    monkeypatch.setattr(export, "CONTRACTS", tmp_path)
    assert export.source_hash("Treasury") == before
    imported, settings = tmp_path / "src/IPayToken.sol", tmp_path / "foundry.toml"
    imported.write_text(imported.read_text() + "\n")
    edited = export.source_hash("Treasury")
    settings.write_text(settings.read_text().replace("prague", "cancun"))
    assert len({before, edited, export.source_hash("Treasury")}) == 3


@pytest.mark.slow
def test_recompiling_gives_the_shipped_bytecode(export: ModuleType) -> None:
    binaries = sorted(export.CONTRACTS.glob("node_modules/@foundry-rs/forge-*/bin/forge"))
    if not binaries:
        pytest.skip("the contracts' tools are not installed here; `make contracts` installs them")
    command = [binaries[0], "build", "--force", "--skip", "test"]
    built = subprocess.run(command, cwd=export.CONTRACTS, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    for name in export.NAMES:
        assert export.artifact_of(name) == json.loads((export.ARTIFACTS / f"{name}.json").read_text("utf-8"))


def test_contracts_stay_small() -> None:
    sizes = {name: len(load_artifact(name).deployed_bytecode) for name in shipped_names()}
    assert sizes.pop("DaoGovernor") <= GOVERNOR_LIMIT
    assert all(0 < size < SIZE_LIMIT for size in sizes.values()), sizes


def test_every_own_error_says_what_it_means(export: ModuleType) -> None:
    for name in shipped_names():
        own = set(re.findall(r"^    error (\w+)\(", (export.CONTRACTS / f"src/{name}.sol").read_text("utf-8"), re.M))
        told = {entry.name for entry in load_artifact(name).errors.values() if entry.notice.endswith(".")}
        assert own, name
        assert own <= told, f"{name}: {own - told} have no @notice"


def test_an_unknown_contract_is_named() -> None:
    with pytest.raises(NotFound, match="no contract named 'Vault'") as refused:
        load_artifact("Vault")
    assert "PayToken" in str(refused.value)
    with pytest.raises(NotFound):
        load_artifact("../artifacts/PayToken")


def test_an_overloaded_name_is_chosen_by_its_arguments_or_signature() -> None:
    token = load_artifact("PayToken")
    by_bytes, by_parts = token.function("transferWithAuthorization", 7), token.function("transferWithAuthorization", 9)
    assert by_bytes.signature.endswith("bytes32,bytes)")
    assert by_parts.signature.endswith("uint8,bytes32,bytes32)")
    assert token.function(by_parts.signature, 9) is by_parts
    with pytest.raises(InvalidInput, match="was called with 3 arguments"):
        token.function("transferWithAuthorization", 3)


def test_selectors_are_those_of_the_standards() -> None:
    functions = load_artifact("PayToken").functions
    expected = {
        "transfer(address,uint256)": "a9059cbb",
        "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)": "d505accf",
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)": "e3ee160e",
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)": "cf092995",
        "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)": "88b7ab63",
        "authorizationState(address,bytes32)": "e94a0102",
    }
    assert {signature: functions[signature].selector.hex() for signature in expected} == expected


def test_errors_are_told_in_words() -> None:
    text = "08c379a0" + f"{32:064x}" + f"{4:064x}" + "6e6f7065".ljust(64, "0")
    assert decode_error(bytes.fromhex(text)).sentence == "nope."
    assert "division by zero" in decode_error(bytes.fromhex("4e487b71" + f"{0x12:064x}")).sentence
    assert decode_error(b"").sentence == "No reason given."
    assert "0xdeadbeef" in decode_error(bytes.fromhex("deadbeef")).sentence
    truncated = load_artifact("Rewards").functions["claimed(address)"].selector + b"\x01"
    assert decode_error(truncated).error == ""
