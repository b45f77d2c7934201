"""Varied transactions: EELS itself accepts every block, and gas, status and logs are anvil's."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bench_module import loaded_bench
from eth_account import Account
from eth_account.signers.local import LocalAccount
from ethereum.forks.prague.blocks import Block
from ethereum.forks.prague.fork import BlockChain, state_transition
from ethereum.forks.prague.state import State, set_account, state_root
from ethereum_types.bytes import Bytes
from ethereum_types.numeric import U64
from evm_programs import (
    BRIEF,
    CLOCK,
    COUNTER,
    KEEPER,
    LOOP,
    MIRROR,
    MOTHER,
    REFUSER,
    RELAY,
    SCRATCH,
    WASTER,
    creation,
    word,
)

from rodagila.chain.addresses import to_text
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.chain.trie import keccak256

ADA: LocalAccount = Account.from_key(keccak256(b"ada"))
BEN: LocalAccount = Account.from_key(keccak256(b"ben"))
PROGRAMS = (BRIEF, CLOCK, COUNTER, KEEPER, LOOP, MIRROR, MOTHER, REFUSER, RELAY, SCRATCH, WASTER)
MODEXP = word(1) + word(32) + word(32) + b"\x03" + word(2**255 - 19) + word(2**256 - 1)


@pytest.fixture(scope="module")
def bench(project_root: Path) -> ModuleType:
    return loaded_bench(project_root)


@pytest.fixture
def anvil(bench: ModuleType) -> str:
    program = bench.anvil_path()
    if program is None:
        pytest.skip("needs anvil: set ANVIL or run npm install @foundry-rs/anvil in contracts/")
    return str(program)


def signed(account: LocalAccount, nonce: int, to: str | None, data: bytes = b"", **fields: Any) -> bytes:
    target = {} if to is None else {"to": to}
    fees = {"maxFeePerGas": 1000, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID}
    fields = {"value": 0, "gas": 400_000} | fields
    return bytes(account.sign_transaction({"nonce": nonce, "data": data, **target, **fees, **fields}).raw_transaction)


def varied(ledger: EmbeddedLedger, chance: random.Random, count: int) -> None:
    """Deploy every program, then send random lists of calls to them from two accounts."""
    faucet = ledger.faucet
    ledger.send_many([signed(faucet, n, a.address, value=10**20) for n, a in enumerate((ADA, BEN))])
    made = ledger.send_many([signed(faucet, 2 + n, None, creation(p)) for n, p in enumerate(PROGRAMS)])
    places = [place for h in made if (place := ledger.receipt(h).contract_address) is not None]
    assert len(places) == len(PROGRAMS)
    nonces = {ADA: 0, BEN: 0}
    while count > 0:
        raws = []
        for _ in range(chance.randint(1, 6)):
            account = chance.choice((ADA, BEN))
            to, data, more = next(choices(chance, places))
            if "authority" in more:
                other = BEN if account is ADA else ADA
                target = more.pop("authority")
                grant = {"chainId": EMBEDDED_CHAIN_ID, "address": target, "nonce": nonces[other]}
                more["authorizationList"] = [other.sign_authorization(grant)]
                nonces[other] += 1
            raws.append(signed(account, nonces[account], to, data, **more))
            nonces[account] += 1
            if "authorizationList" in more:
                # It moved the other account's nonce, which anvil's pool learns only from a mined block.
                break
        ledger.send_many(raws)
        count -= len(raws)


def choices(chance: random.Random, places: list[str]) -> Iterator[tuple[str | None, bytes, dict[str, Any]]]:
    """Yield one random call: target, data, further fields."""
    named = dict(zip(PROGRAMS, places, strict=True))
    any_place = chance.choice(places)
    # A delegation to MOTHER would let a call to the account use up its nonces, one to BRIEF its balance.
    granted = chance.choice([place for place in places if place not in (named[MOTHER], named[BRIEF])])
    precompile = "0x" + chance.choice((1, 2, 3, 4, 5, 6, 9)).to_bytes(20, "big").hex()
    noise = chance.randbytes(chance.randint(0, 300))
    slot, value = word(chance.randint(0, 4)), word(chance.choice((0, 0, 1, 2)))
    listed = [{"address": any_place, "storageKeys": ["0x" + word(0).hex(), "0x" + slot.hex()]}]
    yield chance.choice(
        [
            (any_place, noise, {}),
            (any_place, word(7) + noise, {"gas": chance.randint(60_000, 120_000)}),
            (any_place, b"", {"value": chance.randint(0, 5)}),
            (any_place, slot + value, {"accessList": listed}),
            (named[KEEPER], slot + value, {}),
            (named[KEEPER], slot + value, {}),
            (named[COUNTER], b"", {"gas": chance.randint(22_000, 60_000)}),
            (named[LOOP], word(chance.randint(1, 300)), {}),
            (named[MIRROR], b"", {"gas": chance.randint(50_000, 600_000)}),
            (named[MOTHER], chance.choice((BRIEF, creation(COUNTER), noise)), {"value": chance.randint(0, 3)}),
            (named[RELAY], word(any_place) + slot + value, {"value": chance.randint(0, 2)}),
            (named[RELAY], word(named[RELAY]) + word(any_place) + noise, {"gas": chance.randint(60_000, 400_000)}),
            (named[RELAY], word(precompile) + chance.choice((noise, MODEXP)), {}),
            (named[RELAY], word(1) + word(sha256(noise).digest()) + word(27) + word(5) + word(6), {}),
            (None, creation(noise), {}),
            (None, noise, {"gas": chance.randint(100_000, 200_000)}),
            (chance.choice((ADA, BEN)).address, noise, {"authority": granted, "gas": 300_000}),
            (to_text(chance.randbytes(20)), b"", {"value": 1, "gas": 21_000}),
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_varied_transactions_cost_and_do_what_they_do_on_anvil(
    tmp_path: Path, bench: ModuleType, anvil: str, seed: int
) -> None:
    path = tmp_path / "varied.db"
    with EmbeddedLedger.open(path) as ledger:
        varied(ledger, random.Random(seed), 120)
        blocks = [ledger.block(n) for n in range(ledger.block_number() + 1)]
        statuses = [ledger.receipt(h).status for block in blocks for h in block.transactions]
        assert statuses.count(0) > 5, "the transactions must include refused ones"
        assert ledger.verify().transactions == len(statuses)
    count, differences = bench.gas_differences(path, anvil)
    assert differences == []
    assert count == len(statuses) > 120


def test_eels_accepts_every_block_on_its_own_state(tmp_path: Path) -> None:
    ticks = itertools.count(1_700_000_000)
    with EmbeddedLedger.open(tmp_path / "varied.db", clock=lambda: next(ticks)) as ledger:
        varied(ledger, random.Random(9), 60)
        file, last = ledger._file, ledger.block_number()
        state = State()
        for address, account in file.changes_of(0).accounts.items():
            set_account(state, address, account)
        headers = [header for header, _ in file.changes_after(-1)]
        assert state_root(state) == headers[0].state_root
        chain = BlockChain([Block(headers[0], (), (), ())], state, U64(EMBEDDED_CHAIN_ID))
        for header in headers[1:]:
            raws = [Bytes(ledger.transaction(h)) for h in ledger.block(int(header.number)).transactions]
            state_transition(chain, Block(header, tuple(raws), (), ()))
        assert len(chain.blocks) == last + 1 > 10
