"""A launch: contracts at addresses computed beforehand, owned by the timelock; none blocks the next launch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ethereum_rlp import rlp
from ethereum_types.numeric import Uint
from hypothesis import given
from hypothesis import strategies as st
from small_dao import TOPICS, holdings, key_of, texts

from rodagila.app import operations
from rodagila.app.daos import dao_named, launch, local_token
from rodagila.app.deployment import NAMES, deploy_contracts
from rodagila.app.home import Home
from rodagila.app.progress import SILENT
from rodagila.chain.addresses import create_address, to_text
from rodagila.chain.funding import give_gas_money
from rodagila.core.errors import Corrupted
from rodagila.core.hashing import keccak
from rodagila.core.money import TOKEN_UNIT
from rodagila.core.policy import Policy

DEPLOYER = to_text(bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"))
KNOWN = (
    "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
    "343c43a37d37dff08ae8c4a11544c718abb4fcf8",
    "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91",
)
"""What this deployer's first transactions made, from the tests of ethers.js."""
OWNED = ("Registry", "Treasury", "Rewards", "Split", "Licenses", "Stake")


def test_the_address_of_a_contract_follows_from_its_deployer_and_nonce() -> None:
    assert [create_address(DEPLOYER, nonce) for nonce in range(3)] == [to_text(bytes.fromhex(text)) for text in KNOWN]


@given(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)))
def test_the_address_is_the_hash_of_the_rlp_at_every_nonce(nonce: int) -> None:
    encoded = rlp.encode([bytes.fromhex(DEPLOYER[2:]), Uint(nonce)])
    assert create_address(DEPLOYER, nonce) == to_text(keccak(bytes(encoded))[12:])


def queries(path: Path) -> Path:
    """Write queries on all topics."""
    records = [record for topic in TOPICS for record in texts(topic, 2)]
    path.write_text("".join(json.dumps(record.as_json()) + "\n" for record in records))
    return path


def test_contracts_know_each_other_and_their_owner_is_the_timelock(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", ledger_url="") as home:
        home.keys.new("founders", key_of("founders").key)
        shown = operations.dao_new(
            home, "docs", Policy("docs"), queries(tmp_path / "q.jsonl"), None, SILENT, founders="founders"
        )
        dao = dao_named(home, "docs")
        assert set(dao.addresses) == {*NAMES, "PayToken"}
        assert shown["contracts"] == dao.addresses
        assert all(home.ledger.code(address) for address in dao.addresses.values())
        assert {dao.contract(name).call("owner") for name in OWNED} == {dao.addresses["DaoTimelock"]}
        assert dao.contract("Registry").call("operator") == dao.row.operator
        rewards = dao.contract("Rewards")
        knows = {"treasury": "Treasury", "bonds": "Bonds", "daoToken": "DaoToken", "registry": "Registry"}
        assert {name: rewards.call(name) for name in knows} == {
            name: dao.addresses[contract] for name, contract in knows.items()
        }
        token, rules = dao.contract("DaoToken"), Policy("docs").token
        founders = key_of("founders").address
        assert token.call("getVotes", founders) == token.call("totalSupply") == rules.founders * TOKEN_UNIT
        assert (token.call("name"), token.call("symbol"), token.call("decimals")) == (rules.name, rules.symbol, 18)
        governor = dao.contract("DaoGovernor")
        assert governor.call("proposalThreshold") == rules.cap * TOKEN_UNIT // 1_000
        assert (governor.call("votingDelay"), governor.call("votingPeriod")) == (86_400, 3 * 86_400)


def test_a_launch_killed_after_its_deployment_leaves_nothing_that_blocks_the_next(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", ledger_url="") as home:
        operator = home.keys.new("docs-operator")
        give_gas_money(home.ledger, operator.address)
        left = deploy_contracts(home.ledger, operator, operator.address, local_token(home), Policy("docs"))
        operations.dao_new(home, "docs", Policy("docs"), queries(tmp_path / "q.jsonl"), None, SILENT)
        dao = dao_named(home, "docs")
        assert dao.row.operator == operator.address
        assert not {left[name] for name in NAMES} & {dao.addresses[name] for name in NAMES}


def test_a_launch_begins_with_version_one_whatever_the_file_says(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", ledger_url="") as home:
        dao = launch(home, "docs", Policy("other", version=7), holdings(), home.keys.new)
        assert (dao.policy.name, dao.policy.version) == ("docs", 1)
        assert dao.contract("Registry").call("policyAt", 1) == dao.policy.policy_hash()


def test_a_home_of_the_first_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text('{"format": 1}')
    with pytest.raises(Corrupted) as caught:
        Home.open(tmp_path)
    assert caught.value.code == "home_outdated"
    assert "another" in caught.value.hint or "empty" in caught.value.hint
