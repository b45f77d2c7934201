"""What paying adds to a call: by voucher, and by ``exact``, against the same route at price 0 in the same run.

Server time is the time from a request's arrival to its response's last byte, inside the gateway's process; the buyers
run in another one, on the same two cores. By voucher a call is a signature to check, two to make and one commit to
disk, which has a row of its own; ``exact`` adds a transaction on the embedded ledger. The route of the first rows
answers at once (the tests' stand-in for a model), so that the difference is the price of paying. The last rows are
embeddings of one sentence by the real embedder for eight buyers at once. Where buyers use x402's own client, each call
asks for its terms first; ours remembers them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import secrets
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gateway_stand import SENTENCES, Stand, WordModel, key, serving  # noqa: E402
from rodagila.core.hashing import from_hex  # noqa: E402
from rodagila.core.policy import Policy, PriceRules  # noqa: E402
from rodagila.market.buyer import buyer_transport_sync  # noqa: E402
from rodagila.market.channels import ChannelStore  # noqa: E402
from rodagila.market.lanes import Lane  # noqa: E402
from rodagila.serve.catalogue import ServedModel  # noqa: E402
from rodagila.store.database import Database  # noqa: E402

VOUCHER_BAR_MS = 2.0
EXACT_BAR_MS = 36.0
THROUGHPUT_BAR = 0.8
BUYERS = 8
Row = dict[str, Any]


def row(
    name: str, value: float, unit: str, peer: float | None = None, *, most: float | None = None,
    least: float | None = None,
) -> Row:  # fmt: skip
    """Return a result row; ``most`` bars the value, ``least`` its ratio to the peer's."""
    ratio = round(value / peer, 2) if peer else None
    bar, met = most if least is None else least, None
    if most is not None:
        met = value <= most
    elif least is not None and peer:
        met = value / peer >= least
    return {"name": name, "value": round(value, 2), "unit": unit, "peer": peer, "ratio": ratio, "bar": bar, "met": met}


class Timed:
    """ASGI middleware that notes each request's time by what kind of request it is."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.taken: dict[str, list[float]] = defaultdict(list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        began, status = time.perf_counter(), 0

        async def sent(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, sent)
        paid = any(name == b"payment-signature" for name, _ in scope.get("headers", ()))
        self.taken["demand" if status == 402 else "paid" if paid else "free"].append(
            (time.perf_counter() - began) * 1000
        )

    def take(self) -> dict[str, float]:
        """Return the median of each kind since the last time."""
        medians = {kind: statistics.median(times) for kind, times in self.taken.items()}
        self.taken.clear()
        return medians


class MeaningModel(WordModel):
    """The stand's model over MiniLM's vectors."""

    def __init__(self) -> None:
        from rodagila.learn.embedder import MiniLM

        self.embedder = MiniLM()
        super().__init__(SENTENCES)

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a unit vector of each text."""
        vectors = self.embedder.encode(list(texts)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class Buyers:
    """What the buyers' process does: ``count`` calls of each of ``buyers`` by ``way``, of ``route`` with ``model``."""

    url: str
    token: str
    network: str
    folder: str
    way: str
    route: str
    model: str
    buyers: int
    count: int


def buy(task: Buyers) -> float:
    """Make the calls, after one each that opens what has to be opened, and return how many a second there were."""
    body = {"model": task.model, "text": "open a file", "k": 5}
    if task.route == "/v1/embeddings":
        body = {"model": task.model, "input": SENTENCES[1][0]}
    clients = [httpx.Client(base_url=task.url, transport=_transport(task, n), timeout=60) for n in range(task.buyers)]

    def calls(client: httpx.Client, count: int) -> None:
        for _ in range(count):
            response = client.post(task.route, json=body)
            if response.status_code != 200:
                raise RuntimeError(response.text)  # the process that asked can read this one

    with ThreadPoolExecutor(task.buyers) as pool:
        list(pool.map(lambda client: calls(client, 1), clients))
        began = time.perf_counter()
        list(pool.map(lambda client: calls(client, task.count), clients))
        taken = time.perf_counter() - began
    for client in clients:
        client.close()
    return task.buyers * task.count / taken


def _transport(task: Buyers, number: int) -> httpx.BaseTransport:
    plain = httpx.HTTPTransport()
    if task.way == "free":
        return plain
    lane = None
    if task.way == "voucher":
        lane = Lane(Path(task.folder) / f"{task.route.replace('/', '-')}-{number}.json", 10_000_000, number + 1)
    if task.way == "x402":
        return _ThreadedAsync(task)
    return buyer_transport_sync(key("buyer"), task.token, task.network, transport=plain, lane=lane)


class _ThreadedAsync(httpx.BaseTransport):
    """x402's own asynchronous client, unmodified, on an event loop of its own."""

    def __init__(self, task: Buyers) -> None:
        import asyncio

        from x402 import x402Client
        from x402.http.clients.httpx import x402AsyncTransport
        from x402.mechanisms.evm.batch_settlement.client import (
            BatchSettlementEvmScheme,
            BatchSettlementEvmSchemeOptions,
        )

        client = x402Client()
        salt = "0x" + secrets.token_hex(32)  # it keeps nothing between runs, so it needs a new channel
        options = BatchSettlementEvmSchemeOptions(salt=salt, deposit_strategy=lambda _: 10_000_000)
        client.register(task.network, BatchSettlementEvmScheme(key("buyer"), options))
        client.set_spend_controls(False)
        self._loop = asyncio.new_event_loop()
        self._http = httpx.AsyncClient(transport=x402AsyncTransport(client), timeout=60)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            headers = {"content-type": "application/json"}
            response = await self._http.post(str(request.url), content=request.read(), headers=headers)
            await response.aread()
            return response

        response = self._loop.run_until_complete(send())
        return httpx.Response(response.status_code, content=response.content)

    def close(self) -> None:
        """Close the client."""
        self._loop.run_until_complete(self._http.aclose())
        self._loop.close()


def free_model(stand: Stand, name: str = "code") -> ServedModel:
    """Return a DAO of the stand at price 0."""
    policy = Policy(name=name, prices=PriceRules(0, 0, 0, 0))
    return ServedModel(name, 2, stand.domain(name), stand.treasuries[name], policy, stand.models[name], 0)


def server_rows(run: Callable[[str, str, int, int], float], timed: Timed, count: int) -> list[Row]:
    """Measure the server's time of single calls, one buyer at a time, each way in turns."""
    medians: dict[str, list[dict[str, float]]] = defaultdict(list)
    rounds = 5
    for _ in range(rounds):
        for way in ("free", "voucher", "x402", "exact"):
            run(way, "/v1/search", 1, count // rounds)
            medians[way].append(timed.take())
    found = {
        way: {kind: statistics.median(one[kind] for one in parts if kind in one) for kind in parts[-1]}
        for way, parts in medians.items()
    }
    free = found["free"]["free"]
    voucher, own = found["voucher"]["paid"] - free, sum(found["x402"].values()) - free
    exact = sum(found["exact"].values()) - free
    return [
        row("server time added by a voucher", voucher, "ms", most=VOUCHER_BAR_MS),
        row("server time added by a voucher, its terms asked for first", own, "ms", most=VOUCHER_BAR_MS),
        row("server time added by exact, its terms asked for first", exact, "ms", most=EXACT_BAR_MS),
        row("server time of the free call", free, "ms"),
    ]


def throughput_rows(run: Callable[[str, str, int, int], float], count: int) -> list[Row]:
    """Measure embeddings of eight buyers at once, each way twice in turns, and take the better."""
    best: dict[str, float] = defaultdict(float)
    for _ in range(3):
        for way in ("free", "voucher", "x402", "exact"):
            best[way] = max(best[way], run(way, "/v1/embeddings", BUYERS, count))
    free = round(best["free"], 2)
    return [
        row(f"embeddings by voucher, {BUYERS} buyers", best["voucher"], "calls/s", free, least=THROUGHPUT_BAR),
        row(f"embeddings by voucher, x402's own {BUYERS} clients", best["x402"], "calls/s", free),
        row(f"embeddings by exact, {BUYERS} buyers", best["exact"], "calls/s", free),
    ]


def commit_row(folder: Path, count: int = 100) -> Row:
    """Measure what this disk takes for one commit that is durable, which every paid call waits for."""
    database, taken = Database.open(folder / "commits.sqlite"), []
    store = ChannelStore(database)
    for number in range(count):
        began = time.perf_counter()
        store.move_cursor(number)
        taken.append((time.perf_counter() - began) * 1000)
    database.close()
    return row("one commit to this disk", statistics.median(taken), "ms")


def gas_row(stand: Stand, url: str) -> Row:
    """Return the gas of one settlement by exact."""
    from x402.http.utils import decode_payment_response_header

    transport = buyer_transport_sync(key("buyer"), stand.token.address, stand.network)
    with httpx.Client(base_url=url, transport=transport, timeout=60) as http:
        answer = http.post("/v1/search", json={"model": "docs", "text": "open a file"})
    settled = decode_payment_response_header(answer.headers["PAYMENT-RESPONSE"])
    return row("settlement by exact", stand.ledger.receipt(from_hex(settled.transaction)).gas_used, "gas")


def main() -> None:
    """Print the rows as JSON, or one a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.add_argument("--count", type=int, default=200, help="calls in each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT) as name, multiprocessing.get_context("spawn").Pool(1) as pool:
        stand = Stand(Path(name))
        stand.catalogue.publish(free_model(stand))
        timed = Timed(stand.app)
        with serving(timed) as url:  # type: ignore[arg-type]  # any ASGI application is served

            def run(way: str, route: str, buyers: int, count: int) -> float:
                model = "code" if way == "free" else "docs"
                task = Buyers(url, stand.token.address, stand.network, name, way, route, model, buyers, count)
                return pool.apply(buy, (task,))

            rows = [*server_rows(run, timed, options.count), commit_row(Path(name)), gas_row(stand, url)]
            meaning = MeaningModel()
            for served in stand.models.values():
                served.embed = meaning.embed  # type: ignore[method-assign]
            rows += throughput_rows(run, max(options.count // 10, 1))
        stand.close()
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for found in rows:
            print("  ".join(f"{key}={value}" for key, value in found.items()))
    sys.exit(0 if all(found["met"] is not False for found in rows) else 1)


if __name__ == "__main__":
    main()
