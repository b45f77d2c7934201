"""Low-rank adapters on a causal language model: two small factors a linear layer are trained, the model is not.

A layer ``W x`` becomes ``W x + (scale / rank) B A x`` with A (rank, in) random and B (out, rank) zero, so that the
adapted model begins as the model itself (Hu et al., LoRA, arXiv 2106.09685). By peft, extra ``lora``.

>>> adapted = with_adapter(model, rank=4)          # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from rodagila.core.errors import InvalidInput

EVERY_LINEAR = "all-linear"


def with_adapter(
    model: Any, *, rank: int = 8, scale: int = 16, layers: str | list[str] = EVERY_LINEAR, seed: int = 0
) -> Any:
    """Return ``model`` with a fresh adapter; ``layers`` are names of linear layers, or all but the output's.

    Equal seeds give equal factors. Raises ``InvalidInput`` if peft is not installed.
    """
    try:
        peft = import_module("peft")
    except ImportError as error:
        raise InvalidInput(
            "invalid_request",
            "Adapters need peft, which is not installed.",
            hint="Install rodagila[lora].",
        ) from error
    import torch

    rules = peft.LoraConfig(r=rank, lora_alpha=scale, lora_dropout=0.0, target_modules=layers, bias="none")
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # peft asks transformers by a name that is about to change
        torch.manual_seed(seed)
        return peft.get_peft_model(model, rules, autocast_adapter_dtype=False)
