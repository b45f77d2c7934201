"""The embedder: one text, one vector, in any company, on any number of threads and processes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import Corrupted, NotFound, Unreachable
from rodagila.core.vectors import quantise
from rodagila.learn.embedder import BATCH_TOKENS, PINNED, MiniLM, default_folder, equal_length_batches
from rodagila.learn.workers import Workers

WORDS = (*tuple("abcdefghijklmnop"), "reset", "card", "bank", "river", "closed", "sunny", "monday", "spring")
GENERATOR = np.random.Generator(np.random.PCG64(11))
TEXTS = [" ".join(GENERATOR.choice(WORDS, size=GENERATOR.integers(1, 40))) for _ in range(120)] + [
    "",
    "  spaces around  ",
    "naïve café 東京 🙂",
    "word " * 600,
]


@pytest.fixture(scope="module")
def alone(minilm: MiniLM) -> np.ndarray:
    return np.vstack([minilm.encode([text]) for text in TEXTS])


def test_a_text_has_the_same_bytes_alone_and_in_company(minilm: MiniLM, alone: np.ndarray) -> None:
    assert np.array_equal(minilm.encode(TEXTS), alone)
    order = np.random.Generator(np.random.PCG64(5)).permutation(len(TEXTS))
    assert np.array_equal(minilm.encode([TEXTS[i] for i in order]), alone[order])
    assert np.array_equal(minilm.encode(TEXTS[3:40] + TEXTS[:2]), np.vstack([alone[3:40], alone[:2]]))


def test_the_number_of_threads_changes_nothing_and_is_restored(minilm: MiniLM, alone: np.ndarray) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert np.array_equal(minilm.encode(TEXTS), alone)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_two_processes_give_the_same_bytes_and_stay_for_the_next_call(alone: np.ndarray) -> None:
    seen: list[tuple[int, int]] = []
    many = TEXTS * 2
    with closing(Workers(2, 384)) as workers:
        vectors = workers.encode(many, lambda done, total: seen.append((done, total)))
        assert np.array_equal(vectors, np.vstack([alone, alone]))
        assert np.array_equal(workers.encode(TEXTS[:7]), alone[:7])
    assert seen[-1] == (len(many), len(many))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_worker_that_ends_early_is_an_error_and_not_a_wrong_vector(tmp_path: Path) -> None:
    with closing(Workers(1, 384, tmp_path / "nothing")) as workers, pytest.raises(Unreachable):
        workers.encode(["one", "two"])


def test_vectors_are_those_of_sentence_transformers(minilm: MiniLM, shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        peer = SentenceTransformer(str(default_folder()), device="cpu", local_files_only=True)
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    texts = [text for text, _ in data["train"][:200]] + TEXTS[-4:]
    theirs = quantise(peer.encode(texts, normalize_embeddings=True, show_progress_bar=False))
    difference = np.abs(minilm.encode(texts).astype(int) - theirs)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4


def test_int8_vectors_keep_their_length(minilm: MiniLM, alone: np.ndarray) -> None:
    lengths = np.linalg.norm(alone.astype(float), axis=1)
    assert np.median(np.abs(lengths / 508 - 1)) < 0.002
    assert np.all(np.abs(lengths / 508 - 1) < 0.1)  # values beyond .25 are clipped: the empty text's lose 5%
    assert minilm.encode([]).shape == (0, 384)


def test_text_beyond_256_tokens_is_not_read(minilm: MiniLM) -> None:
    head = "word " * 300
    assert np.array_equal(minilm.encode([head + "alpha"]), minilm.encode([head + "omega beta"]))
    assert not np.array_equal(minilm.encode(["word " * 200 + "alpha"]), minilm.encode(["word " * 200 + "omega"]))


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_changed_file_is_refused_before_it_is_used(tmp_path: Path, name: str) -> None:
    for other in PINNED:
        (tmp_path / other).symlink_to(default_folder() / other)
    data = bytearray((default_folder() / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Corrupted) as caught:
        MiniLM(tmp_path).encode(["one"])
    assert caught.value.code == "embedder_changed"
    assert name in caught.value.message
    with pytest.raises(Corrupted):
        MiniLM(tmp_path, processes=2).encode(["one"] * 1_000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json"):
        MiniLM(tmp_path).load()


def test_importing_does_not_load_torch_or_lancedb() -> None:
    code = (
        "import sys; import rodagila.learn.embedder, rodagila.learn.cache, rodagila.learn.vertical; "
        "sys.exit(bool({'torch', 'transformers', 'lancedb', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loading_and_encoding_print_and_warn_nothing() -> None:
    code = "from rodagila.learn.embedder import MiniLM; MiniLM().encode(['one', 'two words'])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)
    assert done.stdout + done.stderr == b""


@given(st.lists(st.integers(0, 300), max_size=300))
def test_batches_hold_every_text_once_and_only_equal_lengths(lengths: list[int]) -> None:
    batches = list(equal_length_batches(lengths))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = {lengths[place] for place in batch}
        assert len(sizes) == 1
        assert len(batch) == 1 or len(batch) * sizes.pop() <= BATCH_TOKENS


def test_the_hash_names_the_weights() -> None:
    assert MiniLM().hash == MiniLM(processes=2).hash
    assert len(MiniLM().hash) == 32
