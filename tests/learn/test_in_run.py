"""In-run sums of a language model: ghost products are gradients' products, and junk is worth less than honest text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import ValueRules
from rodagila.learn.adapter import with_adapter
from rodagila.learn.in_run import (
    END,
    VOCABULARY,
    InRunRules,
    InRunSums,
    Tokens,
    ghost_products,
    record_losses,
    run_in,
    text_tokens,
    trainable_layers,
)
from rodagila.reward.settlement import BondedContribution, SettlementInputs, settle
from rodagila.value.examples import Examples
from rodagila.value.first_order import quantised, rescaled, with_run_check
from rodagila.value.ocis import ValueInputs, value_records

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clinc150" / "data_full.json"
TEXTS = ("block my card", "what is my balance", "pay the water bill", "flip a coin", "how far is the moon")
RULES = InRunRules(steps=6, rate=0.05, batch=3)


@pytest.fixture(autouse=True)
def torch_threads() -> Iterator[None]:
    """Leave torch's number of threads as it was."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model_of(seed: int, width: int = 16, layers: int = 2) -> Any:
    """Return a small causal language model over bytes with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 128}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape, **heads))


def half_frozen(seed: int) -> Any:
    """Return a model in double precision of which the projections of queries and values train."""
    model = model_of(seed).double()
    for name, weight in model.named_parameters():
        weight.requires_grad_("q_proj" in name or "v_proj" in name or "down_proj" in name)
    return model


def adapted(seed: int) -> Any:
    """Return a model in double precision with a low-rank adapter whose factors are not zero."""
    pytest.importorskip("peft", reason="peft (extra lora) is not installed")
    import torch

    model = with_adapter(model_of(seed).double(), rank=3, seed=seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.add_(0.1 * torch.from_numpy(np.random.default_rng(seed).normal(size=weight.shape)))
    return model


def gradients(model: Any, layers: dict[str, Any], texts: list[Tokens]) -> list[np.ndarray]:
    """Return the explicit gradient of the mean loss of ``texts``, by layer."""
    import torch

    found = torch.autograd.grad(record_losses(model, texts).mean(), [layer.weight for layer in layers.values()])
    return [gradient.numpy() for gradient in found]


@pytest.mark.parametrize("make", [half_frozen, adapted])
@pytest.mark.parametrize("seed", range(3))
def test_ghost_products_are_the_products_of_explicit_gradients(make: Any, seed: int) -> None:
    import torch

    model, texts = make(seed), [text_tokens(text, scored=1 + seed) for text in TEXTS]
    layers = trainable_layers(model)
    whole = gradients(model, layers, texts[3:])
    products, sums = ghost_products(model, layers, texts[:3], [torch.from_numpy(part) for part in whole])
    single = [gradients(model, layers, [text]) for text in texts[:3]]
    expected = [sum(float((a * b).sum()) for a, b in zip(whole, each, strict=True)) for each in single]
    np.testing.assert_allclose(products, expected, rtol=1e-6, atol=1e-12)
    for at, gradient in enumerate(sums):
        np.testing.assert_allclose(gradient.numpy(), sum(each[at] for each in single), rtol=1e-6, atol=1e-12)


def run(seed: int, order: tuple[int, ...] = (0, 1, 2), rules: InRunRules = RULES) -> InRunSums:
    texts = [text_tokens(text) for text in TEXTS]
    return run_in(half_frozen(seed), [texts[at] for at in order], texts[3:], rules)


@pytest.mark.parametrize("seed", range(3))
def test_values_sum_to_the_measured_drop_and_small_steps_explain_it(seed: int) -> None:
    found = run(seed, rules=InRunRules(steps=20, rate=0.01, batch=3))
    valued = rescaled(found.sums, found.drop)
    assert found.drop > 0 and abs(valued.unexplained) < 0.05
    assert valued.values.values.sum() == pytest.approx(found.drop, abs=1e-12)
    assert abs(int(quantised(valued.values.values).sum()) - round(found.drop * 2**30)) <= len(TEXTS)


def test_permuting_records_permutes_their_sums() -> None:
    whole = InRunRules(steps=4, rate=0.05, batch=8)  # all records in every step, so no order of batches comes in
    np.testing.assert_allclose(run(1, (2, 0, 1), whole).sums, run(1, (0, 1, 2), whole).sums[[2, 0, 1]], atol=1e-12)


def test_a_record_that_was_in_no_batch_is_worth_nothing_and_can_be_left_out() -> None:
    one_step = InRunRules(steps=1, rate=0.05, batch=2, seed=4)
    found = run(2, (0, 1, 2), one_step)
    (unused,) = np.flatnonzero(found.sums == 0)
    kept = tuple(at for at in range(3) if at != unused)
    alone = run(2, kept, InRunRules(steps=1, rate=0.05, batch=2))
    np.testing.assert_allclose(alone.sums, found.sums[list(kept)], atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    found = run(3)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    again = run(3)
    assert found.sums.tobytes() == again.sums.tobytes() and found.weights == again.weights
    assert quantised(found.sums).tolist() == quantised(again.sums).tolist()


def test_an_adapter_begins_as_the_model_and_follows_its_seed() -> None:
    pytest.importorskip("peft", reason="peft (extra lora) is not installed")
    import torch

    texts = [text_tokens(text) for text in TEXTS]
    with torch.no_grad():
        plain = record_losses(model_of(5), texts)
        first, second = (with_adapter(model_of(5), rank=2, seed=9) for _ in range(2))
        torch.testing.assert_close(record_losses(first, texts), plain)
    factors = [[layer.weight for layer in trainable_layers(model).values()] for model in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(*factors, strict=True))


def test_an_adapter_without_peft_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidInput, match="Adapters need peft"):
        with_adapter(object())


def test_what_cannot_be_run_is_refused() -> None:
    texts = [text_tokens(text) for text in TEXTS]
    with pytest.raises(InvalidInput, match="linear layers and no others"):
        run_in(model_of(1), texts[:3], texts[3:], RULES)  # the embedding trains
    with pytest.raises(InvalidInput, match="at least one record"):
        run_in(half_frozen(1), [], texts, RULES)
    with pytest.raises(InvalidInput, match="rate"):
        run_in(half_frozen(1), texts[:3], texts[3:], InRunRules(rate=0.0))
    with pytest.raises(InvalidInput, match="scored from token 1"):
        Tokens((5,))


def test_texts_are_bytes_with_an_end() -> None:
    assert text_tokens("né", scored=1) == Tokens((110, 195, 169, END), 1)
    assert text_tokens("énorme", scored=1).scored == 2 and text_tokens("abcdef", most=3).ids == (97, 98, 99)


def junk_run(seed: int) -> tuple[InRunSums, list[str], np.ndarray]:
    """Adapt a model that read other intents to records of four intents, a quarter of them junk."""
    import torch

    if not SHARED.exists():
        pytest.skip(f"{SHARED} is not here")
    rng, found = np.random.default_rng(seed), {}
    for text, label in json.loads(SHARED.read_text(encoding="utf-8"))["train"]:
        found.setdefault(label, []).append(text)
    names = rng.permutation(sorted(found))
    read = [text_tokens(text, most=48) for name in names[:60] for text in found[name][:10]]
    model = model_of(seed, width=48)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        record_losses(model, [read[at] for at in rng.choice(len(read), 24)]).mean().backward()
        optimiser.step()
    for name, weight in model.named_parameters():
        weight.requires_grad_("_proj" in name)
    own = [text for name in names[100:104] for text in found[name][:14]]
    own = [own[at] for at in rng.permutation(len(own))]
    junk = ["".join(rng.permutation(list(text))) for text in own[:8]]
    texts = [*own[:24], *junk]
    queries = [text_tokens(text, most=48) for text in own[24:40]]
    rules = InRunRules(steps=20, rate=0.05, batch=16, seed=seed)
    sums = run_in(model, [text_tokens(text, most=48) for text in texts], queries, rules)
    return sums, texts, np.arange(32) >= 24


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_junk_is_worth_less_than_honest_text_and_is_slashed_more_and_paid_less(seed: int) -> None:
    sums, texts, junk = junk_run(seed)
    above = (sums.sums[~junk][:, None] > sums.sums[junk][None, :]).mean()
    assert above > 0.8, above
    assert sums.sums[~junk].mean() > 0 > sums.sums[junk].mean()
    signed = quantised(rescaled(sums.sums, sums.drop).values.values)
    vectors, asked = np.random.default_rng(seed).integers(-100, 100, (2, len(texts), 16)).astype(np.int8)
    data = Examples(vectors, np.zeros(len(texts), np.int64))  # unlike vectors of one target: every record is a slot
    queries, ones = Examples(asked, data.targets), np.ones(len(texts), np.int64)
    inputs = ValueInputs(data, ones, np.zeros(len(texts), bool), data.take([]), queries, ones, ValueRules())
    values = with_run_check(value_records(inputs), signed)
    owners = [
        BondedContribution(bytes([at]) * 32, name, 1, n, 10**6)
        for at, (name, n) in enumerate((("honest", 24), ("junk", 8)))
    ]
    done = settle(
        SettlementInputs(
            1, 10**9, 10**6, tuple(owners), junk.astype(int).tolist(), values.v, values.s.tolist(), {}, 0, {}
        )
    )
    assert values.slot.all() and done.slash_of[owners[1].id] > done.slash_of[owners[0].id]
    assert done.payouts["honest"] / 24 > done.payouts.get("junk", 0) / 8
