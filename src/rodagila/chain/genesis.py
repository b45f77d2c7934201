"""What exists before the first transaction: the faucet, Prague's system contracts and the caller's predeploys.

The system contracts stand at the addresses and hold the runtime code that their proposals give (EIP-4788, EIP-2935,
EIP-7002, EIP-7251); a test recovers each address from the proposal's own presigned deployment transaction.

>>> genesis_accounts({})[Address(HISTORY_STORAGE)].nonce
Uint(1)
"""

from __future__ import annotations

from collections.abc import Mapping

from eth_account import Account as Wallet
from eth_account.signers.local import LocalAccount
from ethereum.forks.prague.fork_types import Account, Address
from ethereum_types.bytes import Bytes
from ethereum_types.numeric import U256, Uint

from rodagila.chain.trie import keccak256

FAUCET_KEY = keccak256(b"rodagila embedded faucet")
"""The faucet's private key. Everybody knows it: it has worth on an embedded ledger only, which nobody else reads."""

FAUCET_WEI = 10**27

BEACON_ROOTS = bytes.fromhex("000F3df6D732807Ef1319fB7B8bB8522d0Beac02")
HISTORY_STORAGE = bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935")
WITHDRAWAL_REQUESTS = bytes.fromhex("00000961Ef480Eb55e80D19ad83579A64c007002")
CONSOLIDATION_REQUESTS = bytes.fromhex("0000BBdDc7CE488642fb579F8B00f3a590007251")

_BEACON_ROOTS_CODE = (
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff8106"
    "90815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
_HISTORY_STORAGE_CODE = (
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff814303"
    "11604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
_WITHDRAWAL_REQUESTS_CODE = (
    "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffff146101f457600182026001905f5b5f821115606857810190830284830290049160010191"
    "90604d565b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f45760015460010160"
    "0155600354806003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa060010160"
    "0355005b6003546002548082038060101160df575060105b5f5b8181146101835782810160030260040181604c0281546060"
    "1b8152601401816001015481526020019060020154807fffffffffffffffffffffffffffffffff0000000000000000000000"
    "0000000000168252906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c8160"
    "0401538160181c81600301538160101c81600201538160081c81600101535360010160e1565b910180921461019557906002"
    "556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff3"
    "5b5f5ffd"
)
_CONSOLIDATION_REQUESTS_CODE = (
    "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffff1461019a57600182026001905f5b5f821115606857810190830284830290049160010191"
    "90604d565b9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a5760015460010160"
    "0155600354806004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f601437"
    "60745fa0600101600355005b6003546002548082038060021160e7575060025b5f5b81811461012957828101600402600401"
    "81607402815460601b815260140181600101548152602001816002015481526020019060030154905260010160e9565b9101"
    "80921461013b5790600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f"
    "555f6001556074025ff35b5f5ffd"
)

SYSTEM_CODE: Mapping[bytes, bytes] = {
    BEACON_ROOTS: bytes.fromhex(_BEACON_ROOTS_CODE),
    HISTORY_STORAGE: bytes.fromhex(_HISTORY_STORAGE_CODE),
    WITHDRAWAL_REQUESTS: bytes.fromhex(_WITHDRAWAL_REQUESTS_CODE),
    CONSOLIDATION_REQUESTS: bytes.fromhex(_CONSOLIDATION_REQUESTS_CODE),
}


def faucet_account() -> LocalAccount:
    """Return the account that holds the embedded ledger's first wei; its key is public knowledge."""
    wallet: LocalAccount = Wallet.from_key(FAUCET_KEY)
    return wallet


def genesis_accounts(predeploys: Mapping[bytes, bytes]) -> dict[Address, Account]:
    """Return the accounts of block 0; ``predeploys`` maps 20-byte addresses to runtime code."""
    code = {**predeploys, **SYSTEM_CODE}
    accounts = {
        Address(address): Account(nonce=Uint(1), balance=U256(0), code=Bytes(body)) for address, body in code.items()
    }
    rich = Address(bytes.fromhex(faucet_account().address[2:]))
    accounts[rich] = Account(nonce=Uint(0), balance=U256(FAUCET_WEI), code=Bytes(b""))
    return accounts
