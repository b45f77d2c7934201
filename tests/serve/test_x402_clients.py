"""x402's own Python clients, unmodified, against the gateway; wallets that are contracts; deposits through Permit2."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import httpx
import pytest
from eth_abi.abi import encode as abi_encode

from channel_stand import PRICE, SEARCH, ask, channel_id, config_of, error_of, funded, header_of, settled, terms_of
from gateway_stand import Stand, WordModel
from rodagila.chain.predeploys import PERMIT2
from rodagila.core.hashing import keccak

SALTS = count(1_000)


class LedgerSigner:
    """x402's signer for an eth-account key, with the reads of contracts that its RPC signer has."""

    def __init__(self, stand: Stand, account: Any) -> None:
        from x402.mechanisms.evm.signers import EthAccountSigner

        self._signer, self._stand = EthAccountSigner(account), stand
        self.address = self._signer.address

    def sign_typed_data(self, *args: Any, **named: Any) -> Any:
        return self._signer.sign_typed_data(*args, **named)

    def read_contract(self, address: str, abi: Any, name: str, *args: Any) -> Any:
        plain = [bytes.fromhex(one[2:]) if isinstance(one, str) and len(one) == 66 else one for one in args]
        return self._stand.paywall.facilitator.signer.read_contract(address, abi, name, *plain)


def scheme(stand: Stand, salt: int, storage: Any = None) -> Any:
    """Return x402's client side of the scheme for the stand's buyer."""
    from x402.mechanisms.evm.batch_settlement.client import BatchSettlementEvmScheme, BatchSettlementEvmSchemeOptions

    options = BatchSettlementEvmSchemeOptions(salt="0x" + salt.to_bytes(32, "big").hex(), storage=storage)
    return BatchSettlementEvmScheme(LedgerSigner(stand, stand.buyer), options)


def controls(stand: Stand) -> dict[str, Any]:
    """Return what a buyer must set, because x402's clients refuse unknown tokens."""
    asset = {"network": stand.network, "asset": stand.token.address, "max_amount_per_payment": "5000"}
    return {"allowed_assets": [asset]}


def test_the_asynchronous_client_pays_by_channel_and_takes_the_rest_back(
    stand: Stand, url: str, model: WordModel
) -> None:
    from x402 import x402Client
    from x402.http.clients.httpx import x402AsyncTransport

    ours = scheme(stand, next(SALTS))
    client = x402Client()
    client.register(stand.network, ours)
    client.set_spend_controls(controls(stand))
    before = stand.balance(stand.buyer.address)

    async def use() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, transport=x402AsyncTransport(client)) as http:
            return [await http.post("/v1/search", json={**SEARCH, "k": 1 + k % 4}) for k in range(12)]

    responses = asyncio.run(use())
    assert [response.status_code for response in responses] == [200] * 12
    assert ours.refund(url + "/v1/channels/docs").amount == "8000"
    assert before - stand.balance(stand.buyer.address) == 12 * PRICE
    assert model.calls == 12


def test_the_synchronous_client_pays_by_channel(stand: Stand, url: str, model: WordModel) -> None:
    requests = pytest.importorskip("requests")
    from x402 import x402ClientSync
    from x402.http.clients.requests import wrapRequestsWithPayment

    client = x402ClientSync()
    client.register(stand.network, scheme(stand, next(SALTS)))
    client.set_spend_controls(controls(stand))
    with wrapRequestsWithPayment(requests.Session(), client) as session:
        statuses = [session.post(url + "/v1/search", json={**SEARCH, "k": k}).status_code for k in (1, 2, 3)]
    assert statuses == [200] * 3
    assert model.calls == 3


def test_a_client_that_lost_its_state_is_brought_back_by_the_gateway(stand: Stand, url: str, model: WordModel) -> None:
    from x402 import x402Client
    from x402.http.clients.httpx import x402AsyncTransport

    salt = next(SALTS)

    async def call(k: int) -> httpx.Response:
        client = x402Client()
        client.register(stand.network, scheme(stand, salt))  # a new process: nothing is remembered
        client.set_spend_controls(controls(stand))
        async with httpx.AsyncClient(base_url=url, transport=x402AsyncTransport(client)) as http:
            return await http.post("/v1/search", json={**SEARCH, "k": k})

    before = stand.balance(stand.buyer.address)
    assert [asyncio.run(call(k)).status_code for k in (1, 2, 3)] == [200] * 3
    assert before - stand.balance(stand.buyer.address) == 10_000  # one deposit
    assert model.calls == 3


def test_a_deposit_through_permit2_pays(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    pytest.importorskip("jsonschema", reason="x402 imports all its extensions for Permit2, and they need jsonschema")
    from x402.mechanisms.evm.batch_settlement.client.permit2 import create_batch_settlement_permit2_deposit_payload
    from x402.mechanisms.evm.signers import EthAccountSigner

    buyer = funded(stand, "permit2 buyer")
    terms: Any = terms_of(ask(http))
    terms.extra["assetTransferMethod"] = "permit2"
    config = config_of(terms, buyer)
    signer = EthAccountSigner(buyer)

    def header(total: int, amount: int) -> str:
        made = create_batch_settlement_permit2_deposit_payload(signer, terms, config, str(amount), str(total))
        return header_of(terms, made.to_dict())

    unapproved = ask(http, header(PRICE, 10_000))
    assert unapproved.status_code == 402
    assert model.calls == 0
    approve = keccak(b"approve(address,uint256)")[:4] + abi_encode(["address", "uint256"], [PERMIT2, 2**256 - 1])
    stand.transact(buyer, stand.token.address, approve)
    first = header(PRICE, 10_000)
    response = ask(http, first)
    assert response.status_code == 200, response.text
    assert settled(response)["amount"] == "10000"
    assert ask(http, first).content == response.content
    assert model.calls == 1
    scheme = stand.paywall.vouchers
    assert scheme is not None
    assert scheme.hub.state(channel_id(terms, buyer)).balance == 10_000


def wallet_code(owner: str) -> bytes:
    """Return init code of a wallet whose ``isValidSignature`` (ERC-1271) accepts its owner's key."""
    program = bytes.fromhex(
        "600435600052"  # the digest
        "60a43560f81c602052"  # v
        "606435604052"  # r
        "608435606052"  # s
        "60206000608060006001" "5afa50"  # ecrecover into word 0
        "60005173" + owner[2:] + "14"  # is it the owner?
        "603f57" "60006000526020" "6000f3" "5b"  # no: zero
        "631626ba7e60e01b60005260206000f3"  # yes: the magic value
    )  # fmt: skip
    place = program.index(b"\x5b")
    program = program.replace(b"\x60\x3f\x57", bytes([0x60, place, 0x57]))
    size = len(program)
    return bytes([0x60, size, 0x60, 0x0B, 0x5F, 0x39, 0x60, size, 0x5F, 0xF3, 0x00]) + program


class WalletSigner:
    """x402's signer of a wallet that is a contract: its owner's key signs, its address is the contract's.

    ``more`` follows the key's signature: by ``exact`` x402 sends what has 65 bytes as a key's, whoever the payer is.
    """

    def __init__(self, address: str, owner: Any, more: bytes = b"") -> None:
        from x402.mechanisms.evm.signers import EthAccountSigner

        self.address, self._owner, self._more = address, EthAccountSigner(owner), more

    def sign_typed_data(self, *args: Any, **named: Any) -> Any:
        return self._owner.sign_typed_data(*args, **named) + self._more


@pytest.fixture(scope="module")
def wallet(stand: Stand) -> tuple[str, Any]:
    """A contract with pay tokens and its owner."""
    owner = funded(stand, "wallet owner")
    receipt = stand.transact(owner, None, wallet_code(owner.address))
    address = str(receipt.contract_address)
    drip = keccak(b"drip(address,uint256)")[:4] + abi_encode(["address", "uint256"], [address, 100_000])
    stand.transact(stand.faucet, stand.token.address, drip)
    return address, owner


def test_a_wallet_that_is_a_contract_pays_by_channel(
    stand: Stand, http: httpx.Client, wallet: tuple[str, Any], model: WordModel
) -> None:
    from dataclasses import replace

    from x402.mechanisms.evm.batch_settlement.client.eip3009 import create_batch_settlement_eip3009_deposit_payload
    from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
    from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id

    address, owner = wallet
    terms = terms_of(ask(http))
    config = replace(config_of(terms, owner), payer=address, payer_authorizer="0x" + "00" * 20)
    signer: Any = WalletSigner(address, owner)
    made = create_batch_settlement_eip3009_deposit_payload(signer, terms, config, "10000", str(PRICE))
    first = ask(http, header_of(terms, made.to_dict()))
    assert first.status_code == 200, first.text

    def voucher(total: int, key: Any) -> str:
        id_here = compute_channel_id(config, terms.network)
        signed = sign_voucher(WalletSigner(address, key), id_here, total, terms.network)
        return header_of(terms, {"type": "voucher", "channelConfig": config.to_dict(), "voucher": signed.to_dict()})

    assert error_of(ask(http, voucher(2 * PRICE, stand.poor))) == "voucher_signature"
    assert ask(http, voucher(2 * PRICE, owner)).status_code == 200
    assert model.calls == 2
    claimer, before = stand.paywall.claimer, stand.balance(stand.treasuries["docs"])
    assert claimer is not None
    claimer.flush([stand.treasuries["docs"]])
    assert stand.balance(stand.treasuries["docs"]) - before >= 2 * PRICE
    scheme = stand.paywall.vouchers
    assert scheme is not None
    id = bytes.fromhex(compute_channel_id(config, terms.network)[2:])
    assert scheme.hub.state(id).claimed == 2 * PRICE


def test_a_wallet_that_is_a_contract_pays_by_exact(
    stand: Stand, http: httpx.Client, wallet: tuple[str, Any], model: WordModel
) -> None:
    from x402 import x402ClientSync
    from x402.http.utils import decode_payment_required_header, encode_payment_signature_header
    from x402.mechanisms.evm.exact.register import register_exact_evm_client

    address, owner = wallet
    client = x402ClientSync()
    signer: Any = WalletSigner(address, owner, b"\x01")
    register_exact_evm_client(client, signer)
    client.set_spend_controls(False)
    required: Any = decode_payment_required_header(ask(http).headers["PAYMENT-REQUIRED"])
    payload = client.create_payment_payload(required.model_copy(update={"accepts": required.accepts[:1]}))
    before = stand.balance(address)
    response = ask(http, encode_payment_signature_header(payload))
    assert response.status_code == 200, response.text
    assert before - stand.balance(address) == PRICE
