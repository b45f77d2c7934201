"""An x402 facilitator in this process: it verifies and settles payments on our ledger.

It settles ``exact`` payments and deposits into channels; vouchers need none, the gateway checks them itself.
``LedgerFacilitatorSigner`` gives the SDK's unchanged EVM schemes the ten operations of its ``FacilitatorEvmSigner``
protocol over the ledger's port. The SDK turns every exception of a simulation into "payment invalid"; a ledger that
cannot be reached is not the buyer's fault, so the first such fault is kept and raised again by ``LedgerFacilitator``.
Source: x402 2.25.0, mechanisms/evm/signer.py and mechanisms/evm/exact/facilitator.py.

>>> facilitator = LedgerFacilitator(ledger, gateway_account)  # doctest: +SKIP
>>> facilitator.verify(payload, requirements).is_valid  # doctest: +SKIP
True
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode as abi_decode
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from rodagila.chain.port import Ledger, Reverted
from rodagila.core.errors import Conflict, RodaError, Unreachable
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.market.prices import network_of
from rodagila.market.settlements import Settlements

if TYPE_CHECKING:
    from x402.mechanisms.evm.types import TransactionReceipt
    from x402.schemas import PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse

NONCE_ATTEMPTS = 5
SETTLEMENT_GAS = 500_000
"""Gas limit of a settlement, the SDK's own: it was simulated moments ago, and an estimate runs it twice more."""

_REASONS = {
    keccak(signature.encode())[:4]: reason
    for signature, reason in (
        ("ERC20InsufficientBalance(address,uint256,uint256)", "transfer amount exceeds balance"),
        ("ERC3009UsedAuthorization(address,bytes32)", "authorization is used"),
        ("ERC3009InvalidAuthorizationTime(uint256,uint256)", "authorization is expired"),
        ("ERC3009InvalidSignature()", "invalid signature"),
    )
}
"""The token's errors in the words by which the SDK tells them apart."""


class LedgerFacilitatorSigner:
    """The SDK's port to a chain, over our ledger; sends one transaction at a time from one account."""

    def __init__(self, ledger: Ledger, account: LocalAccount, settlements: Settlements | None = None) -> None:
        self._ledger = ledger
        self._account = account
        self._settlements = settlements if ledger.confirmations else None
        self._sending = threading.Lock()
        self._local = threading.local()

    def clear_fault(self) -> None:
        """Forget the fault of this thread's last operation."""
        self._local.fault = None

    def fault(self) -> Exception | None:
        """Return the first error of this thread since ``clear_fault`` that was the ledger's, not the payment's."""
        return getattr(self._local, "fault", None)

    def get_addresses(self) -> list[str]:
        """Return the account that sends settlements."""
        return [str(self._account.address)]

    def read_contract(self, address: str, abi: list[dict[str, Any]], function_name: str, *args: Any) -> Any:
        """Run a call as the account that sends, as the SDK's own signer does; a refusal names the token's reason."""
        from x402.mechanisms.evm.multicall import encode_contract_call

        data = encode_contract_call(abi, function_name, *args)
        call = partial(self._ledger.call, sender=str(self._account.address))
        output = self._guarded(call, to_checksum_address(address), data)
        return _decoded(abi, function_name, output)

    def verify_typed_data(
        self,
        address: str,
        domain: Any,
        types: dict[str, Any],
        primary_type: str,
        message: dict[str, Any],
        signature: bytes,
    ) -> bool:
        """Tell whether ``address`` signed, by the SDK's own rule for keys and contracts."""
        from x402.mechanisms.evm.verify import verify_typed_data_strict

        return bool(verify_typed_data_strict(self, address, domain, types, primary_type, message, signature))

    def write_contract(
        self, address: str, abi: list[dict[str, Any]], function_name: str, *args: Any, data_suffix: str | None = None
    ) -> str:
        """Send a contract call and return its transaction's hash."""
        from x402.mechanisms.evm.multicall import encode_contract_call

        data = encode_contract_call(abi, function_name, *args)
        return self.send_transaction(address, data + from_hex(data_suffix or ""))

    def send_transaction(self, to: str, data: bytes, *, gas: int = SETTLEMENT_GAS) -> str:
        """Send a transaction and return its hash once it is durable; takes a new nonce if another took ours."""
        return hex0x(self._guarded(self._send, to_checksum_address(to), data, gas))

    def wait_for_transaction_receipt(self, tx_hash: str) -> TransactionReceipt:
        """Return what the transaction did, with its events as the SDK reads them."""
        from x402.mechanisms.evm.types import TransactionReceipt

        receipt = self._guarded(self._ledger.receipt, from_hex(tx_hash))
        logs = [{"address": entry.address, "topics": list(entry.topics), "data": entry.data} for entry in receipt.logs]
        return TransactionReceipt(receipt.status, receipt.block_number, tx_hash, logs)

    def get_balance(self, address: str, token_address: str) -> int:
        """Return the account's atomic units of a token."""
        from x402.mechanisms.evm.constants import BALANCE_OF_ABI

        return int(self.read_contract(token_address, BALANCE_OF_ABI, "balanceOf", address))

    def get_chain_id(self) -> int:
        """Return the ledger's chain id."""
        return self._ledger.chain_id

    def get_code(self, address: str) -> bytes:
        """Return a contract's code, empty for a key's account."""
        return bytes(self._guarded(self._ledger.code, to_checksum_address(address)))

    def _guarded(self, operation: Any, *args: Any) -> Any:
        try:
            return operation(*args)
        except Reverted as error:
            reason = _REASONS.get(error.data[:4], error.message)
            raise RuntimeError(f"execution reverted: {reason}") from error
        except Exception as error:
            if self.fault() is None:
                self._local.fault = error
            raise

    def _send(self, to: str, data: bytes, gas: int) -> bytes:
        sender = str(self._account.address)
        with self._sending:
            for attempt in range(1, NONCE_ATTEMPTS + 1):
                raw = self._signed(to, data, self._ledger.nonce(sender), gas)
                try:
                    tx_hash = self._ledger.send(raw)
                except Conflict as conflict:
                    # The same key may sign elsewhere in this home, so a nonce can be gone between reading and sending.
                    if conflict.code != "nonce_wrong" or attempt == NONCE_ATTEMPTS:
                        raise
                    continue
                if self._settlements is not None:
                    self._settlements.note(self._ledger.chain_id, raw)
                return tx_hash
        raise AssertionError("unreachable: the loop returns or raises")

    def _signed(self, to: str, data: bytes, nonce: int, gas: int) -> bytes:
        base_fee = self._ledger.base_fee()
        tip = base_fee // 10 + 1
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._ledger.chain_id,
            "nonce": nonce,
            "to": to,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": 2 * base_fee + tip,
            "maxPriorityFeePerGas": tip,
        }
        return bytes(self._account.sign_transaction(transaction).raw_transaction)


class LedgerFacilitator:
    """The SDK's facilitator with its two EVM schemes, called in process."""

    def __init__(self, ledger: Ledger, account: LocalAccount, settlements: Settlements | None = None) -> None:
        from x402.facilitator import x402FacilitatorSync
        from x402.mechanisms.evm.batch_settlement.facilitator import BatchSettlementEvmFacilitator
        from x402.mechanisms.evm.exact.facilitator import ExactEvmScheme

        self.network = network_of(ledger.chain_id)
        self.signer = LedgerFacilitatorSigner(ledger, account, settlements)
        self._facilitator = x402FacilitatorSync()
        self._facilitator.register([self.network], ExactEvmScheme(self.signer))
        self._facilitator.register([self.network], BatchSettlementEvmFacilitator(self.signer))

    def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Tell whether the payment would settle now; raises ``RodaError`` if the ledger could not be asked."""
        self.signer.clear_fault()
        try:
            return self._facilitator.verify(payload, requirements)
        finally:
            self._raise_fault()

    def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettleResponse:
        """Move the money; raises ``RodaError`` if the ledger failed, after which the outcome is unknown."""
        self.signer.clear_fault()
        try:
            return self._facilitator.settle(payload, requirements)
        finally:
            self._raise_fault()

    def _raise_fault(self) -> None:
        fault = self.signer.fault()
        if isinstance(fault, RodaError) and fault.http_status >= 500:
            raise fault
        if fault is not None:
            raise Unreachable(
                "unreachable", f"The ledger failed while a payment was checked ({type(fault).__name__}).",
                hint="Try the same payment again.",
            ) from fault  # fmt: skip


def _decoded(abi: list[dict[str, Any]], function_name: str, output: bytes) -> Any:
    entry = next(item for item in abi if item.get("type") == "function" and item.get("name") == function_name)
    values = abi_decode([_canonical(item) for item in entry.get("outputs", [])], output)
    return values[0] if len(values) == 1 else values


def _canonical(item: dict[str, Any]) -> str:
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_canonical(part) for part in item['components'])}){kind[5:]}"
