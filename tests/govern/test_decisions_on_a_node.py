"""The same decisions on a chain behind JSON-RPC: nothing in them knows which ledger it is on."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dao_on_chain import FAUCET, PEOPLE, PERIOD, TIMELOCK, DaoOnChain, deploy_on

from rodagila.chain.genesis import FAUCET_WEI
from rodagila.chain.rpc import RpcLedger
from rodagila.core.errors import RefusedByPolicy
from rodagila.core.money import UNIT
from rodagila.core.policy import Policy
from rodagila.govern.actions import decode_log
from rodagila.govern.ballot import read_ballot, sign_ballot
from rodagila.govern.effects import tried


@pytest.fixture
def dao(project_root: Path) -> Iterator[DaoOnChain]:
    """A DAO on anvil."""
    spec = importlib.util.spec_from_file_location("bench_ledger", project_root / "benches" / "bench_ledger.py")
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    program = bench.anvil_path()
    if program is None:
        pytest.skip("needs anvil: set ANVIL or run npm install @foundry-rs/anvil in contracts/")
    with bench.running_anvil(program) as anvil:
        anvil.call("anvil_setBalance", FAUCET.address, hex(FAUCET_WEI))

        def wait(seconds: int) -> None:
            anvil.call("evm_increaseTime", seconds)
            anvil.call("evm_mine")

        with RpcLedger.open(f"http://127.0.0.1:{anvil.connection.port}") as ledger:
            yield deploy_on(ledger, wait, Policy(name="docs"))


def test_a_decision_on_a_node_goes_as_on_the_embedded_ledger(dao: DaoOnChain) -> None:
    dao.give_votes("bob", 10_000)
    wanted = (("pay", "to=cem,amount=12.5"), ("rule", "quorum=5,voting_period=2h"), ("operator", "account=cem"))
    proposal = dao.propose(*wanted)
    effect = tried(dao.ledger, proposal.actions, dao.governor.place)
    assert effect.problem == ""
    assert [(dao.book.name(row.account)[:12], row.difference) for row in effect.balances] == [
        ("the Treasury", -12_500_000),
        ("cem (0x" + PEOPLE["cem"].address[2:7], 12_500_000),
    ]
    assert dao.contract("PayToken").call("balanceOf", PEOPLE["cem"].address) == 0
    dao.open_vote()
    for name, reason in (("ada", ""), ("bob", "It is fair.")):
        voter = PEOPLE[name]
        signed = sign_ballot(voter, dao.governor.ballot(proposal, voter.address, 1, reason))
        dao.governor.send_ballot(PEOPLE["eve"], read_ballot(json.dumps(signed.as_json())))
    dao.wait(PERIOD)
    dao.governor.queue(PEOPLE["eve"], proposal)
    with pytest.raises(RefusedByPolicy) as early:
        dao.governor.execute(PEOPLE["eve"], proposal)
    assert early.value.code == "proposal_state"
    dao.wait(TIMELOCK)
    receipt = dao.governor.execute(PEOPLE["eve"], proposal)
    events = [decode_log(log.address, log.topics, log.data, dao.book) for log in receipt.logs]
    own = ("CallExecuted", "ProposalExecuted")
    assert [event.text for event in events if event.name not in own] == [event.text for event in effect.events]
    assert dao.contract("PayToken").call("balanceOf", PEOPLE["cem"].address) == 12_500_000
    assert dao.contract("Treasury").call("balance") == 100 * UNIT - 12_500_000
    assert dao.governor.parameters().quorum_numerator == 5
    assert dao.governor.status(proposal).state == "executed"
