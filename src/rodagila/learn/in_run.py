"""First-order in-run sums of a language model: what each record's steps did for the queries, by ghost products.

While the trainable weights (an adapter's factors) follow plain gradient steps of rate eta on batches B of records,

    sum_i = sum over steps with i in B of  (eta / |B|) <grad loss(Q), grad loss(i)>

is the first-order part of the fall of the queries' loss that record i caused (Wang et al., In-Run Data Shapley, arXiv
2406.11011; MECHANISM 1, step 6). A linear layer's gradient for record i is ``sum over tokens of g_t a_t'`` with the
layer's inputs a and the gradients g of its outputs, so its product with the queries' gradient G is ``sum over tokens of
g_t' G a_t``: no gradient of a single record is ever built. One backward pass of a batch gives these products and the
step. ``rodagila.value.first_order`` rescales the sums to the measured drop and makes them integers.

Guaranteed: torch computes on one thread, batches follow from the seed, no dropout, so equal inputs give equal bits on
one machine and one build of torch, whatever the process's number of threads. Not guaranteed: the same last bits on
another processor or build; whoever audits a run replays it on the pinned one (MECHANISM 3, refereed replay).

>>> run_in(model, [text_tokens("card lost -> block it", 12)], queries, InRunRules(steps=10)).drop    # doctest: +SKIP
0.31
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak

FloatArray = npt.NDArray[np.float64]
BYTES = 256
END = BYTES
"""The token after a text's last byte; ``VOCABULARY`` tokens in all."""
VOCABULARY = BYTES + 1
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as token ids; the loss is the mean over the tokens from ``scored`` (at least 1) on."""

    ids: tuple[int, ...]
    scored: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.scored < len(self.ids):
            raise InvalidInput(
                "invalid_request",
                f"A text of {len(self.ids)} tokens is scored from token {self.scored} on; it needs a token before the "
                "first scored one and at least one scored.",
            )


@dataclass(frozen=True, slots=True)
class InRunRules:
    """``rate`` is eta for the mean loss of a batch of ``batch`` records; a longer gradient than ``longest`` is cut."""

    steps: int = 100
    rate: float = 0.5
    batch: int = 16
    longest: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class InRunSums:
    """``sums`` (n,) by record, the queries' mean loss ``before`` and ``after``, and the hash of the trained weights."""

    sums: FloatArray
    before: float
    after: float
    weights: bytes

    @property
    def drop(self) -> float:
        """The measured fall of the queries' loss."""
        return self.before - self.after


def text_tokens(text: str, scored: int = 1, most: int = 512) -> Tokens:
    """Return UTF-8 bytes and ``END``; ``scored`` counts characters, at most ``most`` tokens are kept."""
    start = max(1, len(text[:scored].encode("utf-8", "surrogatepass")))
    ids = (*text.encode("utf-8", "surrogatepass"), END)
    return Tokens(ids[:most], start)


def run_in(model: Any, records: Sequence[Tokens], queries: Sequence[Tokens], rules: InRunRules) -> InRunSums:
    """Train the trainable weights of ``model`` on ``records`` and return each record's sum for ``queries``.

    ``model`` is a causal language model (``model(input_ids=...).logits``), changed in place; every trainable weight
    must be that of a linear layer without a trainable bias, as a low-rank adapter's are. Raises ``InvalidInput``
    otherwise.
    """
    import torch

    layers = trainable_layers(model)
    _check(layers, records, queries, rules)
    weights = [layer.weight for layer in layers.values()]
    sums = np.zeros(len(records))
    model.eval()  # no dropout: a step must be the one that the sums are about
    with _one_thread():
        before = mean_loss(model, queries, rules.batch)
        for rows in _batches(len(records), rules):
            wanted = _query_gradients(model, weights, queries, rules.batch)
            products, gradients = ghost_products(model, layers, [records[row] for row in rows], wanted)
            size = float(torch.sqrt(sum((g * g).sum() for g in gradients)))
            step = rules.rate / len(rows) * min(1.0, rules.longest * len(rows) / max(size, 1e-300))
            sums[rows] += step * products
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.sub_(step * gradient)
        after = mean_loss(model, queries, rules.batch)
    return InRunSums(sums, before, after, weights_hash(layers))


def trainable_layers(model: Any) -> dict[str, Any]:
    """Return the linear layers with a trainable weight, by name; raises ``InvalidInput`` if anything else trains."""
    import torch

    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer.weight.requires_grad
    }
    known = {id(layer.weight) for layer in layers.values()}
    other = [name for name, weight in model.named_parameters() if weight.requires_grad and id(weight) not in known]
    if other or not layers:
        raise InvalidInput(
            "invalid_request",
            "In-run sums need trainable weights of linear layers and no others; "
            f"{other[0] if other else 'none'} trains.",
            hint="Freeze the model and train a low-rank adapter without bias.",
        )
    return layers


def ghost_products(
    model: Any, layers: dict[str, Any], batch: Sequence[Tokens], wanted: Sequence[Any]
) -> tuple[FloatArray, list[Any]]:
    """Return <wanted, grad loss(i)> (n,) of each record of ``batch`` and the sum of the records' gradients by layer.

    ``wanted`` holds one tensor a layer, of its weight's shape.
    """
    import torch

    products = torch.zeros(len(batch), dtype=torch.float64)

    def listen(goal: Any) -> Any:
        def forward(_: Any, inputs: tuple[Any, ...], output: Any) -> None:
            entered = inputs[0].detach()

            def backward(gradient: Any) -> None:
                cells = (gradient @ goal) * entered
                products.add_(cells.reshape(len(batch), -1).double().sum(dim=1))

            output.register_hook(backward)

        return forward

    pairs = zip(layers.values(), wanted, strict=True)
    handles = [layer.register_forward_hook(listen(goal)) for layer, goal in pairs]
    try:
        total = record_losses(model, batch).sum()
        gradients = torch.autograd.grad(total, [layer.weight for layer in layers.values()])
    finally:
        for handle in handles:
            handle.remove()
    return products.numpy(), list(gradients)


def record_losses(model: Any, batch: Sequence[Tokens]) -> Any:
    """Return the mean cross-entropy (n,) of each text's scored tokens.

    Texts are padded on the right; attention looks back only, so no padding enters a scored token's loss.
    """
    import torch

    longest = max(len(item.ids) for item in batch)
    ids = torch.tensor([[*item.ids, *(0,) * (longest - len(item.ids))] for item in batch])
    goals = torch.full_like(ids, IGNORED)
    for row, item in enumerate(batch):
        goals[row, item.scored : len(item.ids)] = ids[row, item.scored : len(item.ids)]
    scores = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        scores.transpose(1, 2), goals[:, 1:], ignore_index=IGNORED, reduction="none"
    )
    return losses.sum(dim=1) / (goals[:, 1:] != IGNORED).sum(dim=1)


def mean_loss(model: Any, texts: Sequence[Tokens], batch: int) -> float:
    """Return the mean loss of ``texts``."""
    import torch

    with torch.no_grad():
        total = sum(float(record_losses(model, part).double().sum()) for part in _parts(texts, batch))
    return total / len(texts)


def weights_hash(layers: dict[str, Any]) -> bytes:
    """Return Keccak-256 over the layers' names, shapes and weights, in the order of names."""
    parts = []
    for name in sorted(layers):
        weight = layers[name].weight.detach().numpy()
        parts.append(keccak(f"{name} {weight.dtype.str} {weight.shape}".encode()) + keccak(weight.tobytes()))
    return keccak(b"".join(parts))


def _query_gradients(model: Any, weights: list[Any], queries: Sequence[Tokens], batch: int) -> list[Any]:
    import torch

    totals = [torch.zeros_like(weight) for weight in weights]
    for part in _parts(queries, batch):
        gradients = torch.autograd.grad(record_losses(model, part).sum(), weights)
        totals = [total + gradient / len(queries) for total, gradient in zip(totals, gradients, strict=True)]
    return totals


def _batches(count: int, rules: InRunRules) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each step's batch: every record once in each pass, passes in seeded orders."""
    rng, waiting = np.random.default_rng(rules.seed), np.zeros(0, np.int64)
    for _ in range(rules.steps):
        if not len(waiting):
            waiting = rng.permutation(count)
        rows, waiting = waiting[: rules.batch], waiting[rules.batch :]
        yield rows


def _parts(texts: Sequence[Tokens], size: int) -> Iterator[Sequence[Tokens]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: its sums keep their order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(layers: dict[str, Any], records: Sequence[Tokens], queries: Sequence[Tokens], rules: InRunRules) -> None:
    if any(layer.bias is not None and layer.bias.requires_grad for layer in layers.values()):
        raise InvalidInput("invalid_request", "In-run sums need linear layers without a trainable bias.")
    if not records or not queries:
        raise InvalidInput("invalid_request", "In-run sums need at least one record and one query.")
    positive = rules.rate > 0 and rules.longest > 0
    if rules.steps < 0 or rules.batch < 1 or not positive:
        raise InvalidInput(
            "invalid_request", "Steps must be at least 0, the batch at least 1, rate and longest gradient positive."
        )
