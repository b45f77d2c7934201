"""The grantee's side of t of n keepers: ask each for its share, open what comes, hold it against its hash, combine.

It stands behind the same port as one node (``KeyReleaser``). A keeper that is down, refuses or gives a wrong share is
noted in ``faults`` with its code, and the next is asked; ``threshold`` good shares are enough.

>>> quorum.release(split_key, contribution_id=contribution_id, purpose="evaluate")  # doctest: +SKIP
'AGE-SECRET-KEY-1...'
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_account.signers.local import LocalAccount

from rodagila.core.errors import InvalidInput, RodaError, Unreachable
from rodagila.core.hashing import hex0x
from rodagila.core.messages import Domain, message_as_json, sign
from rodagila.core.releases import ReleaseRequest
from rodagila.vault.sealing import age_identity
from rodagila.vault.share_keeper import SignedRequest
from rodagila.vault.shares import Share
from rodagila.vault.split_keys import SplitKey, open_share, split_key

ASK_SECONDS = 300


class KeeperPeer(Protocol):
    """A keeper that can be asked, in this process or behind HTTP."""

    address: str
    recipient: str

    def ask(self, requests: Sequence[SignedRequest]) -> list[dict[str, Any]]:
        """Return the answer to each request: ``{"sealed": base64, ...}`` or ``{"problem": {...}}``."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Which keeper did not give a good share of what, and why; share_mismatch can be shown by the manifest."""

    keeper: str
    contribution_id: bytes
    code: str


class QuorumKeeper:
    """Object keys from ``threshold`` of several keepers, for the account that a grant names."""

    def __init__(
        self,
        account: LocalAccount,
        domain: Domain,
        grant_id: bytes,
        keepers: Sequence[KeeperPeer],
        *,
        threshold: int,
        clock: Callable[[], int],
        proofs: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> None:
        self._account, self._domain, self._grant_id, self._clock = account, domain, grant_id, clock
        self._identity = age_identity(account)
        self._keepers = {keeper.recipient: keeper for keeper in keepers}
        self._threshold = threshold
        self._proofs = proofs or {}
        self.faults: list[Fault] = []

    def wrap(self, object_key: str, contribution_id: bytes) -> bytes:
        """Return ``object_key`` split among these keepers."""
        return split_key(object_key, contribution_id, list(self._keepers), threshold=self._threshold)

    def release(self, sealed_key: bytes, *, contribution_id: bytes, purpose: str) -> str:
        """Return the object key; the grant, which the keepers read, says for which ``purpose`` that is.

        Raises ``InvalidInput`` share_invalid, ``Unreachable`` quorum_missing with the codes of those that failed.
        """
        split = SplitKey.from_bytes(sealed_key)
        good: list[Share] = []
        codes: list[str] = []
        for part in split.shares:
            try:
                share = self._share(part.keeper, contribution_id)
                if share.x != part.x:
                    raise InvalidInput("share_mismatch", "A keeper gave a share that is not its own.")
                split.require(contribution_id, share)
            except RodaError as error:
                codes.append(error.code)
                self.faults.append(Fault(part.keeper, contribution_id, error.code))
                continue
            good.append(share)
            if len(good) == split.threshold:
                return split.object_key(contribution_id, good)
        raise Unreachable(
            "quorum_missing",
            f"{len(good)} of {split.threshold} keepers gave their share of {hex0x(contribution_id)}.",
            hint="The other keepers said: " + ", ".join(sorted(set(codes))) + ".",
            codes=codes,
        )

    def _share(self, recipient: str, contribution_id: bytes) -> Share:
        keeper = self._keepers.get(recipient)
        if keeper is None:
            raise Unreachable("unreachable", f"The address of the keeper {recipient} is not known here.")
        (answer,) = keeper.ask([self._signed(keeper.address, contribution_id)])
        if "sealed" not in answer:
            raise _Refused(answer)
        return open_share(base64.b64decode(answer["sealed"]), self._identity)

    def _signed(self, keeper: str, contribution_id: bytes) -> SignedRequest:
        deadline = self._clock() + ASK_SECONDS
        request = ReleaseRequest(self._grant_id, contribution_id, keeper, secrets.randbits(256), deadline)
        proof = tuple(self._proofs.get(contribution_id, ()))
        return SignedRequest(request, sign(self._account, self._domain, request), proof)


class _Refused(RodaError):
    """What a keeper said, under its own code if we know it."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        from rodagila.core.errors import CODES

        problem = answer.get("problem") or {}
        code = problem.get("code")
        super().__init__(code if code in CODES else "unexpected", str(problem.get("detail", "A keeper refused.")))


def request_as_json(signed: SignedRequest) -> dict[str, Any]:
    """Return the JSON of a request, as a keeper takes it."""
    body = message_as_json(signed.request) | {"nonce": str(signed.request.nonce)}
    return {
        "request": body,
        "signature": hex0x(signed.signature),
        "proof": [hex0x(one) for one in signed.proof],
    }
