"""Payments by channel for tests, made by x402's own client code; what an attacker changes is changed afterwards."""

from __future__ import annotations

import base64
import json
import time
from itertools import count
from typing import Any

import httpx
from eth_account.signers.local import LocalAccount

from gateway_stand import Stand, key
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.predeploys import ERC3009_COLLECTOR
from rodagila.core.hashing import keccak, keccak_abi
from rodagila.market.channels import Channel
from rodagila.market.hub import HUB, ChannelConfig, Hub, voucher_digest

SEARCH = {"model": "docs", "text": "open a file", "k": 2}
PRICE = 1_000
_SALTS = count(10_000)


def ask(http: httpx.Client, header: str | None = None, body: dict[str, Any] | None = None) -> httpx.Response:
    """Make one call."""
    headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
    return http.post("/v1/search", json=body or SEARCH, headers=headers)


def terms_of(response: httpx.Response) -> Any:
    """Return the batch-settlement terms of a 402."""
    from x402.http.utils import decode_payment_required_header

    accepts: Any = decode_payment_required_header(response.headers["PAYMENT-REQUIRED"]).accepts
    return next(terms for terms in accepts if terms.scheme == "batch-settlement")


def salted(number: int) -> str:
    """Return a salt."""
    return "0x" + number.to_bytes(32, "big").hex()


def paid(
    terms: Any,
    account: LocalAccount,
    total: int,
    *,
    salt: int = 0,
    deposit: int | None = None,
    kind: str = "voucher",
    identifier: str | None = None,
    **payload: Any,
) -> str:
    """Return the header of a voucher over ``total``, with a deposit if one is given."""
    from x402.mechanisms.evm.batch_settlement.client.eip3009 import create_batch_settlement_eip3009_deposit_payload
    from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
    from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
    from x402.mechanisms.evm.signers import EthAccountSigner

    config = config_of(terms, account, salt)
    if deposit is None:
        voucher = sign_voucher(
            EthAccountSigner(account), compute_channel_id(config, terms.network), total, terms.network
        )
        body = {"type": kind, "channelConfig": config.to_dict(), "voucher": voucher.to_dict(), **payload}
    else:
        made = create_batch_settlement_eip3009_deposit_payload(
            EthAccountSigner(account), terms, config, str(deposit), str(total)
        )
        body = {**made.to_dict(), **payload}
    return header_of(terms, body, identifier)


def config_of(terms: Any, account: LocalAccount, salt: int = 0) -> Any:
    """Return the channel that x402's client would use."""
    from x402.mechanisms.evm.batch_settlement.types import ChannelConfig

    return ChannelConfig(
        payer=account.address,
        payer_authorizer=account.address,
        receiver=terms.pay_to,
        receiver_authorizer=terms.extra["receiverAuthorizer"],
        token=terms.asset,
        withdraw_delay=terms.extra["withdrawDelay"],
        salt=salted(salt),
    )


def channel_id(terms: Any, account: LocalAccount, salt: int = 0) -> bytes:
    """Return a channel's id."""
    from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id

    return bytes.fromhex(compute_channel_id(config_of(terms, account, salt), terms.network)[2:])


def header_of(terms: Any, payload: dict[str, Any], identifier: str | None = None) -> str:
    """Return the header that carries a payload."""
    body: dict[str, Any] = {"x402Version": 2, "accepted": terms.model_dump(by_alias=True), "payload": payload}
    if identifier is not None:
        body["extensions"] = {"payment-identifier": {"info": {"required": False, "id": identifier}, "schema": {}}}
    return base64.b64encode(json.dumps(body).encode()).decode()


def tampered(header: str, change: Any) -> str:
    """Return the header after ``change`` to its JSON."""
    body = json.loads(base64.b64decode(header))
    change(body)
    return base64.b64encode(json.dumps(body).encode()).decode()


def settled(response: httpx.Response) -> dict[str, Any]:
    """Return what ``PAYMENT-RESPONSE`` says."""
    body: dict[str, Any] = json.loads(base64.b64decode(response.headers["PAYMENT-RESPONSE"]))
    return body


def error_of(response: httpx.Response) -> str:
    """Return x402's reason in a 402."""
    from x402.http.utils import decode_payment_required_header

    return str(decode_payment_required_header(response.headers["PAYMENT-REQUIRED"]).error).removeprefix(
        "invalid_batch_settlement_evm_"
    )


def funded(stand: Stand, name: str, amount: int = 1_000_000) -> LocalAccount:
    """Return an account with pay tokens and gas money."""
    from eth_abi.abi import encode as abi_encode

    account = key(name)
    data = keccak(b"drip(address,uint256)")[:4] + abi_encode(["address", "uint256"], [account.address, amount])
    stand.transact(stand.faucet, stand.token.address, data)
    stand.transact(stand.faucet, account.address, b"", 10**18)
    return account


class Opened:
    """A channel with money on the ledger, whose calls are charged without a gateway."""

    def __init__(self, stand: Stand, payer: Any, treasury: str, deposit: int = 10_000, delay: int = 86_400) -> None:
        self.stand, self.payer = stand, payer
        chain, salt = stand.ledger.chain_id, next(_SALTS)
        self.config = ChannelConfig(
            payer.address, payer.address, treasury, stand.gateway.address, stand.token.address, delay,
            salt.to_bytes(32, "big"),
        )  # fmt: skip
        self.id = self.config.id_on(chain)
        self._bring_in(deposit)
        self.hub = Hub(stand.ledger)
        stand.channels.update_channel(self.id, lambda _: Channel(self.id, self.config).seen(self.hub.state(self.id)))

    def _bring_in(self, amount: int) -> None:
        from x402.mechanisms.evm.batch_settlement.encoding import build_erc3009_collector_data

        until = int(time.time()) + 600
        nonce = keccak_abi(["bytes32", "uint256"], [self.id, 1])
        signed = authorize_receipt(
            self.payer, chain_id=self.stand.ledger.chain_id, token=self.stand.token,
            receiver=ERC3009_COLLECTOR, value=amount, valid_before=until, nonce=nonce,
        )  # fmt: skip
        data = build_erc3009_collector_data("0", str(until), "1", "0x" + signed.signature.hex())
        call = Hub(self.stand.ledger).contract.encode(
            "deposit", self.config.as_tuple(), amount, ERC3009_COLLECTOR, data
        )
        self.stand.transact(self.stand.faucet, HUB, call)

    def charge(self, amount: int, now: int = 1_800_000_000) -> None:
        def charged(one: Channel | None) -> Channel:
            assert one is not None
            total = one.charged + amount
            digest = voucher_digest(self.stand.ledger.chain_id, self.id, total)
            return one.charge(amount, total, bytes(self.payer.unsafe_sign_hash(digest).signature), now)

        self.stand.channels.update_channel(self.id, charged)

    @property
    def now(self) -> Channel:
        found = self.stand.channels.get(self.id)
        assert found is not None
        return found
