"""The escrow's jobs and what is signed about them, computed off the ledger as the contracts compute it.

A batch of tasks is a job whose provider is the contract ``TaskPay``: evaluators whom the job names sign an acceptance
for the escrow and, for ``TaskPay``, the root of the responses and the root of the pay.

    job id = keccak(abi.encode(chain id, escrow, job))
    pay leaf = (uint256 chain id, address task pay, bytes32 batch, address account, uint256 amount)

>>> panel_hash(1, ["0x" + "11" * 20]).hex()[:8]
'e0c7a998'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_account.signers.local import LocalAccount

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import ZERO_HASH, from_hex, hex0x, keccak, keccak_abi
from rodagila.core.typed_data import Struct, domain_separator, sign_digest

PANEL = 1
FUNDED, CLOSED_STAGE = 1, 4
JOB_TYPE = "(address,address,address,uint96,uint64,uint64,uint32,uint8,bytes32,bytes32,bytes32,uint256)"
PAY_TYPES = ["uint256", "address", "bytes32", "address", "uint256"]
_ACCEPTANCE = keccak(b"Acceptance(bytes32[] jobs,uint96[] cumulatives,uint64 expiry)")


def _struct(name: str, *fields: tuple[str, str]) -> Struct:
    return Struct(name, {name: [{"type": kind, "name": field} for kind, field in fields]})


_COMMITMENTS = _struct("Commitments", ("bytes32", "job"), ("bytes32", "root"), ("uint32", "responses"))
_SETTLEMENT = _struct(
    "Settlement", ("bytes32", "job"), ("bytes32", "root"), ("uint96", "paid"), ("bytes32", "publicHash")
)


@dataclass(frozen=True, slots=True)
class Job:
    """What buyer and provider agreed, field by field as the escrow takes it; a panel accepts it."""

    buyer: str
    provider: str
    token: str
    amount: int
    deadline: int
    window: int
    units: int
    kind: int
    predicate: bytes
    split_key: bytes
    subject: bytes
    nonce: int

    def as_tuple(self) -> tuple[Any, ...]:
        """Return the struct for a call."""
        return astuple(self)

    def job_id(self, chain_id: int, escrow: str) -> bytes:
        """Return the id under which the escrow keeps it."""
        return keccak_abi(["uint256", "address", JOB_TYPE], [chain_id, escrow, self.as_tuple()])

    def as_json(self) -> dict[str, str]:
        """Return a JSON object of texts: integers in decimal, bytes in hex."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: hex0x(value) if isinstance(value, bytes) else str(value) for name, value in values.items()}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Job:
        """Return the job of ``as_json``'s object; raises ``InvalidInput`` batch_file_invalid."""
        kinds: dict[str, Any] = {"int": int, "str": str, "bytes": from_hex}
        try:
            fields = cls.__dataclass_fields__
            if set(body) != set(fields):
                raise ValueError
            job = cls(**{name: kinds[str(field.type)](body[name]) for name, field in fields.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput("batch_file_invalid", "This is not a job of the escrow.") from error
        if job.as_json() != dict(body):
            raise InvalidInput("batch_file_invalid", "A field of the job is not written as the protocol writes it.")
        return job


def panel_job(
    *, buyer: str, provider: str, token: str, amount: int, deadline: int, panel: bytes, subject: bytes, nonce: int
) -> Job:
    """Return a job that a panel accepts."""
    return Job(buyer, provider, token, amount, deadline, 0, 1, PANEL, panel, ZERO_HASH, subject, nonce)


def panel_hash(threshold: int, members: Sequence[str]) -> bytes:
    """Return the predicate of a panel; ``members`` ascend."""
    return keccak(threshold.to_bytes(32, "big") + b"".join(bytes(12) + bytes.fromhex(one[2:]) for one in members))


def acceptance_digest(
    chain_id: int, escrow: str, jobs: Sequence[bytes], cumulatives: Sequence[int], expiry: int
) -> bytes:
    """Return what evaluators sign to accept ``cumulatives`` of ``jobs``; arrays are hashed as EIP-712 says."""
    amounts = keccak(b"".join(amount.to_bytes(32, "big") for amount in cumulatives))
    inner = keccak(_ACCEPTANCE + keccak(b"".join(jobs)) + amounts + expiry.to_bytes(32, "big"))
    return keccak(b"\x19\x01" + domain_separator("Rodagila", "1", chain_id, escrow) + inner)


def commitments_digest(chain_id: int, task_pay: str, job: bytes, root: bytes, responses: int) -> bytes:
    """Return what evaluators sign of a batch's responses."""
    separator = domain_separator("Rodagila", "1", chain_id, task_pay)
    return _COMMITMENTS.digest(separator, {"job": job, "root": root, "responses": responses})


def settlement_digest(chain_id: int, task_pay: str, job: bytes, root: bytes, paid: int, public_hash: bytes) -> bytes:
    """Return what evaluators sign of a batch's pay."""
    separator = domain_separator("Rodagila", "1", chain_id, task_pay)
    return _SETTLEMENT.digest(separator, {"job": job, "root": root, "paid": paid, "publicHash": public_hash})


def approval(threshold: int, members: Sequence[str], digest: bytes, signers: Sequence[LocalAccount]) -> bytes:
    """Return the panel's approval of ``digest`` as the contracts take it."""
    ordered = sorted(signers, key=lambda signer: int(signer.address, 16))
    return bytes(
        abi_encode(
            ["uint256", "address[]", "address[]", "bytes[]"],
            [
                threshold,
                list(members),
                [signer.address for signer in ordered],
                [sign_digest(signer, digest) for signer in ordered],
            ],
        )
    )
