"""What a person can do with a home; the command line and the demonstration call these and nothing deeper.

Every function takes an open home first, returns JSON values (amounts are integers of atomic units) and raises
``RodaError``. ``dry_run`` tells what would be done and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_utils.address import is_address, to_checksum_address

from rodagila.app.home import Home
from rodagila.app.progress import Progress
from rodagila.core.errors import Conflict, InvalidInput, NotFound
from rodagila.core.hashing import hex0x
from rodagila.core.money import format_amount
from rodagila.core.policy import Policy, RecordRules
from rodagila.core.records import Record

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from rodagila.app.daos import Dao
    from rodagila.chain.embedded import EmbeddedLedger

Values = dict[str, Any]


def key_new(home: Home, name: str, passphrase: str | None) -> Values:
    """Make an account with a fresh key."""
    account = home.keys.new(name, passphrase=passphrase)
    return {"name": name, "address": account.address, "encrypted": bool(passphrase)}


def key_import(home: Home, name: str, secret: str, passphrase: str | None) -> Values:
    """Keep the private key ``secret`` (64 hex digits) under ``name``."""
    account = home.keys.import_key(name, secret, passphrase)
    return {"name": name, "address": account.address, "encrypted": bool(passphrase)}


def key_backup(home: Home, name: str, passphrase: str | None, threshold: int, count: int) -> Values:
    """Return the recovery phrases of a key, which whoever reads them can use."""
    from rodagila.vault.recovery import phrases_of

    account = home.keys.get(name, passphrase)
    phrases = phrases_of(bytes(account.key), threshold=threshold, count=count)
    return {"name": name, "address": account.address, "needed": threshold, "phrases": phrases}


def key_recover(home: Home, name: str, phrases: Sequence[str], passphrase: str | None) -> Values:
    """Keep the key of recovery phrases under ``name``; its address shows whether it is the one that was lost."""
    from rodagila.vault.recovery import key_from

    account = home.keys.new(name, key_from(phrases), passphrase)
    return {"name": name, "address": account.address, "encrypted": bool(passphrase)}


def key_list(home: Home) -> list[Values]:
    """Return the accounts of the home."""
    return [{"name": name, "address": address} for name, address in home.keys.names()]


def node_run(
    home: Home,
    role: str,
    key: str,
    passphrase: str | None,
    ready: Callable[[Values], None],
    *,
    registry: str,
    licenses: str,
    endpoints: Sequence[str],
    limit: int,
    alarm: int,
    host: str,
    port: int,
) -> None:
    """Run a node's role until interrupted; ``ready`` is told its address and who it is. The one role is keeper."""
    from rodagila.app.node.keeper import serve_keeper
    from rodagila.vault.share_keeper import VolumeRules

    for address in (registry, licenses):
        if not is_address(address):
            raise InvalidInput(
                "usage", f"{address!r} is not a contract's address.", hint="roda dao show lists a DAO's contracts."
            )
    serve_keeper(
        home,
        key=key,
        passphrase=passphrase,
        registry=registry,
        licenses=licenses,
        endpoints=endpoints,
        volume=VolumeRules(per_grant=limit, alarm=alarm),
        host=host,
        port=port,
        ready=ready,
    )


def dao_new(
    home: Home,
    name: str,
    policy: Policy,
    queries: Path | None,
    reference: Path | None,
    progress: Progress,
    token: str | None = None,
    founders: str | None = None,
) -> Values:
    """Launch a DAO: contracts, policy hash, its own queries and reference corpus, first turn.

    ``founders`` is the address or the key's name of the account that receives the founders' tokens.
    """
    from rodagila.app.daos import dao_named, dao_rows, launch, require_new
    from rodagila.app.holdings import Holdings, split_queries, with_phrases
    from rodagila.app.turn import begin_turn
    from rodagila.app.turns import turn_rows

    if any(row.name == name for row in dao_rows(home)) and not turn_rows(dao_named(home, name)):
        with home.exclusive("turn"):  # a launch that was killed just before its first turn
            begin_turn(dao_named(home, name), 1)
        return _dao_values(dao_named(home, name))
    require_new(home, name)
    receiver = None if founders is None else _address(home, founders)
    if queries is None:
        raise InvalidInput(
            "usage",
            f"The DAO {name!r} needs queries to score contributions and measure its model with.",
            hint="Give --queries FILE: JSON lines or CSV with text and label or answer.",
        )
    scoring, gate = split_queries(_texts(queries))
    holdings = Holdings(tuple(_texts(reference)) if reference else (), scoring, gate)
    if policy.model.task == "classify":
        holdings = with_phrases(holdings)

    def _new_or_left(role: str) -> LocalAccount:
        # A launch that was killed or refused half-way left keys that no DAO uses; their name must not block the next.
        return home.keys.get(role) if any(known == role for known, _ in home.keys.names()) else home.keys.new(role)

    with home.exclusive("turn"), progress.stage("launch", 2) as stage:
        dao = launch(home, name, policy, holdings, _new_or_left, token, receiver)
        stage.advance(1)
        begin_turn(dao, 1)
        stage.advance(1)
    return _dao_values(dao)


def dao_list(home: Home) -> list[Values]:
    """Return the DAOs of the home."""
    from rodagila.app.daos import Dao, dao_rows

    return [_dao_values(Dao(home, row)) for row in dao_rows(home)]


def dao_show(home: Home, name: str) -> Values:
    """Return one DAO with its policy, turn and balances."""
    from rodagila.app.daos import dao_named
    from rodagila.app.policies import versions_of
    from rodagila.app.turns import turn_rows

    dao = dao_named(home, name)
    token = dao.contract("PayToken")
    return {
        **_dao_values(dao),
        **versions_of(dao),
        "policy": dao.policy.as_json(),
        "treasury_balance": token.call("balanceOf", dao.addresses["Treasury"]),
        "rewards_balance": token.call("balanceOf", dao.addresses["Rewards"]),
        "bonds_balance": token.call("balanceOf", dao.addresses["Bonds"]),
        "token_supply": str(dao.contract("DaoToken").call("totalSupply")),
        "turns": [{"turn": row.number, "state": row.state} for row in turn_rows(dao)],
    }


def _dao_values(dao: Dao) -> Values:
    row = dao.row
    return {
        "name": row.name,
        "dao_id": "0x" + row.dao_id,
        "chain_id": dao.domain.chain_id,
        "registry": dao.addresses["Registry"],
        "treasury": dao.addresses["Treasury"],
        "rewards": dao.addresses["Rewards"],
        "token": dao.addresses["PayToken"],
        "contracts": dao.addresses,
        "policy_hash": hex0x(dao.policy.policy_hash()),
    }


def policy_keep(home: Home, dao_name: str, policy: Policy) -> Values:
    """Keep the text of a policy version that a DAO decided on elsewhere, so that its next turn can be opened here."""
    from rodagila.app.daos import dao_named
    from rodagila.app.policies import keep_policy, versions_of

    dao = dao_named(home, dao_name)
    kept = keep_policy(home, dao.name, policy)
    return {"dao": dao.name, "kept": hex0x(kept), "version": policy.version, **versions_of(dao)}


def contribute(
    home: Home,
    path: Path,
    dao_name: str,
    key: str,
    passphrase: str | None,
    dry_run: bool,
    progress: Progress,
    *,
    me: Sequence[str] = (),
    start: int = 0,
    show: int = 3,
    dkim_keys: Path | None = None,
) -> Values:
    """Read an export, redact, seal, sign and hand it in; returns the receipt, or for a dry run the preview.

    ``me`` are the names the contributor has in it, ``start`` the first record to take, ``show`` how many to preview,
    ``dkim_keys`` a file of archived DKIM keys.
    """
    from rodagila.app.daos import dao_named
    from rodagila.app.intake import bond_of, receive, seal
    from rodagila.collect.export import archived_keys, read_export, require_own
    from rodagila.collect.preview import preview_of

    dao = dao_named(home, dao_name)
    owner = home.keys.get(key, passphrase)
    keys = archived_keys(dkim_keys) if dkim_keys else {}
    with progress.stage("read", 1) as stage:
        export = read_export(path, dao.policy.records, me=me, start=start, keys=keys)
        stage.advance(1)
    records = [row.record for row in export.rows]
    bond = bond_of(dao, owner.address, len(records))
    stated = {"dao": dao.name, "owner": owner.address, "records": len(records), "bond": bond, **export.as_json()}
    if dry_run:
        return {**stated, **preview_of(records, show).as_json(), "dry_run": True}
    require_own(export)
    with progress.stage("seal and sign", 1) as stage:
        sealed, authorization = seal(dao, owner, records)
        turn = receive(dao, sealed, authorization)
        stage.advance(1)
    return {
        **stated,
        "turn": turn,
        "contribution_id": "0x" + sealed.contribution_id.hex(),
        "content_root": "0x" + sealed.contribution.content_root.hex(),
        "ciphertext_id": "0x" + sealed.manifest.ciphertext_id.hex(),
        "signature": "0x" + sealed.signature.hex(),
        "redactions": dict(sealed.redactions),
    }


def turn_close(home: Home, dao_name: str, progress: Progress) -> Values:
    """Close the DAO's turn: register, prove, learn, value, settle, pay; continues where a killed run was."""
    from rodagila.app.daos import dao_named
    from rodagila.app.turn import close

    return close(dao_named(home, dao_name), progress)


def turn_list(home: Home, dao_name: str) -> list[Values]:
    """Return the DAO's turns with what came of the closed ones."""
    from rodagila.app.daos import dao_named
    from rodagila.app.turns import turn_rows

    return [
        {"turn": row.number, "state": row.state, **(row.summary or {})} for row in turn_rows(dao_named(home, dao_name))
    ]


def task_new(
    home: Home,
    dao_name: str,
    key: str,
    passphrase: str | None,
    tasks: Path,
    golds: Path,
    seconds: int,
    chosen: Values,
    by_model: bool,
    dry_run: bool,
    progress: Progress,
) -> Values:
    """Make a batch of tasks and put its budget into the escrow; ``chosen`` are terms by their names."""
    from rodagila.app import tasks as batches
    from rodagila.app.daos import dao_named
    from rodagila.collect.batches import read_items

    dao = dao_named(home, dao_name)
    wanted, known = read_items(tasks, golds=False), read_items(golds, golds=True)
    if by_model:
        with progress.stage("Price the tasks by the model"):
            wanted, known = batches.informed(dao, wanted), batches.informed(dao, known)
    terms = batches.terms_of(dao, _address(home, key), seconds=seconds, **chosen)
    if dry_run:
        plan, job = batches.planned(dao, terms, wanted, known)
        return {
            "dry_run": True,
            "dao": dao.name,
            "requester": terms.requester,
            "tasks": len(wanted),
            "golds": len(known),
            "overlap": terms.overlap,
            "budget": plan.budget,
            "escrow": dao.addresses["Escrow"],
            "terms": hex0x(job.subject),
        }
    with progress.stage("Queue the tasks and fund them"):
        return batches.new_batch(dao, home.keys.get(key, passphrase), terms, wanted, known)


def task_list(home: Home, dao_name: str) -> list[Values]:
    """Return the DAO's batches of tasks."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import list_batches

    return list_batches(dao_named(home, dao_name))


def task_show(home: Home, dao_name: str, batch: int) -> Values:
    """Return one batch of tasks."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import show_batch

    return show_batch(dao_named(home, dao_name), batch)


def task_next(home: Home, dao_name: str, batch: int, key: str, passphrase: str | None) -> Values:
    """Take an account's next task; the one in its hands again while its lease lasts."""
    import time

    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import batch_named, desk_of
    from rodagila.collect.responding import ask
    from rodagila.serve.tasks import NextTaskRequest

    desk, (opened, _) = desk_of(home), batch_named(dao_named(home, dao_name), batch)
    asked = ask(home.keys.get(key, passphrase), desk.card(opened), nonce=time.time_ns(), now=home.clock())
    offered = desk.next_task(NextTaskRequest(**asked), now=home.clock())
    return {**offered, "price": int(offered["price"])}


def task_answer(
    home: Home, dao_name: str, batch: int, key: str, passphrase: str | None, answer: str, dry_run: bool
) -> Values:
    """Respond to the task in an account's hands; the answer stays hidden until the batch is closed."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import batch_named, desk_of
    from rodagila.collect.responding import respond, shown_content
    from rodagila.serve.tasks import ResponseRequest

    desk, (opened, _) = desk_of(home), batch_named(dao_named(home, dao_name), batch)
    held = desk.held(opened, _address(home, key), now=home.clock())
    if dry_run:
        canonical = shown_content(held).answer(answer)
        return {"dry_run": True, "lease": held["lease"], "answer": canonical, "price": int(held["price"])}
    given = respond(home.keys.get(key, passphrase), desk.card(opened), held, answer, now=home.clock())
    return desk.respond(ResponseRequest(**given), now=home.clock()) | {"price": int(held["price"])}


def task_close(home: Home, dao_name: str, batch: int, dry_run: bool) -> Values:
    """Take no more responses and fix those that were taken."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import close_batch, show_batch

    dao = dao_named(home, dao_name)
    if dry_run:
        shown = show_batch(dao, batch)
        return {"dry_run": True, **{name: shown[name] for name in ("batch", "state", "responses", "leased", "wanted")}}
    return close_batch(dao, batch)


def task_pay(home: Home, dao_name: str, batch: int, dry_run: bool, progress: Progress) -> Values:
    """Pay a closed batch from its escrow and bring its labels into the data."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import pay_batch, show_batch

    dao = dao_named(home, dao_name)
    if dry_run:
        shown = show_batch(dao, batch)
        return {"dry_run": True, **{name: shown[name] for name in ("batch", "state", "responses", "budget")}}
    with progress.stage("Open, judge and pay the responses"):
        return pay_batch(dao, batch)


def task_audit(home: Home, dao_name: str, batch: int | None) -> Values:
    """Recompute pay and labels of settled batches from their public files and the ledger."""
    from rodagila.app.daos import dao_named
    from rodagila.app.tasks import audit_batches

    reports = audit_batches(dao_named(home, dao_name), batch)
    return {
        "ok": all(report.ok for report in reports),
        "batches": [{"id": hex0x(report.batch), "ok": report.ok} for report in reports],
        "differences": [line for report in reports for line in report.differences],
    }


def payout_list(home: Home, dao_name: str, turn: int | None) -> list[Values]:
    """Return the payouts of a closed turn (the newest by default), by owner."""
    from rodagila.app.daos import dao_named
    from rodagila.app.payouts import payouts_of

    return payouts_of(dao_named(home, dao_name), turn)


def payout_explain(home: Home, dao_name: str, account: str, turn: int | None) -> Values:
    """Return why an account earned what it did, from the pool to the leaf, recomputed here."""
    from rodagila.app.daos import dao_named
    from rodagila.app.payouts import explanation_of

    return explanation_of(dao_named(home, dao_name), _address(home, account), turn)


def value_compare(
    home: Home, dao_name: str, turn: int | None, methods: Sequence[str], samples: int, seed: int, progress: Progress
) -> Values:
    """Value a closed turn's owners by the paying rule and the reference methods, with rank correlations and cost."""
    from rodagila.app.daos import dao_named
    from rodagila.app.publication import published
    from rodagila.app.turns import closed_turn
    from rodagila.reward.compare import applicable, compare

    dao = dao_named(home, dao_name)
    row = closed_turn(dao, turn)
    public, computed = published(dao, row.number)
    wanted = tuple(methods) or applicable(public.facts)
    with progress.stage("Value the owners", len(wanted)) as stage:
        found = compare(public.facts, computed, wanted, samples=samples, seed=seed, done=lambda method: stage.advance())
    return {"dao": dao.name, "turn": row.number, **found.as_json(), "text": found.as_text()}


def dataset_report(home: Home, dao_name: str, turn: int | None, words: Path | None, output: Path | None) -> Values:
    """Return the report of a data set; ``words`` is a file of toxic words, ``output`` where its page is written."""
    from rodagila.app.daos import dao_named
    from rodagila.app.dataset_page import write_dataset_page
    from rodagila.app.datasets import dataset_report as report_of
    from rodagila.app.datasets import read_words

    found = report_of(dao_named(home, dao_name), turn, read_words(words) if words else "")
    return {**found, "page": str(write_dataset_page(found, output))} if output else found


def dataset_croissant(home: Home, dao_name: str, turn: int | None) -> Values:
    """Return the data set's Croissant metadata with its ODRL offers."""
    from rodagila.app.croissant import croissant, open_offers
    from rodagila.app.daos import dao_named
    from rodagila.app.datasets import dataset_report as report_of

    dao = dao_named(home, dao_name)
    report = report_of(dao, turn)
    return croissant(
        report,
        domain=dao.domain,
        licenses=dao.addresses["Licenses"],
        purpose=dao.policy_of(report["turn"]).purpose,
        offers=open_offers(dao),
        at=home.ledger.timestamp(),
    )


def payout_claim(home: Home, dao_name: str, account: str, dry_run: bool) -> Values:
    """Claim what the account is owed by the newest final root."""
    from rodagila.app.daos import dao_named
    from rodagila.app.payouts import claim_for

    return claim_for(dao_named(home, dao_name), _address(home, account), dry_run=dry_run)


def model_list(home: Home, dao_name: str | None = None) -> list[Values]:
    """Return the model versions of one DAO or of all."""
    from rodagila.app.models import model_rows

    return model_rows(home, dao_name)


def model_show(home: Home, name: str) -> Values:
    """Return the card of a model."""
    found = [row for row in model_list(home) if row["name"] == name]
    if not found:
        raise NotFound("model_unknown", f"There is no model named {name!r}.", hint="List them with: roda model list")
    return found[0]


def ask(
    home: Home,
    dao_name: str,
    question: str,
    key: str,
    passphrase: str | None,
    url: str | None,
    dry_run: bool,
    channel: tuple[Path, int] | None = None,
) -> Values:
    """Ask the DAO's model and pay for the call; without ``url`` a gateway of this home answers.

    ``channel`` is the file of a payment channel and what it is filled with, in atomic units.
    """
    from rodagila.app.daos import dao_named
    from rodagila.app.serving import ask_paid
    from rodagila.client import Lane

    dao = dao_named(home, dao_name)
    if dry_run:
        return {"dry_run": True, "dao": dao.name, "price": dao.policy.prices.chat, "payer": _address(home, key)}
    lane = None if channel is None else Lane(*channel)
    return ask_paid(dao, question, home.keys.get(key, passphrase), url, lane)


def arena_ask(
    home: Home,
    dao_name: str,
    question: str,
    key: str,
    passphrase: str | None,
    url: str | None,
    dry_run: bool,
    channel: tuple[Path, int] | None = None,
) -> Values:
    """Let two models of the DAO's line answer, blind; without ``url`` a gateway of this home asks them."""
    from rodagila.app.arena import ask_two_paid
    from rodagila.app.daos import dao_named
    from rodagila.client import Lane
    from rodagila.market.prices import ARENA, price_of

    dao = dao_named(home, dao_name)
    if dry_run:
        price = price_of(dao.policy.prices, ARENA)
        return {"dry_run": True, "dao": dao.name, "price": price, "payer": _address(home, key)}
    lane = None if channel is None else Lane(*channel)
    return ask_two_paid(dao, question, home.keys.get(key, passphrase), url, lane)


def arena_prefer(
    home: Home, receipt_id: str, preferred: str, key: str, passphrase: str | None, url: str | None, dry_run: bool
) -> Values:
    """Say which answer of an arena call was better, signed by the account that paid it."""
    from rodagila.app.arena import prefer_at, prefer_here

    if dry_run:
        return {"dry_run": True, "receipt_id": receipt_id, "preferred": preferred, "account": _address(home, key)}
    account = home.keys.get(key, passphrase)
    if url is None:
        return prefer_here(home, receipt_id, preferred, account)
    return prefer_at(url, receipt_id, preferred, account)


def arena_check(path: Path) -> Values:
    """Recompute a file of ratings from the signed preferences in it."""
    from rodagila.app.arena import read_ratings

    return {"ok": True, **read_ratings(path)}


def model_ratings(home: Home, dao_name: str, out: Path | None) -> Values:
    """Return the ratings of the DAO's models, and write the file that anyone recomputes them from."""
    import json

    from rodagila.app.arena import ratings_of
    from rodagila.app.daos import dao_named

    file = ratings_of(dao_named(home, dao_name))
    if out is not None:
        try:
            with out.open("x", encoding="utf-8") as target:
                json.dump(file, target)
        except FileExistsError as error:
            raise Conflict("file_exists", f"{out} exists; nothing was written.", hint="Name another file.") from error
        except OSError as error:
            raise InvalidInput("file_unreadable", f"{out} cannot be written: {error.strerror}.") from error
    return {"dao": dao_name, "preferences": len(file["preferences"]), **file["result"]}


def evaluator_stake(home: Home, dao_name: str, key: str, passphrase: str | None, amount: int, dry_run: bool) -> Values:
    """Put down an evaluator's stake."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if dry_run:
        return {"dry_run": True, "dao": dao.name, "account": _address(home, key), "amount": amount}
    return evaluators.put_down_stake(dao, home.keys.get(key, passphrase), amount)


def evaluator_open(
    home: Home,
    dao_name: str,
    key: str,
    passphrase: str | None,
    subject: str,
    terms: tuple[int, int, int],
    dry_run: bool,
) -> Values:
    """Open a round; ``terms`` are the seconds for commitments and for reveals, and the least stake that is heard."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if dry_run:
        return {"dry_run": True, "dao": dao.name, "account": _address(home, key), "subject": subject}
    return evaluators.open_round(dao, home.keys.get(key, passphrase), subject, *terms)


def evaluator_commit(
    home: Home, dao_name: str, key: str, passphrase: str | None, round: str, said: int | Path, dry_run: bool
) -> Values:
    """Commit to a score, or to the weights in a file."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if dry_run:
        return {"dry_run": True, "dao": dao.name, "account": _address(home, key), "round": round}
    account = home.keys.get(key, passphrase)
    if isinstance(said, int):
        return evaluators.commit_score(dao, account, round, said)
    return evaluators.commit_weights(dao, account, round, said)


def evaluator_reveal(
    home: Home,
    dao_name: str,
    key: str,
    passphrase: str | None,
    round: str,
    said: int | Path,
    out: Path | None,
    dry_run: bool,
) -> Values:
    """Open a commitment; weights are written to the new file ``out``, which others rank models by."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if dry_run:
        return {"dry_run": True, "dao": dao.name, "account": _address(home, key), "round": round}
    account = home.keys.get(key, passphrase)
    if isinstance(said, int):
        return evaluators.reveal_score(dao, account, round, said)
    assert out is not None
    return evaluators.reveal_weights(dao, account, round, said, out)


def evaluator_consensus(home: Home, dao_name: str, round: str, closer: str | None, passphrase: str | None) -> Values:
    """Return what a round says; ``closer`` names the key that puts its median on the ledger."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    account = None if closer is None else home.keys.get(closer, passphrase)
    return evaluators.consensus(dao_named(home, dao_name), round, account)


def evaluator_rank(
    home: Home, dao_name: str, round: str, files: Sequence[Path], previous: Path | None, out: Path | None
) -> Values:
    """Rank models by evaluators' opened weights."""
    from rodagila.app import evaluators
    from rodagila.app.daos import dao_named

    return evaluators.ranking(dao_named(home, dao_name), round, files, previous, out)


def serve(home: Home, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve every DAO's newest model until interrupted; ``ready`` is called with the gateway's address."""
    from rodagila.app.serving import serve_forever

    serve_forever(home, host, port, ready)


def ledger_serve(home: Home, host: str, port: int, origins: Sequence[str], ready: Callable[[str], None]) -> None:
    """Serve the embedded ledger's JSON-RPC until interrupted; ``ready`` gets the address once it answers."""
    from rodagila.app.ledger_server import serve_ledger

    serve_ledger(_embedded(home), host, port, origins, ready)


def ledger_verify(home: Home, progress: Progress) -> Values:
    """Execute every block of the embedded ledger again and compare hashes, roots and rows."""
    ledger = _embedded(home)
    with progress.stage("Verify", ledger.block_number() + 1) as stage:
        found = ledger.verify(lambda done, total: stage.advance())
    return {"blocks": found.blocks, "transactions": found.transactions, "head": "0x" + found.head.hex(), "ok": True}


def _embedded(home: Home) -> EmbeddedLedger:
    from rodagila.chain.embedded import EmbeddedLedger

    if not isinstance(home.ledger, EmbeddedLedger):
        raise InvalidInput(
            "usage", "This home's ledger is not embedded: its own node serves and verifies it.", hint="Ask that node."
        )
    return home.ledger


def audit(home: Home, dao_name: str | None, turn: int | None, public: Path | None = None) -> Values:
    """Recompute every root of every closed turn from the ledger and the public files.

    ``public`` is a public file from elsewhere, held against the ledger in place of the stored one of ``turn``.
    """
    from rodagila.app.auditing import audit_home

    if public is not None and (dao_name is None or turn is None):
        raise InvalidInput(
            "usage", "A public file is of one turn of one DAO.", hint="Give --dao NAME and --turn NUMBER with --public."
        )
    return audit_home(home, dao_name, turn, public)


def proposal_new(
    home: Home,
    dao_name: str,
    key: str,
    passphrase: str | None,
    title: str,
    text: str,
    wanted: Sequence[tuple[str, str]],
    dry_run: bool,
) -> Values:
    """Put a proposal on the ledger; ``wanted`` are pairs of an intent's kind and its fields, in their order."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    address = _address(home, key)
    made = proposals.draft(dao, address, title, text, wanted)
    if dry_run:
        return proposals.preview(dao, address, made)
    return proposals.propose(dao, home.keys.get(key, passphrase), made)


def proposal_list(home: Home, dao_name: str) -> list[Values]:
    """Return the DAO's proposals, the newest first."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    return proposals.listed(dao_named(home, dao_name))


def proposal_show(
    home: Home, dao_name: str, proposal: str, accounts: Sequence[str] = (), document: bytes | None = None
) -> Values:
    """Return one proposal; ``document`` is its document from elsewhere, which is kept if it is the right one."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if document is not None:
        proposals.take_document(dao, proposals.governor_of(dao).find(proposal), document)
    return proposals.show(dao, proposal, [_address(home, account) for account in accounts])


def proposal_simulate(home: Home, dao_name: str, proposal: str, accounts: Sequence[str] = ()) -> Values:
    """Return what executing a proposal would do now."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    return proposals.simulated(dao_named(home, dao_name), proposal, [_address(home, account) for account in accounts])


def proposal_vote(
    home: Home,
    dao_name: str,
    proposal: str,
    key: str,
    passphrase: str | None,
    support: str,
    reason: str = "",
    way: str = "relay",
    dry_run: bool = False,
) -> Values:
    """Vote with a key: ``relay`` signs and lets this node send it, ``sign`` only signs, ``own`` sends it itself."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    if dry_run:
        return proposals.check_vote(dao, proposal, _address(home, key), support, reason) | {"dry_run": True}
    voter = home.keys.get(key, passphrase)
    if way == "own":
        return proposals.cast(dao, proposal, voter, support, reason)
    signed, power = proposals.sign_vote(dao, proposal, voter, support, reason)
    if way == "sign":
        return signed.as_json() | {"power": str(power)}
    return proposals.send_ballot(dao, signed)


def proposal_send_ballot(home: Home, dao_name: str, ballot: bytes, dry_run: bool = False) -> Values:
    """Send a ballot that a voter signed elsewhere."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    return proposals.send_ballot(dao_named(home, dao_name), proposals.ballot_from(ballot), dry_run=dry_run)


def proposal_queue(
    home: Home, dao_name: str, proposal: str, key: str | None, passphrase: str | None, dry_run: bool
) -> Values:
    """Put an accepted proposal into the timelock; without a key the DAO's operator sends it."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    return proposals.queue(dao, proposal, None if dry_run else _sender(dao, key, passphrase))


def proposal_execute(
    home: Home, dao_name: str, proposal: str, key: str | None, passphrase: str | None, dry_run: bool
) -> Values:
    """Run a queued proposal whose delay has passed; without a key the DAO's operator sends it."""
    from rodagila.app import proposals
    from rodagila.app.daos import dao_named

    dao = dao_named(home, dao_name)
    return proposals.execute(dao, proposal, None if dry_run else _sender(dao, key, passphrase))


def _sender(dao: Dao, key: str | None, passphrase: str | None) -> LocalAccount:
    return dao.account("operator") if key is None else dao.home.keys.get(key, passphrase)


def faucet(home: Home, account: str, amount: int) -> Values:
    """Give pay tokens and gas money to an account; only where money is nobody's: embedded and development chains."""
    from rodagila.app.daos import drip, local_token
    from rodagila.chain.funding import faucet_of, give_gas_money

    address = _address(home, account)
    faucet_of(home.ledger)  # refuses where money has owners
    local_token(home)
    give_gas_money(home.ledger, address)
    drip(home, address, amount)
    return {"account": address, "amount": amount, "text": f"{address} received {format_amount(amount)}."}


def _address(home: Home, account: str) -> str:
    if is_address(account):
        return str(to_checksum_address(account))
    for name, address in home.keys.names():
        if name == account:
            return address
    raise NotFound(
        "account_unknown", f"{account!r} is neither an address nor a key of this home.", hint="List keys: roda key list"
    )


def _texts(path: Path) -> list[Record]:
    from rodagila.collect.sources import read_records

    return [row.record for row in read_records(path, RecordRules(on_malformed="refuse")).rows]
