"""What an audit reads from the ledger: a small port, so that any chain, or a file of its events, can answer.

Example: ``view.turn(3)`` is None if the ledger has not recorded turn 3, else its commitments, roots, fees and bonds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rodagila.core.messages import Domain


@dataclass(frozen=True, slots=True)
class LedgerBatch:
    """A registered batch: its root, turn, number over all turns from 1, and how much it holds."""

    root: bytes
    turn: int
    number: int
    contributions: int
    records: int
    first_place: int


@dataclass(frozen=True, slots=True)
class LedgerTurn:
    """What the ledger says of one turn.

    From the opening: ``policy_hash`` of the version that the turn was opened under, and ``commitment``. From its
    record: ``reveal``, ``data_root``, ``proofs_root``, ``model_hash``, ``parent_model``. From the posted root:
    ``payout_root``, ``slash_root``, ``token_root``, ``public_hash``, ``paid``, ``issued``. ``fees``: what each payer
    transferred to the treasury for the turn. ``bonds``: what was posted until the turn was recorded, by contribution
    id and poster: anybody may post under any id, only the owner's own counts. ``pool``: the pool that was announced,
    None where the ledger does not say.
    """

    policy_hash: bytes
    commitment: bytes
    reveal: bytes
    data_root: bytes
    proofs_root: bytes
    model_hash: bytes
    parent_model: bytes
    payout_root: bytes
    slash_root: bytes
    token_root: bytes
    public_hash: bytes
    paid: int
    issued: int
    fees: Mapping[str, int]
    bonds: Mapping[tuple[bytes, str], int]
    pool: int | None = None


@dataclass(frozen=True, slots=True)
class Supply:
    """The supply rule as the token's contract holds it, in atomic units."""

    cap: int
    founders: int
    per_turn: int
    halving_turns: int


class LedgerView(Protocol):
    """Reads the ledger of one DAO."""

    def domain(self) -> Domain:
        """Return the chain and registry."""
        ...

    def contracts(self) -> Mapping[str, str]:
        """Return the addresses of ``rewards``, ``bonds`` and ``dao_token``."""
        ...

    def supply(self) -> Supply:
        """Return the supply rule of the DAO's token."""
        ...

    def batches(self, last_turn: int) -> list[LedgerBatch]:
        """Return the batches of turns 1 .. ``last_turn`` in log order."""
        ...

    def turn(self, turn: int) -> LedgerTurn | None:
        """Return what is recorded of ``turn``, None if it is not recorded and posted."""
        ...
