"""What three keepers give out in a second, and what splitting an object key adds to sealing.

The keepers are processes of their own over HTTP, each with a home and a key, on one ledger behind JSON-RPC; the
requests are signed beforehand and asked for in batches of 256, of all three at once. Every batch reads the grant at a
pinned block; every release checks request, scope and consent, opens the share, holds it against its hash, seals it
anew, signs a record and writes it to the log on the disk.

The first row seals, splits the object key two of three, and stores; its peer is raw age and a plain write of the same
bytes, in turns, the median of each. Most of what it adds is Keccak-256 over the ciphertext, whose hash is its name, and
waiting for the disk; the split itself takes less than a millisecond.

Run: python benches/bench_keepers.py [--json] [--batches 4] [--mib 8] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyrage
from eth_account import Account

from rodagila.app.home import Home
from rodagila.app.ledger_server import LedgerApp
from rodagila.app.listening import listening
from rodagila.app.node.keeper import HttpKeeper
from rodagila.chain.contracts import deploy, send_wei
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.core.canonical import json_hash
from rodagila.core.hashing import ZERO_HASH, keccak
from rodagila.core.messages import Contribution, Domain, Manifest, dao_id, digest, sign
from rodagila.core.releases import ReleaseRequest
from rodagila.store.blobs import BlobStore
from rodagila.vault.accounts import KeyStore
from rodagila.vault.grants import Terms, grant_id
from rodagila.vault.sealing import age_identity, object_identity, recipient_of, seal
from rodagila.vault.share_keeper import MAX_BATCH, SignedRequest
from rodagila.vault.split_keys import public_key_of, split_key

KEEPERS, THRESHOLD, CONTRIBUTIONS = 3, 2, 32
RELEASE_BAR = 1_000
SEAL_BAR = 0.8
MIB = 2**20
OWNER, ADA, EVALUATOR = (Account.from_key(keccak(name)) for name in (b"owner", b"ada", b"evaluator"))


def main() -> int:
    """Measure, print the rows, and exit 0 whether or not the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--mib", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [sealing(Path(folder), options.mib, options.rounds), releases(Path(folder), options.batches)]
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:<24} {row['value']:>8} {row['unit']}  ratio {row['ratio']}  bar {row['bar']}")
    return 0


def sealing(folder: Path, mib: int, rounds: int) -> dict[str, Any]:
    """Return the row of sealing, splitting and storing against raw age."""
    plaintext, owner, store = os.urandom(mib * MIB), object_identity(), BlobStore(folder / "blobs")
    keepers = [recipient_of(object_identity()) for _ in range(KEEPERS)]
    plain = folder / "plain.age"

    def raw() -> None:
        plain.write_bytes(pyrage.encrypt(plaintext, [owner.to_public(), object_identity().to_public()]))

    def ours() -> None:
        key = object_identity()
        store.put(seal(plaintext, [recipient_of(owner), recipient_of(key)]))
        split_key(str(key), ZERO_HASH, keepers, threshold=THRESHOLD)

    one, other = speeds(mib, rounds, ours, raw)
    return row("seal_split_and_store", one, "MiB/s", other, one / other, SEAL_BAR, met=one / other >= SEAL_BAR)


def releases(folder: Path, batches: int) -> dict[str, Any]:
    """Return the row of releases a second by three keepers together."""
    with ExitStack() as parts:
        home = parts.enter_context(Home.open(folder / "home", ledger_url=""))
        ledger: Any = home.ledger
        url = parts.enter_context(listening(lambda: LedgerApp(Dispatcher(ethereum_methods(ledger))), "127.0.0.1", 0))
        for account in (OWNER, ADA):
            send_wei(ledger, ledger.faucet, account.address, 10**18)
        registry = deploy(ledger, OWNER, "Registry", OWNER.address, OWNER.address, keccak(b"policy"))
        licenses = deploy(ledger, OWNER, "Licenses", OWNER.address, OWNER.address)
        domain = Domain(ledger.chain_id, registry.address)
        addresses = ["--registry", registry.address, "--licenses", licenses.address, "--ledger", url]
        keepers = [keeper(parts, folder / f"keeper{place}", addresses) for place in range(KEEPERS)]
        kept = [deposit(domain, keepers, number) for number in range(CONTRIBUTIONS)]
        key = public_key_of(recipient_of(age_identity(EVALUATOR)))
        texts = (keccak(text) for text in (b"evaluate", b"checks", b"decision", b"salt"))
        terms = Terms(EVALUATOR.address, key, 2, dao_id(domain), *texts)
        until = ledger.timestamp() + 86_400
        licenses.transact(OWNER, "grant", tuple(getattr(terms, name) for name in Terms.__slots__), until)
        grant = grant_id(domain.chain_id, licenses.address, terms)
        asked = [[requests(domain, grant, kept, one, number) for number in range(batches)] for one in keepers]
        with ThreadPoolExecutor(KEEPERS) as pool:
            start = time.perf_counter()
            answers = list(
                pool.map(lambda pair: [pair[0].ask(batch) for batch in pair[1]], zip(keepers, asked, strict=True))
            )
            seconds = time.perf_counter() - start
    given = sum("sealed" in answer for one in answers for batch in one for answer in batch)
    if given != KEEPERS * batches * MAX_BATCH:
        raise SystemExit(f"only {given} shares were given")
    rate = given / seconds
    return row("releases", rate, "releases/s", None, None, RELEASE_BAR, met=rate >= RELEASE_BAR)


def keeper(parts: ExitStack, home: Path, addresses: list[str]) -> HttpKeeper:
    """Start a keeper that ends with ``parts``."""
    with Home.open(home):
        KeyStore(home / "keys").new("keeper")
    command = ["node", "run", "--role", "keeper", "--key", "keeper", "--home", str(home), "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rodagila.app.cli", *command, *addresses], stdout=subprocess.PIPE, text=True
    )
    parts.callback(process.wait)
    parts.callback(process.terminate)
    assert process.stdout is not None
    return HttpKeeper.at(json.loads(process.stdout.readline())["url"])


def deposit(domain: Domain, keepers: list[HttpKeeper], number: int) -> bytes:
    """Let all keepers keep their share of a contribution; return its id."""
    consent = {"purpose": "answers", "modes": ["api", "compute"], "expiry": 2**40}
    hashes = (keccak(b"policy"), keccak(b"root"))
    contribution = Contribution(ADA.address, dao_id(domain), *hashes, 1, json_hash(consent), number)
    id_ = digest(domain, contribution)
    split = split_key(str(object_identity()), id_, [one.recipient for one in keepers], threshold=THRESHOLD)
    manifest = Manifest(contribution, ZERO_HASH, keccak(split))
    for one in keepers:
        one.deposit(manifest, sign(ADA, domain, manifest), split, consent)
    return id_


def requests(domain: Domain, grant: bytes, kept: list[bytes], one: HttpKeeper, number: int) -> list[SignedRequest]:
    """Return a batch of signed requests."""
    deadline = int(time.time()) + 600
    asked = [
        ReleaseRequest(grant, kept[place % len(kept)], one.address, number * MAX_BATCH + place, deadline)
        for place in range(MAX_BATCH)
    ]
    return [SignedRequest(request, sign(EVALUATOR, domain, request)) for request in asked]


def speeds(mib: int, rounds: int, *sides: Callable[[], None]) -> list[float]:
    """Return the median MiB/s of each side; the sides take turns, so that a busy moment hits all of them."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return [mib / statistics.median(taken) for taken in seconds]


def row(
    name: str, value: float, unit: str, peer: float | None, ratio: float | None, bar: float, *, met: bool
) -> dict[str, Any]:
    """Return one result."""
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "peer": None if peer is None else round(peer, 1),
        "ratio": None if ratio is None else round(ratio, 3),
        "bar": bar,
        "met": met,
    }


if __name__ == "__main__":
    sys.exit(main())
