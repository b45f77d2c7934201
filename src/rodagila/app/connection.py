"""Which ledger a home is on: its own embedded one, or a chain behind a node's address.

A home belongs to one chain for ever, because its rows name blocks, contracts and payments of that chain. ``home.json``
notes the chain's id and the hash of its block 0 when a ledger is first opened; another chain is refused. On a chain
that can be reorganised it also notes the newest confirmed block that the home has seen.

>>> connect(Path("home"), "http://127.0.0.1:8545").chain_id   # doctest: +SKIP
31337
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rodagila.chain.port import LOCAL_CHAIN_IDS
from rodagila.core.errors import Conflict, InvalidInput, NotFound, RefusedByPolicy

if TYPE_CHECKING:
    from rodagila.chain.embedded import EmbeddedLedger
    from rodagila.chain.port import Ledger

MARKER = "home.json"
EMBEDDED = "ledger.sqlite"


def connect(home: Path, url: str | None) -> Ledger:
    """Open the ledger at ``url``, or the embedded one of the home; raise ``RefusedByPolicy`` for another chain's."""
    ledger: Ledger
    if url:
        from rodagila.chain.rpc import RpcLedger

        ledger = node = RpcLedger.open(url, confirmations=_confirmations())
    else:
        _require_embedded(home)
        ledger = _embedded(home)
    try:
        chain = _bind(home, ledger, url)
        require_confirmed(home, ledger)
        note_confirmed(home, ledger, ledger.confirmed_block())
    except BaseException:
        ledger.close()
        raise
    if url:
        node.since = chain.get("since", 0)
        if node.is_local:
            node.put_code(_predeployed())
    return ledger


def note_confirmed(home: Path, ledger: Ledger, block: int) -> None:
    """Note that what is done from here on relies on ``block``, unless a newer one is noted already."""
    chain = _chain(home) or {}
    if ledger.confirmations and block > chain.get("confirmed", {"block": -1})["block"]:
        _write(home, {**chain, "confirmed": {"block": block, "hash": _hash(ledger, block)}})


def require_confirmed(home: Path, ledger: Ledger) -> None:
    """Raise ``Conflict`` (``ledger_reorganised``) if the block that was relied on is no longer in the chain."""
    noted = (_chain(home) or {}).get("confirmed")
    if not ledger.confirmations or noted is None:
        return
    try:
        found = _hash(ledger, noted["block"])
    except NotFound:
        found = "no block"
    if found != noted["hash"]:
        raise Conflict(
            "ledger_reorganised",
            f"Chain {ledger.chain_id} replaced block {noted['block']}, which had at least {ledger.confirmations} "
            f"blocks on it: it was {noted['hash']} and is {found}.",
            hint="Nothing was changed. Find out whether the chain or the node is at fault. If the chain stays so, "
            "restore the home from a backup older than that block, and set RODA_CONFIRMATIONS higher.",
            block=noted["block"],
        )


def _bind(home: Path, ledger: Ledger, url: str | None) -> dict[str, Any]:
    """Return what the home notes of its chain, noting it the first time: a public chain's past holds nothing of it."""
    known, own = _chain(home), _identity(ledger)
    if known is None and url and (home / EMBEDDED).exists():
        with _embedded(home) as embedded:
            known = _identity(embedded)
    if known is None:
        known = own if ledger.chain_id in LOCAL_CHAIN_IDS else {**own, "since": ledger.confirmed_block()}
        _write(home, known)
    elif {name: known[name] for name in own} != own:
        from rodagila.chain.node import shown

        where = f"at {shown(url)}" if url else "in it"
        raise RefusedByPolicy(
            "chain_mismatch",
            f"The home {home} belongs to chain {known['id']} with genesis {known['genesis']}; the ledger {where} is "
            f"chain {own['id']} with genesis {own['genesis']}.",
            hint="Point RODA_LEDGER at the home's own chain, or give another --home. A development chain that was "
            "started anew is another chain.",
            expected=known,
            given=own,
        )
    return known


def _require_embedded(home: Path) -> None:
    known = _chain(home)
    if known is not None and not (home / EMBEDDED).exists():
        raise RefusedByPolicy(
            "chain_mismatch",
            f"The home {home} belongs to chain {known['id']} behind a node, and no node is given.",
            hint="Set RODA_LEDGER to the node's address, like http://127.0.0.1:8545.",
            expected=known,
        )


def _embedded(home: Path) -> EmbeddedLedger:
    from rodagila.chain.embedded import EmbeddedLedger

    # A new ledger is created with x402's contracts at their addresses; one that is there keeps its own genesis.
    return EmbeddedLedger.open(home / EMBEDDED, genesis_code=_predeployed())


def _predeployed() -> dict[str, bytes]:
    from rodagila.chain.predeploys import predeployed_code

    return predeployed_code()


def _identity(ledger: Ledger) -> dict[str, Any]:
    return {"id": ledger.chain_id, "genesis": _hash(ledger, 0)}


def _hash(ledger: Ledger, block: int) -> str:
    return "0x" + ledger.block(block).hash.hex()


def _chain(home: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads((home / MARKER).read_text()).get("chain")
    return found


def _write(home: Path, chain: dict[str, Any]) -> None:
    marker = home / MARKER
    temporary = marker.with_suffix(f".{os.getpid()}.new")
    temporary.write_text(json.dumps({**json.loads(marker.read_text()), "chain": chain}))
    temporary.replace(marker)


def _confirmations() -> int | None:
    text = os.environ.get("RODA_CONFIRMATIONS", "")
    if not text:
        return None
    if not text.isdigit() or int(text) > 10_000:
        raise InvalidInput(
            "usage", f"RODA_CONFIRMATIONS is {text!r}; it must be a number of blocks.", hint="Leave it out for 12."
        )
    return int(text)
