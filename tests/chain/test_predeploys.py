"""What stands on a new home's ledger from its first block."""

from __future__ import annotations

import json
from pathlib import Path

from rodagila.app.home import FORMAT, Home
from rodagila.chain.abi import load_artifact
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import SYSTEM_CODE
from rodagila.chain.predeploys import PREDEPLOYS, predeployed_code


def test_a_new_home_has_every_predeployed_contract_in_block_zero(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home") as home:
        assert home.ledger.block_number() == 0
        for address, name in PREDEPLOYS.items():
            assert home.ledger.code(address) == load_artifact(name).deployed_bytecode
            assert home.ledger.nonce(address) == 1
        home.ledger.verify()


def test_a_ledger_from_before_keeps_its_own_first_block(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/home.json").write_text(json.dumps({"format": FORMAT}))
    with EmbeddedLedger.open(tmp_path / "home/ledger.sqlite") as before:
        root = before.block(0).hash
    with Home.open(tmp_path / "home") as home:
        assert home.ledger.block(0).hash == root
        assert not any(home.ledger.code(address) for address in PREDEPLOYS)


def test_a_predeployed_contract_has_no_constructor_and_takes_no_system_contract_s_place() -> None:
    assert not {bytes.fromhex(address[2:]) for address in PREDEPLOYS} & set(SYSTEM_CODE)
    for address, code in predeployed_code().items():
        artifact = load_artifact(PREDEPLOYS[address])
        # Without constructor and immutables the creation code is a prologue and the runtime code as it is.
        assert artifact.bytecode.endswith(code)
        assert artifact.constructor.inputs == ()
