"""A keeper on a port: ``roda node run --role keeper`` (docs/protocol.md, Releases and keepers).

Errors are problem+json like the gateway's. While it runs it follows the ledger and forgets what owners revoked.

>>> with keeper_on_port(keeper, "127.0.0.1", 0) as url:  # doctest: +SKIP
...     HttpKeeper.at(url).recipient
'age1...'
"""

from __future__ import annotations

import base64
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import Body, FastAPI
from fastapi.responses import PlainTextResponse, Response

from rodagila.app.home import Home
from rodagila.app.listening import end_on_termination, listening
from rodagila.chain.port import Ledger
from rodagila.chain.rpc import RpcLedger
from rodagila.core.errors import InvalidInput, RodaError, Unreachable
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Domain, Manifest, manifest_from_json, message_as_json
from rodagila.core.releases import ReleaseRequest
from rodagila.core.typed_data import checksummed
from rodagila.serve.limits import BodyLimit
from rodagila.serve.problems import install_problems
from rodagila.vault.grants import GrantReader
from rodagila.vault.quorum import request_as_json
from rodagila.vault.share_keeper import ShareKeeper, SignedRequest, VolumeRules, released_as_json

FOLLOW_SECONDS = 2.0
ASK_TIMEOUT = 30.0
_WORD = 32
log = logging.getLogger(__name__)


def keeper_app(keeper: ShareKeeper) -> FastAPI:
    """Return the ASGI application of a keeper."""
    app = FastAPI(title="Rodagila keeper", docs_url=None, redoc_url=None)
    install_problems(app)
    app.add_middleware(BodyLimit)

    @app.get("/v1/keeper")
    def status() -> dict[str, Any]:
        return keeper.status()

    @app.post("/v1/shares")
    def deposit(body: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        with _reading("a share to keep"):
            manifest = manifest_from_json(body["manifest"])
            signature, split = from_hex(body["signature"]), base64.b64decode(body["split"], validate=True)
            consent = dict(body["consent"])
            int(consent["expiry"]), str(consent["purpose"]), list(consent["modes"])
            contribution_id = keeper.deposit(manifest, signature, split, consent)
        return {"contribution_id": hex0x(contribution_id)}

    @app.post("/v1/releases")
    def release(body: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        with _reading("requests for shares"):
            requests = [_request(one) for one in body["requests"]]
        return {"answers": [released_as_json(answer) for answer in keeper.release(requests)]}

    @app.get("/v1/deletions/{contribution_id}")
    def deletion(contribution_id: str) -> dict[str, Any]:
        with _reading("a contribution's id"):
            wanted = from_hex(contribution_id)
        return keeper.deletion(wanted)

    @app.get("/v1/log/checkpoint")
    def checkpoint() -> Response:
        return PlainTextResponse(keeper.log.head())

    @app.get("/v1/log/entries/{place}")
    def entry(place: int) -> Response:
        return Response(keeper.log.entry(place), media_type="application/json")

    @app.get("/v1/log/inclusion")
    def inclusion(place: int, size: int) -> dict[str, Any]:
        return {"proof": _base64(keeper.log.inclusion(place, size))}

    @app.get("/v1/log/consistency")
    def consistency(old: int, new: int) -> dict[str, Any]:
        return {"proof": _base64(keeper.log.consistency(old, new))}

    return app


@contextmanager
def keeper_on_port(keeper: ShareKeeper, host: str, port: int) -> Iterator[str]:
    """Serve a keeper on a thread while the block lasts; gives its address. Port 0 takes a free one."""
    with listening(lambda: keeper_app(keeper), host, port) as url:
        yield url


def serve_keeper(
    home: Home,
    *,
    key: str,
    passphrase: str | None,
    registry: str,
    licenses: str,
    endpoints: Sequence[str],
    volume: VolumeRules,
    host: str,
    port: int,
    ready: Callable[[dict[str, Any]], None],
) -> None:
    """Keep shares for the DAO of ``registry`` until interrupted or terminated; ``endpoints`` are further nodes."""
    end_on_termination()
    account = home.keys.get(key, passphrase)
    with ExitStack() as open_parts, suppress(KeyboardInterrupt):
        ledgers: list[Ledger] = [home.ledger]
        ledgers += [open_parts.enter_context(RpcLedger.open(url)) for url in endpoints]
        domain = Domain(home.ledger.chain_id, checksummed(registry))
        keeper = ShareKeeper(
            keeper_file(home.path, domain.registry),
            account,
            GrantReader(ledgers, domain, checksummed(licenses)),
            clock=home.clock,
            volume=volume,
        )
        open_parts.callback(keeper.close)
        keeper.follow()  # before anything is given out: what was revoked meanwhile is gone
        url = open_parts.enter_context(keeper_on_port(keeper, host, port))
        ready({"url": url, **keeper.status()})
        _follow(keeper)


def keeper_file(home: Path, registry: str) -> Path:
    """Return where a keeper's shares and log lie: one file for each DAO that it keeps shares of."""
    return home / f"keeper-{registry.lower()}.sqlite"


def _follow(keeper: ShareKeeper) -> None:
    told = ""
    while True:
        time.sleep(FOLLOW_SECONDS)
        try:
            for one in keeper.follow():
                log.warning("deleted the share of revoked contribution %s", hex0x(one))
            told = ""
        except RodaError as error:
            if str(error) != told:
                log.warning("The ledger cannot be followed: %s", error)
            told = str(error)


@dataclass(frozen=True, slots=True)
class HttpKeeper:
    """A keeper behind HTTP, as ``vault.quorum`` asks it."""

    url: str
    address: str
    recipient: str

    @classmethod
    def at(cls, url: str) -> HttpKeeper:
        """Ask a keeper who it is; raises ``Unreachable``. Compare its address with what the policy names."""
        status = _asked("GET", f"{url.rstrip('/')}/v1/keeper")
        return cls(url.rstrip("/"), str(status.get("keeper")), str(status.get("recipient")))

    def ask(self, requests: Sequence[SignedRequest]) -> list[dict[str, Any]]:
        """Return the answers; raises ``Unreachable``, or what the keeper refused all of them with."""
        body = {"requests": [request_as_json(one) for one in requests]}
        answers = _asked("POST", f"{self.url}/v1/releases", body).get("answers")
        if not isinstance(answers, list) or len(answers) != len(requests):
            raise Unreachable("unreachable", f"The keeper at {self.url} answered something else.")
        return answers

    def deposit(self, manifest: Manifest, signature: bytes, split: bytes, consent: Mapping[str, Any]) -> None:
        """Hand a contribution's split key over; the keeper takes its share. Raises as ``ask``."""
        body = {
            "manifest": message_as_json(manifest),
            "signature": hex0x(signature),
            "split": base64.b64encode(split).decode(),
            "consent": dict(consent),
        }
        _asked("POST", f"{self.url}/v1/shares", body)


class KeeperRefused(RodaError):
    """A keeper refused, in its own words and with its own code."""

    exit_status, http_status = 6, 403


def _asked(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    from rodagila.core.errors import CODES

    try:
        response = httpx.request(method, url, json=body, timeout=ASK_TIMEOUT)
        found = response.json()
        if not isinstance(found, dict):
            raise ValueError(url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise Unreachable("unreachable", f"No keeper answers at {url}.", hint="Ask its operator.") from None
    if response.is_error:
        code = found.get("code")
        raise KeeperRefused(code if code in CODES else "unexpected", str(found.get("detail", "The keeper refused.")))
    return found


def _request(body: Mapping[str, Any]) -> SignedRequest:
    asked = body["request"]
    request = ReleaseRequest(
        grant_id=_word(asked["grant_id"]),
        contribution_id=_word(asked["contribution_id"]),
        keeper=checksummed(str(asked["keeper"])),
        nonce=_number(asked["nonce"], 256),
        deadline=_number(asked["deadline"], 63),
    )
    return SignedRequest(request, from_hex(body["signature"]), tuple(_word(one) for one in body.get("proof", ())))


def _word(text: str) -> bytes:
    word = from_hex(text)
    if len(word) != _WORD:
        raise ValueError("32 bytes are required")
    return word


def _number(value: Any, bits: int) -> int:
    number = int(value) if isinstance(value, int) or len(value) <= 78 else -1
    if isinstance(value, float) or not 0 <= number < 1 << bits:
        raise ValueError("a number is out of range")
    return number


def _base64(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in hashes]


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever a stranger's JSON does to the decoders into one sentence."""
    try:
        yield
    except (RodaError, sqlite3.Error):
        raise
    except Exception as error:
        raise InvalidInput(
            "invalid_request",
            f"This is not {what}: {type(error).__name__} while reading it.",
            hint="See docs/protocol.md, Releases and keepers.",
        ) from None
