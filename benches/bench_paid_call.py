"""Measure a call paid by x402 ``exact`` beside the same call for nothing, on one gateway on a real port.

``python benches/bench_paid_call.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``: ``peer`` is the
same call at price 0, interleaved with the paid ones so that load hits both, and ``ratio`` is value / peer. A paid call
is everything the buyer waits for: the 402, the signature, verification, the answer, one transaction on the embedded
ledger and four commits in SQLite, each synced to disk. The model is the tests' stand-in, so the difference is the price
of paying. Both sides run in one process and share its two cores; the bar is the 36 ms of an earlier trial of ``exact``.
The processor's time is given too, because it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gateway_stand import Stand, key, serving  # noqa: E402
from rodagila.core.hashing import from_hex  # noqa: E402
from rodagila.core.policy import Policy, PriceRules  # noqa: E402
from rodagila.market.buyer import buyer_transport_sync  # noqa: E402
from rodagila.serve.catalogue import ServedModel  # noqa: E402

BAR_MS = 36.0
LANES = 4
Row = dict[str, Any]


def row(name: str, value: float, unit: str, peer: float | None = None, bar: float | None = None) -> Row:
    """Return a result row; a bar is a greatest value for times and gas."""
    ratio = round(value / peer, 2) if peer else None
    met = None if bar is None else value <= bar
    return {"name": name, "value": round(value, 2), "unit": unit, "peer": peer, "ratio": ratio, "bar": bar, "met": met}


def free_model(stand: Stand) -> ServedModel:
    """Return a DAO of the stand at price 0."""
    name = "code"
    policy = Policy(name=name, prices=PriceRules(0, 0, 0, 0))
    return ServedModel(name, 2, stand.domain(name), stand.treasuries[name], policy, stand.models[name], 0)


def search(http: httpx.Client, model: str) -> httpx.Response:
    """Make one call and insist on its answer."""
    response = http.post("/v1/search", json={"model": model, "text": "open a file", "k": 5})
    response.raise_for_status()
    return response


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long ``call`` takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def latency_rows(http: httpx.Client, count: int) -> list[Row]:
    """Measure paid and free calls in turns."""
    for name in ("docs", "code"):
        search(http, name)
    paid, free = [], []
    for _ in range(count):
        paid.append(milliseconds(lambda: search(http, "docs")))
        free.append(milliseconds(lambda: search(http, "code")))
    paid.sort()
    free.sort()
    return [
        row(f"paid call p{part}", paid[count * part // 100], "ms", round(free[count * part // 100], 2), bar)
        for part, bar in ((50, BAR_MS), (95, None))
    ]


def processor_row(http: httpx.Client, count: int) -> Row:
    """Measure the processor's time of one call, buyer and gateway together."""
    spent = {}
    for name in ("docs", "code"):
        began = time.process_time()
        for _ in range(count):
            search(http, name)
        spent[name] = (time.process_time() - began) * 1000 / count
    return row("paid call processor time", spent["docs"], "ms", round(spent["code"], 2))


def lanes_row(stand: Stand, url: str, count: int) -> Row:
    """Measure paid calls a second of several buyers at once."""

    def lane(_: int) -> None:
        with paying(stand, url) as http:
            for _ in range(count):
                search(http, "docs")

    began = time.perf_counter()
    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(lane, range(LANES)))
    return row(f"paid calls of {LANES} buyers at once", LANES * count / (time.perf_counter() - began), "calls/s")


def gas_row(stand: Stand, http: httpx.Client) -> Row:
    """Return the gas of one settlement."""
    from x402.http.utils import decode_payment_response_header

    settled = decode_payment_response_header(search(http, "docs").headers["PAYMENT-RESPONSE"])
    return row("settlement", stand.ledger.receipt(from_hex(settled.transaction)).gas_used, "gas")


def paying(stand: Stand, url: str) -> httpx.Client:
    """Return a client that pays."""
    transport = buyer_transport_sync(key("buyer"), stand.token.address, stand.network)
    return httpx.Client(base_url=url, transport=transport, timeout=60)


def main() -> None:
    """Print the rows as JSON, or one a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.add_argument("--count", type=int, default=200, help="calls in each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        stand = Stand(Path(name))
        stand.catalogue.publish(free_model(stand))
        with serving(stand.app) as url, paying(stand, url) as http:
            rows = latency_rows(http, options.count)
            rows += [
                processor_row(http, options.count),
                lanes_row(stand, url, options.count // LANES),
                gas_row(stand, http),
            ]
        stand.close()
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for found in rows:
            print("  ".join(f"{key}={value}" for key, value in found.items()))
    sys.exit(0 if all(found["met"] is not False for found in rows) else 1)


if __name__ == "__main__":
    main()
