"""The buyer's side of payment channels: what is signed next, kept in a file, without any input or output of HTTP.

A *lane* pays one call after the other; programs that call in parallel take one lane, and one file, each. The file
holds what was signed of each channel of the lane, one channel a treasury, and is written before the next call. If it
is lost, the gateway's correction brings the sum back, proved by the payer's own signature on it; without such a proof
nothing above what was signed here is ever signed. A deposit is never more than ``deposit``.

>>> lane = Lane(Path("channels.json"), deposit=100_000)  # doctest: +SKIP
>>> payer = LanePayer(account, token, network, 10_000, lane); headers = payer.pay(required)  # doctest: +SKIP
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.predeploys import ERC3009_COLLECTOR
from rodagila.chain.tokens import Token
from rodagila.core.errors import Conflict, Corrupted, InvalidInput, PaymentFailed
from rodagila.core.hashing import from_hex, hex0x, keccak_abi
from rodagila.core.typed_data import checksummed, recover_digest, sign_digest
from rodagila.market.hub import ChannelConfig, voucher_digest
from rodagila.market.payments import BATCH
from rodagila.market.prices import PAYMENT_SECONDS

FORMAT = 1
MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch"
PAYMENT_HEADER = "PAYMENT-SIGNATURE"
Terms = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane of one account: the file of its channels, the most that one deposit brings, and which lane it is.

    ``deposit`` in atomic units; accounts with several lanes give each its own file and number.
    """

    path: Path
    deposit: int
    number: int = 0

    @property
    def salt(self) -> bytes:
        """What makes the lane's channels others than those of the account's other lanes."""
        return self.number.to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class LaneChannel:
    """A channel as its payer knows it: what was signed, and what was brought in; ``url`` is its gateway's."""

    config: ChannelConfig
    signed: int = 0
    balance: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class _Sent:
    """The last payment: which channel, the sum of its voucher and what a deposit brings."""

    channel_id: bytes
    amount: int
    deposit: int


@dataclass(slots=True)
class LaneFile:
    """The file of a lane's channels, for one program at a time; use it as a context or ``close`` it."""

    path: Path
    channels: dict[bytes, LaneChannel] = field(default_factory=dict)
    _lock: int | None = None

    @classmethod
    def open(cls, path: Path) -> LaneFile:
        """Open or create the file; raises ``Conflict`` (``channel_busy``) or ``Corrupted``."""
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, read_lane(path), lock)
        except BlockingIOError as error:
            os.close(lock)
            raise Conflict(
                "channel_busy", f"Another program pays from the channels in {path}.", hint="Give each its own file."
            ) from error
        except BaseException:
            os.close(lock)
            raise

    def keep(self, channel_id: bytes, channel: LaneChannel | None) -> None:
        """Remember a channel, or forget it (None)."""
        if channel is None:
            self.channels.pop(channel_id, None)
        else:
            self.channels[channel_id] = channel
        body = {"format": FORMAT, "channels": [_as_json(id, one) for id, one in self.channels.items()]}
        # Whole or not at all, but without waiting for the disk: what a power failure takes, the gateway tells again.
        draft = self.path.with_name(self.path.name + ".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(body, indent=1), encoding="utf-8")
        draft.replace(self.path)

    def close(self) -> None:
        """Let other programs have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> LaneFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_lane(path: Path) -> dict[bytes, LaneChannel]:
    """Return the channels of a lane's file, none if there is no file; raises ``Corrupted``."""
    try:
        body = json.loads(path.read_text("utf-8"))
        return {bytes.fromhex(one["id"]): _from_json(one) for one in body["channels"] if body["format"] == FORMAT}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupted(
            "file_unreadable",
            f"{path} is not a file of payment channels.",
            hint="Move it away: the gateway tells a new file what was signed.",
        ) from error


class LanePayer:
    """Signs the payments of one lane; not for two threads at once."""

    def __init__(self, account: LocalAccount, token: str, network: str, max_amount: int, lane: Lane) -> None:
        self._account, self._token, self._network = account, checksummed(token), network
        self._chain_id = int(network.removeprefix("eip155:"))
        self._max_amount, self._lane = max_amount, lane
        self._file = LaneFile.open(lane.path)
        self._sent: _Sent | None = None
        self._terms: dict[tuple[str, str], Terms] = {}

    def close(self) -> None:
        """Let other programs have the lane's file."""
        self._file.close()

    def remembered(self, url: str, model: str) -> dict[str, str] | None:
        """Return the headers that pay a call like an earlier one, so that its terms need not be asked for again."""
        terms = self._terms.get((url, model))
        if terms is None:
            return None
        config = self._config(terms)
        channel = self._file.channels.get(config.id_on(self._chain_id))
        if channel is None or channel.signed + int(terms["amount"]) > channel.balance:
            return None
        return self._payment(terms, url)

    def pay(self, required: dict[str, Any], url: str, model: str) -> dict[str, str]:
        """Return the headers that pay what a 402 demands; raises ``PaymentFailed`` if that may not be paid."""
        terms = self._acceptable(required)
        self._terms[url, model] = terms
        return self._payment(terms, url)

    def refund(self, required: dict[str, Any], url: str) -> dict[str, str]:
        """Return the headers that ask for what is left in the channel; raises ``PaymentFailed``."""
        terms = self._acceptable(required)
        config = self._config(terms)
        channel_id = config.id_on(self._chain_id)
        channel = self._file.channels.setdefault(channel_id, LaneChannel(config, url=url))
        self._sent = _Sent(channel_id, channel.signed, 0)
        return self._header(terms, {"type": "refund", **self._voucher(config, channel_id, channel.signed)})

    def served(self) -> None:
        """Note that the last payment was taken."""
        assert self._sent is not None
        channel = self._file.channels[self._sent.channel_id]
        balance = channel.balance + self._sent.deposit
        self._file.keep(self._sent.channel_id, replace(channel, signed=self._sent.amount, balance=balance))
        self._sent = None

    def refunded(self, back: int) -> None:
        """Note that ``back`` atomic units came back."""
        assert self._sent is not None
        channel = self._file.channels[self._sent.channel_id]
        self._file.keep(self._sent.channel_id, replace(channel, balance=channel.balance - back))
        self._sent = None

    def corrected(self, required: dict[str, Any], url: str) -> bool:
        """Take over what a 402 says of the channel, if it is a correction and proved; raises ``PaymentFailed``."""
        terms = next((one for one in required["accepts"] if one["scheme"] == BATCH), None)
        if required.get("error") != MISMATCH or terms is None:
            return False
        config = self._config(terms)
        channel_id = config.id_on(self._chain_id)
        known = self._file.channels.get(channel_id, LaneChannel(config, url=url))
        state, voucher = terms["extra"].get("channelState", {}), terms["extra"].get("voucherState")
        charged, balance = int(state["chargedCumulativeAmount"]), int(state["balance"])
        proved = known.signed
        if voucher is not None:
            signed = int(voucher["signedMaxClaimable"])
            digest = voucher_digest(self._chain_id, channel_id, signed)
            if recover_digest(digest, from_hex(voucher["signature"])) == self._account.address:
                proved = max(proved, signed)
        if charged > proved:
            raise PaymentFailed(
                "channel_broken",
                f"The gateway says that {charged} atomic units were charged; at most {proved} were signed.",
                hint="Do not pay this gateway by this lane again; take the money back: roda channel exit.",
            )
        self._file.keep(channel_id, replace(known, signed=charged, balance=balance))
        return True

    def _acceptable(self, required: dict[str, Any]) -> Terms:
        fitting = [
            terms
            for terms in required["accepts"]
            if terms["scheme"] == BATCH
            and terms["network"] == self._network
            and checksummed(terms["asset"]) == self._token
        ]
        if not fitting:
            raise PaymentFailed(
                "payment_invalid",
                "The gateway takes no payments by channel in this token on this chain.",
                hint="Pay without a channel, or check token and network.",
            )
        if int(fitting[0]["amount"]) > self._max_amount:
            raise PaymentFailed(
                "payment_invalid",
                f"The gateway's terms were not paid: {fitting[0]['amount']} atomic units exceed {self._max_amount}.",
                hint="Raise max_amount, or check that token and network are the gateway's.",
            )
        terms: Terms = fitting[0]
        return terms

    def _payment(self, terms: Terms, url: str) -> dict[str, str]:
        config = self._config(terms)
        channel_id = config.id_on(self._chain_id)
        channel = self._file.channels.setdefault(channel_id, LaneChannel(config, url=url))
        amount = channel.signed + int(terms["amount"])
        missing = amount - channel.balance
        body = {"type": "voucher", **self._voucher(config, channel_id, amount)}
        deposit = 0
        if missing > 0:
            deposit = self._deposit(missing)
            body |= {"type": "deposit", "deposit": self._authorised(terms, channel_id, deposit)}
        self._sent = _Sent(channel_id, amount, deposit)
        return self._header(terms, body)

    def _deposit(self, missing: int) -> int:
        if missing > self._lane.deposit:
            raise PaymentFailed(
                "payment_invalid",
                f"The channel lacks {missing} atomic units; a deposit may bring {self._lane.deposit}.",
                hint="Raise the lane's deposit.",
            )
        return self._lane.deposit

    def _authorised(self, terms: Terms, channel_id: bytes, amount: int) -> dict[str, Any]:
        salt = secrets.token_bytes(32)
        signed = authorize_receipt(
            self._account,
            chain_id=self._chain_id,
            # The terms name the token's EIP-712 domain, as x402 has it; a wrong one makes a signature good for nothing.
            token=Token(self._token, str(terms["extra"]["name"]), str(terms["extra"]["version"])),
            receiver=ERC3009_COLLECTOR,
            value=amount,
            valid_before=int(time.time()) + PAYMENT_SECONDS,
            nonce=keccak_abi(["bytes32", "uint256"], [channel_id, int.from_bytes(salt)]),
        )
        authorization = {
            "validAfter": str(signed.valid_after),
            "validBefore": str(signed.valid_before),
            "salt": hex0x(salt),
            "signature": hex0x(signed.signature),
        }
        return {"amount": str(amount), "authorization": {"erc3009Authorization": authorization}}

    def _voucher(self, config: ChannelConfig, channel_id: bytes, amount: int) -> dict[str, Any]:
        signature = sign_digest(self._account, voucher_digest(self._chain_id, channel_id, amount))
        voucher = {"channelId": hex0x(channel_id), "maxClaimableAmount": str(amount)}
        return {"channelConfig": config.as_json(), "voucher": {**voucher, "signature": hex0x(signature)}}

    def _header(self, terms: Terms, payload: dict[str, Any]) -> dict[str, str]:
        body = {"x402Version": 2, "accepted": terms, "payload": payload}
        return {PAYMENT_HEADER: base64.b64encode(json.dumps(body).encode()).decode()}

    def _config(self, terms: Terms) -> ChannelConfig:
        address = str(self._account.address)
        try:
            extra = terms["extra"]
            body = {
                "payer": address,
                "payerAuthorizer": address,
                "receiver": terms["payTo"],
                "receiverAuthorizer": extra["receiverAuthorizer"],
                "token": terms["asset"],
                "withdrawDelay": extra["withdrawDelay"],
                "salt": hex0x(self._lane.salt),
            }
            return ChannelConfig.from_json(body)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("invalid_request", "The gateway's terms of channels are not x402's.") from error


def _as_json(channel_id: bytes, channel: LaneChannel) -> dict[str, Any]:
    body = {"id": channel_id.hex(), "signed": str(channel.signed), "balance": str(channel.balance)}
    return {**body, "url": channel.url, "config": channel.config.as_json()}


def _from_json(body: dict[str, Any]) -> LaneChannel:
    config = ChannelConfig.from_json(body["config"])
    return LaneChannel(config, int(body["signed"]), int(body["balance"]), str(body["url"]))
