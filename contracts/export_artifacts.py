"""Write the compiled contracts into the Python package, so that users need neither node nor a compiler.

For each contract: its ABI, its creation and runtime bytecode (without metadata, so the same sources give the same
bytes everywhere), the sentences of its errors, and ``sourceHash``: SHA-256 over its own sources, the compiler's
settings and the pinned versions of compiler and library. A test compares that hash with the sources', so an
artifact that was not exported after an edit is noticed without a compiler.

    python contracts/export_artifacts.py            # after: forge build
    python contracts/export_artifacts.py --check    # say what differs, write nothing
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent
ARTIFACTS = CONTRACTS.parent / "src" / "rodagila" / "chain" / "artifacts"
NAMES = tuple(
    sorted(
        path.stem
        for path in (CONTRACTS / "src").glob("*.sol")
        if re.search(rf"^contract {path.stem}\b", path.read_text("utf-8"), re.MULTILINE)
    )
)
"""Every file in src that holds a contract of its own name; interfaces, libraries and abstract parts are not shipped."""
_IMPORT = re.compile(r'from "(\./[^"]+\.sol)"')


def sources_of(name: str) -> list[Path]:
    """Return the contract's own file and those of ours it imports, sorted by name."""
    found: set[Path] = set()
    waiting = [CONTRACTS / "src" / f"{name}.sol"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [(path.parent / match).resolve() for match in _IMPORT.findall(path.read_text("utf-8"))]
    return sorted(found, key=lambda path: path.name)


def compiler_settings() -> dict[str, str]:
    """Return the settings that decide the bytecode: those of foundry.toml's first section and the two pins."""
    section = (CONTRACTS / "foundry.toml").read_text("utf-8").split("[profile.default]")[1].split("\n[")[0]
    given = dict(re.findall(r"^(\w+) = (.+)$", section, re.MULTILINE))
    pins = json.loads((CONTRACTS / "package.json").read_text("utf-8"))["devDependencies"]
    decisive = ("evm_version", "optimizer", "optimizer_runs", "bytecode_hash", "cbor_metadata")
    settings = {key: given[key].strip('"') for key in decisive}
    return settings | {"solc": pins["solc"], "openzeppelin": pins["@openzeppelin/contracts"]}


def source_hash(name: str) -> str:
    """Return the SHA-256, in hex, of everything that decides the contract's bytecode."""
    digest = hashlib.sha256(json.dumps(compiler_settings(), sort_keys=True).encode())
    for path in sources_of(name):
        body = path.read_bytes()
        digest.update(f"{path.name} {len(body)}\n".encode() + body)
    return digest.hexdigest()


def error_sentences(built: dict[str, Any]) -> dict[str, str]:
    """Return what each error means, by signature: our own notices, and the first sentence of the library's notes."""
    ours, library = built["userdoc"].get("errors", {}), built["devdoc"].get("errors", {})
    notes = {signature: said[0]["details"].split(". ")[0].rstrip(".") + "." for signature, said in library.items()}
    notices = {signature: said[0]["notice"] for signature, said in ours.items()}
    return dict(sorted((notes | notices).items()))


def artifact_of(name: str) -> dict[str, Any]:
    """Return the artifact of a contract that forge has built."""
    built = json.loads((CONTRACTS / "out" / f"{name}.sol" / f"{name}.json").read_text("utf-8"))
    return {
        "contractName": name,
        "abi": built["abi"],
        "errors": error_sentences(built),
        "bytecode": built["bytecode"]["object"],
        "deployedBytecode": built["deployedBytecode"]["object"],
        "compiler": compiler_settings(),
        "sourceHash": source_hash(name),
    }


def export_gas() -> None:
    """Write gas.json, name to gas, from what the gas tests measured; without a measurement leave it as it is."""
    measured = CONTRACTS / "snapshots" / "gas.json"
    if measured.exists():
        gas = {act: int(value) for act, value in json.loads(measured.read_text("utf-8")).items()}
        (CONTRACTS / "gas.json").write_text(json.dumps(gas, indent=1, sort_keys=True) + "\n", "utf-8")


def main() -> int:
    """Export every contract; return 1 if ``--check`` found a difference."""
    parser = argparse.ArgumentParser(description="Write the compiled contracts into the Python package.")
    parser.add_argument("--check", action="store_true", help="say what differs and write nothing")
    check = parser.parse_args().check
    stale = []
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path, text = ARTIFACTS / f"{name}.json", json.dumps(artifact_of(name), indent=1) + "\n"
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    if not check:
        export_gas()
    if check and stale:
        print(f"These artifacts differ from what the sources compile to: {', '.join(stale)}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
