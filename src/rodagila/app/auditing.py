"""Audits: the ledger's word on a DAO, held against the public files of its turns.

The view below reads contracts and events only; nothing of the home's database enters an audit but the list of DAOs and
the place of the public files, whose hash is on the ledger.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from rodagila.app.daos import Dao, dao_named, dao_rows
from rodagila.app.home import Home
from rodagila.app.ledger_steps import STAGE_RECORDED
from rodagila.app.turns import CLOSED, turn_rows
from rodagila.core.errors import NotFound
from rodagila.core.messages import Domain
from rodagila.market.fees import fees
from rodagila.reward.audit import AuditReport, audit_turn
from rodagila.reward.ledger import LedgerBatch, LedgerTurn, Supply
from rodagila.reward.public import PublicTurn, load, read_public


class ContractsView:
    """The ledger's word on one DAO, read from its contracts."""

    def __init__(self, dao: Dao) -> None:
        self._dao = dao
        self._registry, self._rewards = dao.contract("Registry"), dao.contract("Rewards")
        self._bonds_contract, self._token = dao.contract("Bonds"), dao.contract("DaoToken")

    def domain(self) -> Domain:
        """Return the chain and registry."""
        return Domain(self._dao.home.ledger.chain_id, self._registry.address)

    def contracts(self) -> dict[str, str]:
        """Return the contracts that leaves name: the rewards contract, and the two that it knows itself."""
        return self._fixed[0]

    def supply(self) -> Supply:
        """Return the supply rule of the DAO's token."""
        return self._fixed[1]

    @cached_property
    def _fixed(self) -> tuple[dict[str, str], Supply]:
        # Immutables, asked once for all turns.
        bonds, dao_token = self._rewards.call("bonds"), self._rewards.call("daoToken")
        contracts = {"rewards": self._rewards.address, "bonds": bonds, "dao_token": dao_token}
        return contracts, Supply(*(self._token.call(name) for name in ("cap", "founders", "perTurn", "halvingTurns")))

    def batches(self, last_turn: int) -> list[LedgerBatch]:
        """Return the registered batches of turns up to ``last_turn``."""
        return [
            LedgerBatch(
                event["root"],
                event["turn"],
                event["batch"],
                event["contributions"],
                event["records"],
                event["firstPlace"],
            )
            for event in self._registry.events("BatchRegistered", 0)
            if event["turn"] <= last_turn
        ]

    def turn(self, turn: int) -> LedgerTurn | None:
        """Return what the contracts say of ``turn``."""
        opened, record, root = (
            contract.call(name, turn)
            for contract, name in (
                (self._registry, "turnOf"),
                (self._registry, "recordOf"),
                (self._rewards, "rootOf"),
            )
        )
        if opened.stage != STAGE_RECORDED or root.finalAt == 0:  # no roots stand
            return None
        posted = self._posted[turn]
        return LedgerTurn(
            policy_hash=self._registry.call("policyAt", opened.policyVersion),
            commitment=opened.commitment,
            reveal=record.reveal,
            data_root=record.dataRoot,
            proofs_root=record.proofsRoot,
            model_hash=record.modelHash,
            parent_model=record.parentModel,
            payout_root=root.payoutRoot,
            slash_root=root.slashRoot,
            token_root=root.tokenRoot,
            public_hash=root.publicHash,
            paid=posted["paid"],
            issued=posted["issued"],
            fees=self._fees(turn),
            bonds=self._bonds(turn),
            pool=posted["pool"],
        )

    @cached_property
    def _posted(self) -> dict[int, dict[str, Any]]:
        # A turn that was posted again has several events; if any stands, it is the last one.
        return {event["turn"]: event for event in self._rewards.events("RootPosted", 0)}

    @cached_property
    def _recorded(self) -> dict[int, int]:
        return {event["turn"]: event["block_number"] for event in self._registry.events("TurnRecorded", 0)}

    def _fees(self, turn: int) -> dict[str, int]:
        """Return the fees since the previous turn's record: a turn's money ends where it is recorded."""
        first = self._recorded.get(turn - 1, -1) + 1
        row = self._dao.row
        found = fees(self._dao.home.ledger, row.token, row.treasury, first, self._recorded[turn])
        return {payer: amount for payer, _, amount in found}

    def _bonds(self, turn: int) -> dict[tuple[bytes, str], int]:
        last = self._recorded[turn]
        return {
            (event["contributionId"], event["owner"]): event["amount"]
            for event in self._posted_bonds
            if event["block_number"] <= last
        }

    @cached_property
    def _posted_bonds(self) -> list[dict[str, Any]]:
        return list(self._bonds_contract.events("BondPosted", 0))


def audit_home(home: Home, dao_name: str | None, turn: int | None, public: Path | None = None) -> dict[str, Any]:
    """Audit the closed turns of one DAO or of all; ``public`` replaces the stored file of the one turn asked for."""
    daos = [dao_named(home, dao_name)] if dao_name else [Dao(home, row) for row in dao_rows(home)]
    reports = [(dao.name, report) for dao in daos for report in audit_dao(dao, turn, public)]
    if turn is not None and not reports:
        raise NotFound(
            "turn_unknown",
            f"Turn {turn} of {dao_name or 'any DAO'} is not closed, so there is nothing to audit.",
            hint="List turns: roda turn list --dao NAME",
        )
    return {
        "ok": all(report.ok for _, report in reports),
        "turns": [{"dao": name, **report.as_json()} for name, report in reports],
        "differences": [f"{name}: {line}" for name, report in reports for line in report.differences],
    }


def audit_dao(dao: Dao, turn: int | None = None, public: Path | None = None) -> list[AuditReport]:
    """Audit the DAO's closed turns in order, or one of them."""
    view, reports = ContractsView(dao), []
    previous: PublicTurn | None = None
    for row in turn_rows(dao):
        if row.state != CLOSED or row.public_id is None:
            continue
        wanted = turn in (None, row.number)
        file = read_public(public) if public and turn == row.number else load(dao.home.blobs.get(row.public_id))
        if wanted:
            reports.append(audit_turn(file, previous, view))
        previous = file
    return reports
