"""The arena over HTTP: blind, drawn by a committed seed, one preference for one paid receipt, ratings for everybody."""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_abi.abi import encode as abi_encode

from gateway_stand import SENTENCES, Stand, WordModel, key, serving
from rodagila.client import AsyncClient, Client, Reply
from rodagila.core.errors import (
    Conflict,
    InvalidInput,
    NotAuthorised,
    NotFound,
    RefusedByPolicy,
    RodaError,
)
from rodagila.core.hashing import hex0x, keccak
from rodagila.core.messages import Domain, Preference, dao_id, sign
from rodagila.core.policy import ArenaRules
from rodagila.market.lanes import Lane
from rodagila.serve.arena import DECOY, Arena, CatalogueLine, draw
from rodagila.serve.catalogue import Catalogue
from rodagila.serve.gateway import GatewayContext, create_app
from rodagila.serve.ratings import checked

QUESTION = "Return the absolute value of a number."
MODELS = ("docs-1", "docs-2", "docs-3")
DAY = 86_400


class Table:
    """One gateway whose DAO docs has three models, with a clock that tests move."""

    def __init__(self, stand: Stand) -> None:
        self.stand, self.now = stand, stand.ledger.timestamp()
        self.catalogue = Catalogue()
        first = stand.catalogue.find("docs")
        for turn in (1, 2, 3):
            self.catalogue.publish(replace(first, turn=turn, model=WordModel(SENTENCES[: 2 + 2 * turn])))
        self.arena = Arena.beside(CatalogueLine(self.catalogue), stand.calls, stand.gateway)
        context = GatewayContext(
            self.catalogue, stand.paywall, stand.feedback, arena=self.arena, clock=lambda: self.now
        )
        self.app = create_app(context)

    def rules(self, **changes: Any) -> None:
        """Let the DAO's newest model stand under other rules of the arena."""
        newest = self.catalogue.find("docs")
        policy = replace(newest.policy, arena=replace(newest.policy.arena, **changes))
        self.catalogue.publish(replace(newest, policy=policy))

    def shown(self, reply: Reply) -> tuple[str, ...]:
        """Return what only the gateway knows: the models of the answers."""
        assert reply.receipt is not None
        return self.stand.calls.by_receipt(reply.receipt.id).pair[1:]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("arena")))
    drip = keccak(b"drip(address,uint256)")[:4]
    for name in ("rater", "bot"):
        data = drip + abi_encode(["address", "uint256"], [key(name).address, 100_000_000])
        stand.transact(stand.faucet, stand.token.address, data)
    yield stand
    stand.close()


@pytest.fixture
def table(stand: Stand) -> Table:
    return Table(stand)


@pytest.fixture
def url(table: Table) -> Iterator[str]:
    with serving(table.app) as address:
        yield address


def client_of(stand: Stand, url: str, name: str = "buyer", lane: Lane | None = None) -> Client:
    return Client(url, key(name), token=stand.token.address, network=stand.network, lane=lane)


@pytest.fixture
def client(stand: Stand, url: str) -> Iterator[Client]:
    with client_of(stand, url) as client:
        yield client


def send(client: Client, reply: Reply, **changes: Any) -> dict[str, Any]:
    """Send a preference with some part of it changed."""
    assert reply.receipt is not None
    signer, domain = changes.pop("signer", key("buyer")), changes.pop("domain", reply.receipt.domain)
    account, preferred = changes.get("account", signer.address), changes.pop("signed", "a")
    expires = changes.pop("expires", 2**40)
    message = Preference(reply.receipt.id, account, preferred, expires)
    given = {
        "receipt_id": hex0x(reply.receipt.id),
        "account": account,
        "preferred": preferred,
        "expires": expires,
        "signature": hex0x(sign(signer, domain, message)),
        **changes,
    }
    return dict(client._json(client._free("POST", "v1/preferences", given)))


def test_two_models_answer_and_neither_body_nor_headers_say_which(client: Client, stand: Stand, table: Table) -> None:
    held = stand.balance(stand.buyer.address)
    reply = client.ask_two("docs", QUESTION)
    assert list(reply.answers) == ["a", "b"] and all(reply.answers.values())
    assert held - stand.balance(stand.buyer.address) == 4_000 == int(client.arena("docs")["price"])
    assert not any(name in json.dumps(reply.body) for name in MODELS)
    assert set(table.shown(reply)) <= {*MODELS, DECOY}
    assert reply.receipt is not None and reply.receipt.receipt.route == "/v1/arena"


def test_the_seed_s_commitment_is_told_before_and_stands_in_what_the_receipt_signs(client: Client) -> None:
    terms = client.arena("docs-2")
    assert terms["models"] == list(MODELS)
    assert client.ask_two("docs", QUESTION).body["commitment"] == terms["commitment"]


def test_pair_and_sides_are_what_the_seed_draws_for_the_payment(client: Client, table: Table, stand: Stand) -> None:
    (roster,) = table.arena.rosters.of_dao("docs", dao_id(stand.domain("docs")))[-1:]
    for _ in range(3):
        reply = client.ask_two("docs", "regular expression pattern")
        assert reply.receipt is not None
        drawn = draw(roster.seed, reply.receipt.receipt.payment, roster.models, roster.gold_ppm)
        assert DECOY in table.shown(reply) or table.shown(reply) == drawn.pair


def test_pairs_sides_and_golds_are_drawn_evenly() -> None:
    draws = [draw(keccak(b"seed"), number.to_bytes(32, "big"), MODELS, 100_000) for number in range(6_000)]
    pairs = Counter(found.pair for found in draws)
    assert len(pairs) == 6 and max(pairs.values()) - min(pairs.values()) < 200
    assert 480 < sum(found.gold for found in draws) < 720
    assert 2_800 < sum(found.decoy_side for found in draws) < 3_200


def test_a_preference_is_taken_once_and_a_replay_is_told_so(client: Client, table: Table) -> None:
    reply = client.ask_two("docs", QUESTION)
    assert client.prefer(reply, "tie")["preferred"] == "tie"
    for again in ("tie", "b"):
        with pytest.raises(Conflict, match="already gave its preference") as used:
            client.prefer(reply, again)
        assert used.value.code == "preference_used"
    assert [row.preferred for row in table.arena.preferences.of_dao("docs") if row.receipt == reply.receipt] == ["tie"]


def test_the_asynchronous_client_asks_and_prefers_too(stand: Stand, url: str) -> None:
    async def once() -> dict[str, Any]:
        async with AsyncClient(url, stand.buyer, token=stand.token.address, network=stand.network) as client:
            return await client.prefer(await client.ask_two("docs", QUESTION), "b")

    assert asyncio.run(once())["preferred"] == "b"


def test_a_call_paid_by_channel_takes_a_preference_as_well(stand: Stand, url: str, tmp_path: Path) -> None:
    with client_of(stand, url, lane=Lane(tmp_path / "lane.json", deposit=20_000)) as client:
        replies = [client.ask_two("docs", QUESTION) for _ in range(2)]
        assert {client.prefer(reply, "a")["preferred"] for reply in replies} == {"a"}


def test_a_preference_without_a_receipt_is_refused(client: Client) -> None:
    with pytest.raises(NotFound, match="issued no receipt") as unknown:
        send(client, client.ask_two("docs", QUESTION), receipt_id="0x" + "00" * 32)
    assert unknown.value.code == "receipt_unknown"


def test_a_receipt_of_another_route_takes_no_preference(client: Client) -> None:
    with pytest.raises(InvalidInput, match="showed one answer") as refused:
        send(client, client.ask("docs", QUESTION))
    assert refused.value.code == "preference_invalid"


def test_nobody_prefers_on_the_receipt_of_another(client: Client) -> None:
    reply = client.ask_two("docs", QUESTION)
    for changes, words in (
        ({"signer": key("thief")}, "paid by another account"),
        ({"signer": key("thief"), "account": key("buyer").address}, "not signed by the account"),
        ({"domain": Domain(1, "0x" + "11" * 20)}, "not signed by the account"),
        ({"preferred": "b"}, "not signed by the account"),
        ({"signature": "0x" + "00" * 65}, "not signed by the account"),
    ):
        with pytest.raises(NotAuthorised, match=words) as refused:
            send(client, reply, **changes)
        assert refused.value.code == "preference_invalid"
    assert send(client, reply)["preferred"] == "a", "what was refused used nothing up"


def test_a_preference_that_comes_too_late_is_refused_with_both_times(client: Client, table: Table) -> None:
    reply = client.ask_two("docs", QUESTION)
    with pytest.raises(RefusedByPolicy, match=f"sent by {table.now - 1}") as expired:
        send(client, reply, expires=table.now - 1)
    assert expired.value.code == "preference_expired"
    table.now += 8 * DAY
    with pytest.raises(RefusedByPolicy, match="on this call was taken until"):
        send(client, reply)


def test_a_preference_on_a_payment_that_the_chain_dropped_is_refused(client: Client, stand: Stand) -> None:
    reply = client.ask_two("docs", QUESTION)
    assert reply.receipt is not None
    transaction = stand.calls.by_receipt(reply.receipt.id).transaction
    assert transaction is not None
    stand.calls.orphan(transaction)
    with pytest.raises(Conflict, match="undone by a reorganisation"):
        client.prefer(reply, "a")


@pytest.mark.parametrize("body", [{"preferred": "c"}, {"expires": -1}, {"expires": 1.5}, {"more": 1}, {"account": 1}])
def test_malformed_preferences_are_refused_in_a_sentence(client: Client, body: dict[str, Any]) -> None:
    given = {
        "receipt_id": "0x" + "00" * 32, "account": key("buyer").address, "preferred": "a", "expires": 1,
        "signature": "0x" + "00" * 65, **body,
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        client._json(client._free("POST", "v1/preferences", given))
    assert refused.value.code == "invalid_request"


def test_a_line_of_one_model_has_no_arena_and_nothing_is_charged(stand: Stand, client: Client) -> None:
    held = stand.balance(stand.buyer.address)
    alone = create_app(GatewayContext(stand.catalogue, stand.paywall, stand.feedback))
    with (
        serving(alone) as address,
        client_of(stand, address) as other,
        pytest.raises(RefusedByPolicy, match="needs two models") as small,
    ):
        other.ask_two("docs", QUESTION)
    assert small.value.code == "arena_small" and stand.balance(stand.buyer.address) == held


def test_an_unpaid_call_learns_the_price_of_two_answers_and_no_answer(url: str) -> None:
    reply = httpx.post(f"{url}/v1/arena", json={"model": "docs", "question": QUESTION})
    assert reply.status_code == 402 and "answers" not in reply.text
    assert "0.004" in reply.json()["detail"]


def test_golds_show_a_decoy_on_either_side_and_only_where_one_answer_is_known_to_be_worse(
    client: Client, table: Table
) -> None:
    table.rules(gold_ppm=1_000_000)
    golds = [table.shown(client.ask_two("docs", SENTENCES[0][0])) for _ in range(30)]
    assert {pair.index(DECOY) for pair in golds} == {0, 1}
    assert DECOY not in table.shown(client.ask_two("docs", "quantum chromodynamics"))


def test_a_change_of_the_line_opens_a_roster_with_another_seed_that_stays_hidden(client: Client, table: Table) -> None:
    before = client.arena("docs")["commitment"]
    client.prefer(client.ask_two("docs", QUESTION), "a")
    table.rules(models=2)
    table.now += 1
    terms = client.arena("docs")
    assert terms["models"] == ["docs-2", "docs-3"] and terms["commitment"] != before
    seeds = {roster["commitment"]: roster["seed"] for roster in client.ratings("docs")["rosters"]}
    assert seeds[before] is None and seeds[terms["commitment"]] is None
    table.now += 8 * DAY
    assert client.ratings("docs")["rosters"][-2]["seed"] is not None
    assert client.ratings("docs")["rosters"][-1]["seed"] is None, "the standing roster's seed decides what comes"
    checked(client.ratings("docs"))


@pytest.fixture(scope="module")
def voted(stand: Stand) -> dict[str, Any]:
    """A file of ratings: two people who read, and a bot that is right as often as a coin. First golds, then pairs."""
    table = Table(stand)
    with serving(table.app) as url:
        for gold_ppm, question, calls in ((1_000_000, SENTENCES[0][0], 8), (0, QUESTION, 10)):
            table.rules(gold_ppm=gold_ppm)
            table.now += 1
            for name in ("buyer", "rater", "bot"):
                with client_of(stand, url, name) as client:
                    for number in range(calls):
                        reply = client.ask_two("docs", question)
                        client.prefer(reply, _preferred(reply, name == "bot" and number % 2 == 0))
        table.rules(models=2)  # another roster: what the others drew is told when no preference can come any more
        table.now += 1
        with client_of(stand, url) as client:
            client.arena("docs")
            table.now += 8 * DAY
            return client.ratings("docs")


def _preferred(reply: Reply, contrary: bool) -> str:
    """Return the side that names the function which the question describes."""
    right = [side for side, text in reply.answers.items() if text.startswith(("open:", "abs:"))]
    if len(right) != 1:
        return "tie"
    return "ba"["ab".index(right[0])] if contrary else right[0]


def test_the_file_rates_the_better_model_higher_and_says_why_the_bot_does_not_count(voted: dict[str, Any]) -> None:
    raters = {rater["account"]: rater for rater in voted["result"]["raters"]}
    bot, rater = raters[key("bot").address], raters[key("rater").address]
    assert (bot["counts"], bot["why"]) == (False, "4 of 8 golds right is not above chance")
    assert rater["counts"] and rater["right"] == rater["golds"] == 8 and rater["weight_ppm"] > 0
    ratings = {row["model"]: row for row in voted["result"]["ratings"]}
    assert ratings["docs-3"]["rating_ppm"] > ratings["docs-2"]["rating_ppm"]
    assert all(row["low_ppm"] <= row["rating_ppm"] <= row["high_ppm"] for row in ratings.values())
    assert sum(row["won"] for row in ratings.values()) == sum(row["lost"] for row in ratings.values())


def test_anybody_recomputes_the_file_from_what_was_signed(voted: dict[str, Any]) -> None:
    assert [roster["seed"] is not None for roster in voted["rosters"]][-2:] == [True, False]
    assert checked(json.loads(json.dumps(voted))) == voted["result"]


def _forged(voted: dict[str, Any], change: str) -> dict[str, Any]:
    file = copy.deepcopy(voted)
    entries, result = file["preferences"], file["result"]
    plain = next(entry for entry in entries if DECOY not in entry["pair"])
    match change:
        case "signature":
            plain["preferred"] = "a" if plain["preferred"] != "a" else "b"
        case "twice":
            entries.append(entries[-1])
        case "payer":
            plain["account"] = key("thief").address
        case "receipt":
            plain["receipt"]["receipt"]["amount"] += 1
        case "gateway":
            file["gateway"] = key("thief").address
        case "sides":
            plain["pair"][1:] = plain["pair"][:0:-1]
        case "model":
            plain["pair"][1] = "docs-9"
        case "seed":
            file["rosters"][0]["seed"] = "0x" + "11" * 32
        case "late":
            plain["created"] = plain["expires"] + 1
        case "rating":
            result["ratings"][0]["rating_ppm"] += 1_000
        case "left out":
            entries.remove(plain)
        case "stake":
            file["reputation"]["least_golds"] = 999
        case "text":
            file["turn"] = "three"
        case "rules":
            file["arena"]["luck"] = 1
    return file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("signature", "is not signed by 0x"),
        ("twice", "gave its preference before"),
        ("payer", "not of an arena call that"),
        ("receipt", "no receipt that can be read"),
        ("gateway", "not signed by the gateway"),
        ("sides", "other models than the seed drew"),
        ("model", "no roster of the file let meet"),
        ("seed", "does not hash to its commitment"),
        ("late", "after it expired"),
        ("rating", "rating_ppm is not what"),
        ("left out", "is not what its preferences give"),
        ("stake", "is not what its preferences give"),
        ("text", "not a file of ratings: turn"),
        ("rules", "not a file of ratings"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused_in_a_sentence(voted: dict[str, Any], change: str, words: str) -> None:
    with pytest.raises(RodaError, match=words) as refused:
        checked(_forged(voted, change))
    assert refused.value.code in ("ratings_invalid", "audit_mismatch")


@pytest.mark.parametrize("body", [None, [], {}, {"format": "other"}, {"format": "rodagila-ratings-1", "x": 1}])
def test_what_is_no_file_of_ratings_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput, match="not a file of ratings"):
        checked(body)


def test_preferences_beyond_an_account_s_tier_weigh_nothing(voted: dict[str, Any]) -> None:
    file = copy.deepcopy(voted)
    file["reputation"]["tier_free"] = 3
    file["stakes"] = {key("rater").address: 1_000_000}
    from rodagila.serve.ratings import _File, _result

    raters = {rater["account"]: rater for rater in _result(_File.model_validate(file))["raters"]}
    assert raters[key("buyer").address]["preferences"] == 3 and raters[key("buyer").address]["beyond_tier"] > 0
    assert raters[key("rater").address]["beyond_tier"] == 0, "a stake opens more"


def test_the_arena_s_rules_are_the_policy_s() -> None:
    assert ArenaRules().models == 3 and ArenaRules().gold_ppm == 100_000
