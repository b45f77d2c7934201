"""The channels' contracts against x402's own code: its ABI constants, its digests, its facilitator, all unmodified."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from clocks import SetForwardClock

with warnings.catch_warnings():
    # web3, which x402's EVM schemes import, still imports a module that websockets has deprecated.
    warnings.filterwarnings("ignore", "websockets.legacy is deprecated", DeprecationWarning)
    from x402.mechanisms.evm import constants as evm
    from x402.mechanisms.evm.batch_settlement import constants as batch
    from x402.mechanisms.evm.batch_settlement.abi import BATCH_SETTLEMENT_ABI
    from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
    from x402.mechanisms.evm.batch_settlement.client.eip3009 import create_batch_settlement_eip3009_deposit_payload
    from x402.mechanisms.evm.batch_settlement.client.permit2 import create_batch_settlement_permit2_deposit_payload
    from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
    from x402.mechanisms.evm.batch_settlement.facilitator import BatchSettlementEvmFacilitator
    from x402.mechanisms.evm.batch_settlement.types import (
        ChannelConfig,
        ClaimPayload,
        EnrichedRefundPayload,
        SettlePayload,
        VoucherClaim,
        VoucherPayload,
    )
    from x402.mechanisms.evm.batch_settlement.utils import (
        compute_channel_id,
        get_batch_settlement_eip712_domain,
    )
    from x402.mechanisms.evm.signers import EthAccountSigner
    from x402.mechanisms.evm.types import TypedDataField
    from x402.mechanisms.evm.upto.client import UptoEvmScheme as UptoClient
    from x402.mechanisms.evm.upto.facilitator import UptoEvmScheme as UptoFacilitator
    from x402.schemas import PaymentPayload, PaymentRequirements, SettleResponse

from rodagila.chain import predeploys
from rodagila.chain.abi import load_artifact
from rodagila.chain.contracts import Contract, ContractRefused, deploy, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import ZERO_ADDRESS
from rodagila.core.hashing import from_hex, keccak
from rodagila.market.facilitator import LedgerFacilitatorSigner
from rodagila.market.prices import network_of

# The SDK imports all of its extensions at once for a payment through Permit2, and one of them needs this library.
through_permit2 = pytest.mark.skipif(find_spec("jsonschema") is None, reason="x402's extensions need jsonschema")


def key(name: str) -> LocalAccount:
    """Return a test account that its name determines."""
    account: LocalAccount = Account.from_key(keccak(f"channels {name}".encode()))
    return account


PAYER, VOUCHERS, RECEIVER, AUTHORIZER, RELAY = (key(one) for one in ("payer", "vouchers", "to", "authorizer", "relay"))
DELAY = 900


@dataclass(frozen=True, slots=True)
class World:
    """An embedded ledger with the contracts at their addresses, money at the payer and x402's facilitator."""

    ledger: EmbeddedLedger
    token: Contract
    hub: Contract
    facilitator: BatchSettlementEvmFacilitator
    clock: SetForwardClock

    @property
    def network(self) -> str:
        return network_of(self.ledger.chain_id)

    def channel(self, **other: Any) -> ChannelConfig:
        config = ChannelConfig(
            payer=PAYER.address,
            payer_authorizer=VOUCHERS.address,
            receiver=RECEIVER.address,
            receiver_authorizer=AUTHORIZER.address,
            token=self.token.address,
            withdraw_delay=DELAY,
            salt="0x" + bytes(32).hex(),
        )
        return replace(config, **other)

    def terms(self, **extra: Any) -> PaymentRequirements:
        return PaymentRequirements(
            scheme=batch.SCHEME_BATCH_SETTLEMENT,
            network=self.network,
            asset=self.token.address,
            amount="1000",
            pay_to=RECEIVER.address,
            max_timeout_seconds=600,
            extra={
                "receiverAuthorizer": AUTHORIZER.address,
                "withdrawDelay": DELAY,
                "name": "Roda Pay",
                "version": "1",
                **extra,
            },
        )

    def settle(self, payload: Any, extensions: dict[str, Any] | None = None, **extra: Any) -> SettleResponse:
        terms = self.terms(**extra)
        body = PaymentPayload(x402_version=2, accepted=terms, payload=payload.to_dict(), extensions=extensions)
        return self.facilitator.settle(body, terms)

    def voucher(self, config: ChannelConfig, most: int, signer: LocalAccount = VOUCHERS) -> VoucherClaim:
        signed = sign_voucher(EthAccountSigner(signer), compute_channel_id(config, self.network), most, self.network)
        return VoucherClaim(config, str(most), signed.signature, str(most))

    def deposit(
        self, config: ChannelConfig, amount: int, payer: LocalAccount = PAYER, vouchers: LocalAccount = VOUCHERS
    ) -> SettleResponse:
        payload = create_batch_settlement_eip3009_deposit_payload(
            EthAccountSigner(payer), self.terms(), config, amount, 1000, EthAccountSigner(vouchers)
        )
        return self.settle(payload)

    def id_of(self, config: ChannelConfig) -> bytes:
        return from_hex(compute_channel_id(config, self.network))

    def balance(self, address: str) -> int:
        return int(self.token.call("balanceOf", address))


def predeployed(ledger: EmbeddedLedger, address: str) -> Contract:
    """Return the contract that stands at one of the known addresses."""
    return Contract(ledger, address, load_artifact(predeploys.PREDEPLOYS[address]))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock, code = SetForwardClock(), predeploys.predeployed_code()
    with EmbeddedLedger.open(tmp_path / "ledger.db", clock=clock, genesis_code=code) as ledger:
        for account in (PAYER, RELAY):
            send_wei(ledger, ledger.faucet, account.address, 10**20)
        token = deploy(ledger, ledger.faucet, "PayToken", ledger.faucet.address)
        token.transact(ledger.faucet, "drip", PAYER.address, 10_000_000)
        facilitator = BatchSettlementEvmFacilitator(
            LedgerFacilitatorSigner(ledger, RELAY), LocalAuthorizerSigner(AUTHORIZER)
        )
        yield World(ledger, token, predeployed(ledger, predeploys.CHANNELS), facilitator, clock)


def canonical(item: dict[str, Any]) -> str:
    """Return an ABI type as signatures spell it."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(canonical(part) for part in item['components'])}){kind[5:]}"


def arguments(config: ChannelConfig) -> tuple[Any, ...]:
    """Return a channel as the contract takes it."""
    return (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
        config.withdraw_delay,
        from_hex(config.salt),
    )


def row(claim: VoucherClaim) -> tuple[Any, ...]:
    """Return a claim as the contract takes it."""
    voucher = (arguments(claim.channel), int(claim.max_claimable_amount))
    return (voucher, from_hex(claim.signature), int(claim.total_claimed))


def claims_of(*claims: VoucherClaim) -> ClaimPayload:
    """Return the settle action that claims these vouchers."""
    payload = ClaimPayload()
    payload.claims = list(claims)
    return payload


def digest(chain_id: int, types: dict[str, Any], message: dict[str, Any]) -> bytes:
    """Return the EIP-712 digest that an x402 client signs."""
    signable = encode_typed_data(get_batch_settlement_eip712_domain(chain_id), types, message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def test_every_function_and_event_of_the_sdk_is_the_contract_s() -> None:
    artifact = load_artifact("Channels")
    functions = {entry["name"]: entry for entry in BATCH_SETTLEMENT_ABI if entry["type"] == "function"}
    assert len(functions) == 17
    for name, entry in functions.items():
        signature = f"{name}({','.join(canonical(part) for part in entry['inputs'])})"
        ours = artifact.functions[signature]
        assert [part.canonical for part in ours.outputs] == [canonical(part) for part in entry["outputs"]], name
        assert [part.name for part in ours.inputs] == [part["name"] for part in entry["inputs"]], name
    (event,) = (entry for entry in BATCH_SETTLEMENT_ABI if entry["type"] == "event")
    ours = artifact.events[event["name"]]
    assert [(part.name, part.kind, part.indexed) for part in ours.inputs] == [
        (part["name"], part["type"], part["indexed"]) for part in event["inputs"]
    ]


def test_the_addresses_and_bounds_are_the_sdk_s() -> None:
    assert predeploys.CHANNELS == batch.BATCH_SETTLEMENT_ADDRESS
    assert predeploys.ERC3009_COLLECTOR == batch.ERC3009_DEPOSIT_COLLECTOR_ADDRESS
    assert predeploys.PERMIT2_COLLECTOR == batch.PERMIT2_DEPOSIT_COLLECTOR_ADDRESS
    assert predeploys.UPTO_PROXY == evm.X402_UPTO_PERMIT2_PROXY_ADDRESS
    assert predeploys.PERMIT2 == evm.PERMIT2_ADDRESS
    assert predeploys.MULTICALL3 == evm.MULTICALL3_ADDRESS
    (reads,) = evm.MULTICALL3_TRY_AGGREGATE_ABI
    assert f"{reads['name']}({','.join(canonical(part) for part in reads['inputs'])})" in (
        load_artifact("Multicall3").functions
    )
    for abi in (evm.X402_UPTO_PERMIT2_PROXY_ABI, evm.X402_UPTO_PERMIT2_PROXY_SETTLE_WITH_PERMIT_ABI):
        (entry,) = abi
        signature = f"{entry['name']}({','.join(canonical(part) for part in entry['inputs'])})"
        assert signature in load_artifact("UptoProxy").functions


def test_the_contract_s_digests_are_those_that_clients_sign(world: World) -> None:
    hub, chain_id = world.hub, world.ledger.chain_id
    config = world.channel(salt="0x" + keccak(b"salt").hex())
    channel_id = from_hex(compute_channel_id(config, chain_id))
    assert hub.call("getChannelId", arguments(config)) == channel_id
    voucher = {"channelId": channel_id, "maxClaimableAmount": 7}
    assert hub.call("getVoucherDigest", channel_id, 7) == digest(chain_id, batch.VOUCHER_TYPES, voucher)
    refund = {"channelId": channel_id, "nonce": 3, "amount": 5}
    assert hub.call("getRefundDigest", channel_id, 3, 5) == digest(chain_id, batch.REFUND_TYPES, refund)
    for count in (1, 3):
        rows = [world.voucher(world.channel(salt=f"0x{i:064x}"), 10 + i) for i in range(count)]
        entries = [
            {
                "channelId": from_hex(compute_channel_id(one.channel, chain_id)),
                "maxClaimableAmount": int(one.max_claimable_amount),
                "totalClaimed": int(one.total_claimed),
            }
            for one in rows
        ]
        assert hub.call("getClaimBatchDigest", [row(one) for one in rows]) == digest(
            chain_id, batch.CLAIM_BATCH_TYPES, {"claims": entries}
        )
    domain = get_batch_settlement_eip712_domain(chain_id)
    assert hub.call("eip712Domain")[1:5] == tuple(domain.values())


def test_x402_s_facilitator_deposits_claims_settles_and_refunds(world: World) -> None:
    config = world.channel()
    channel_id = from_hex(compute_channel_id(config, world.network))
    deposited = world.deposit(config, 50_000)
    assert deposited.success, deposited.error_message
    assert deposited.extra is not None
    assert deposited.extra["channelState"]["balance"] == "50000"
    assert world.balance(world.hub.address) == 50_000

    voucher = world.voucher(config, 3_000)
    terms = world.terms()
    paid = VoucherPayload()
    paid.channel_config = config
    paid.voucher = sign_voucher(EthAccountSigner(VOUCHERS), "0x" + channel_id.hex(), 3_000, world.network)
    checked = world.facilitator.verify(PaymentPayload(x402_version=2, accepted=terms, payload=paid.to_dict()), terms)
    assert checked.is_valid, checked.invalid_reason

    claimed = world.settle(claims_of(voucher))
    assert claimed.success, claimed.error_message
    assert world.hub.call("channels", channel_id) == (50_000, 3_000)
    again = world.settle(claims_of(voucher))
    assert again.success
    assert world.hub.call("receivers", RECEIVER.address, world.token.address) == (3_000, 0)

    sweep = SettlePayload()
    sweep.receiver, sweep.token = RECEIVER.address, world.token.address
    assert world.settle(sweep).success
    assert world.balance(RECEIVER.address) == 3_000
    nothing = world.settle(sweep)
    assert nothing.error_reason == "invalid_batch_settlement_evm_nothing_to_settle"

    back = EnrichedRefundPayload()
    back.channel_config, back.voucher = config, paid.voucher
    back.amount, back.refund_nonce = "40000", "0"
    back.claims = [world.voucher(config, 4_000)]
    refunded = world.settle(back)
    assert refunded.success, refunded.error_message
    assert refunded.amount == "40000"
    assert world.hub.call("channels", channel_id) == (10_000, 4_000)
    assert world.hub.call("refundNonce", channel_id) == 1
    assert world.balance(PAYER.address) == 10_000_000 - 10_000
    assert world.balance(world.hub.address) == 10_000 - 3_000


def by_permit2(world: World, config: ChannelConfig, amount: int) -> Any:
    """Return a client's deposit through Permit2."""
    return create_batch_settlement_permit2_deposit_payload(
        EthAccountSigner(PAYER), world.terms(), config, amount, 1000, EthAccountSigner(VOUCHERS)
    )


@through_permit2
def test_x402_s_facilitator_deposits_through_permit2(world: World) -> None:
    config = world.channel()
    permit2 = {"assetTransferMethod": "permit2"}
    refused = world.settle(by_permit2(world, config, 20_000), **permit2)
    assert refused.error_reason == "invalid_batch_settlement_evm_permit2_allowance_required"
    world.token.transact(PAYER, "approve", predeploys.PERMIT2, 10**18)
    deposit = by_permit2(world, config, 20_000)
    deposited = world.settle(deposit, **permit2)
    assert deposited.success, deposited.error_message
    assert world.hub.call("channels", world.id_of(config)) == (20_000, 0)
    again = world.settle(deposit, **permit2)
    assert again.error_reason == "invalid_batch_settlement_evm_deposit_simulation_failed"
    assert world.balance(world.hub.address) == 20_000


@through_permit2
def test_a_permit_of_the_token_saves_the_payer_the_approval(world: World) -> None:
    config, deadline = world.channel(), int(time.time()) + 600
    name, domain = (
        "Permit",
        {
            "name": "Roda Pay",
            "version": "1",
            "chainId": world.ledger.chain_id,
            "verifyingContract": world.token.address,
        },
    )
    message = {
        "owner": PAYER.address,
        "spender": predeploys.PERMIT2,
        "value": 20_000,
        "nonce": 0,
        "deadline": deadline,
    }
    types = {
        kind: [TypedDataField(field["name"], field["type"]) for field in fields]
        for kind, fields in evm.EIP2612_PERMIT_TYPES.items()
    }
    signature = EthAccountSigner(PAYER).sign_typed_data(domain, types, name, message)  # type: ignore[arg-type]
    info = {
        "from": PAYER.address,
        "asset": world.token.address,
        "spender": predeploys.PERMIT2,
        "amount": "20000",
        "nonce": "0",
        "deadline": str(deadline),
        "signature": "0x" + signature.hex(),
        "version": "1",
    }
    sponsored = {"eip2612GasSponsoring": {"info": info}}
    deposited = world.settle(by_permit2(world, config, 20_000), sponsored, assetTransferMethod="permit2")
    assert deposited.success, deposited.error_message
    assert world.hub.call("channels", world.id_of(config)) == (20_000, 0)
    assert world.token.call("allowance", PAYER.address, predeploys.PERMIT2) == 0


@through_permit2
def test_x402_s_upto_scheme_settles_what_a_call_came_to(world: World) -> None:
    world.token.transact(PAYER, "approve", predeploys.PERMIT2, 10**18)
    facilitator = UptoFacilitator(LedgerFacilitatorSigner(world.ledger, RELAY))
    terms = PaymentRequirements(
        scheme="upto",
        network=world.network,
        asset=world.token.address,
        amount="5000",
        pay_to=RECEIVER.address,
        max_timeout_seconds=600,
        extra={"name": "Roda Pay", "version": "1", "facilitatorAddress": RELAY.address},
    )
    payload = UptoClient(PAYER).create_payment_payload(terms)
    payment = PaymentPayload(x402_version=2, accepted=terms, payload=payload)
    verified = facilitator.verify(payment, terms)
    assert verified.is_valid, verified.invalid_reason
    too_much = facilitator.settle(payment, terms.model_copy(update={"amount": "5001"}))
    assert not too_much.success
    settled = facilitator.settle(payment, terms.model_copy(update={"amount": "1200"}))
    assert settled.success, settled.error_reason
    assert world.balance(RECEIVER.address) == 1200
    again = facilitator.settle(payment, terms.model_copy(update={"amount": "1"}))
    assert not again.success
    assert world.balance(RECEIVER.address) == 1200


def test_an_announced_exit_is_seen_by_x402_and_ends_after_the_delay(world: World) -> None:
    config = world.channel()
    world.deposit(config, 50_000)
    world.hub.transact(PAYER, "initiateWithdraw", arguments(config), 50_000)
    voucher, terms = VoucherPayload(), world.terms()
    voucher.channel_config = config
    voucher.voucher = sign_voucher(
        EthAccountSigner(VOUCHERS), compute_channel_id(config, world.network), 3_000, world.network
    )
    checked = world.facilitator.verify(PaymentPayload(x402_version=2, accepted=terms, payload=voucher.to_dict()), terms)
    assert checked.is_valid
    assert checked.extra is not None
    assert checked.extra["withdrawRequestedAt"] > 0
    assert world.settle(claims_of(world.voucher(config, 3_000))).success
    with pytest.raises(ContractRefused, match="withdraw delay has not passed"):
        world.hub.transact(PAYER, "finalizeWithdraw", arguments(config))
    world.clock.ahead += DELAY
    world.hub.transact(PAYER, "finalizeWithdraw", arguments(config))
    assert world.hub.call("channels", world.id_of(config)) == (3_000, 3_000)
    assert world.balance(PAYER.address) == 10_000_000 - 3_000
    late = world.settle(claims_of(world.voucher(config, 4_000)))
    assert late.error_reason == "invalid_batch_settlement_evm_claim_simulation_failed"


def test_what_each_payer_paid_a_treasury_is_told_by_events(world: World) -> None:
    other = key("other payer")
    world.token.transact(world.ledger.faucet, "drip", other.address, 10_000)
    first, second = world.channel(), world.channel(payer=other.address, payer_authorizer=ZERO_ADDRESS)
    assert world.deposit(first, 50_000).success
    assert world.deposit(second, 9_000, other, other).success
    assert world.settle(claims_of(world.voucher(first, 1_000), world.voucher(second, 2_000, other))).success
    assert world.settle(claims_of(world.voucher(first, 5_000))).success
    paid: dict[str, int] = {}
    for event in world.hub.events("Claimed", where={"receiver": RECEIVER.address}):
        assert event["token"] == world.token.address
        paid[event["payer"]] = paid.get(event["payer"], 0) + event["amount"]
    assert paid == {PAYER.address: 5_000, other.address: 2_000}
    (created, _) = world.hub.events("ChannelCreated")
    assert tuple(created["config"]) == arguments(first)
