"""Embedding in several processes: each worker runs one thread over whole chunks, so the bytes stay the same.

A worker is ``python -m rodagila.learn.workers``. It reads lines, each a JSON list of texts, and answers each line with
the int8 rows of those texts; nothing else travels. A text's vector does not depend on its company (see
``rodagila.learn.embedder``), hence not on which worker took it.

>>> encode_in_processes(["one", "two"], 2, 384).shape
(2, 384)
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from rodagila.core.errors import Unreachable
from rodagila.core.vectors import Int8Array

CHUNK = 256


def encode_in_processes(
    texts: Sequence[str],
    processes: int,
    dimensions: int,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Int8Array:
    """Return int8 vectors (n, dimensions) of ``texts``, computed by ``processes`` workers.

    Raises ``Unreachable`` if a worker ends early; its own message is on stderr.
    """
    vectors = np.zeros((len(texts), dimensions), dtype=np.int8)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths fill a chunk's batches
    chunks: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    for start in range(0, len(order), CHUNK):
        chunks.put(order[start : start + CHUNK])
    done, failed, lock = [0], threading.Event(), threading.Lock()

    def feed(worker: subprocess.Popen[bytes]) -> None:
        assert worker.stdin is not None and worker.stdout is not None
        while not failed.is_set():
            try:
                places = chunks.get_nowait()
            except queue.Empty:
                return
            try:
                rows = _ask(worker.stdin, worker.stdout, [texts[i] for i in places], dimensions)
            except (OSError, EOFError):
                failed.set()
                return
            with lock:
                vectors[places] = rows
                done[0] += len(places)
                if progress is not None:
                    progress(done[0], len(texts))

    workers = [_start(folder) for _ in range(min(processes, max(1, chunks.qsize())))]
    threads = [threading.Thread(target=feed, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for worker in workers:
            _stop(worker)
    if failed.is_set():
        raise Unreachable("unreachable", "An embedding worker ended early.", hint="Try again with processes=1.")
    return vectors


def _start(folder: Path | None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "rodagila.learn.workers", *([str(folder)] if folder else [])]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    try:
        worker.stdin.close()
    except OSError:  # a worker that died leaves a broken pipe
        pass
    try:
        worker.wait(10)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    worker.stdout.close()


def _ask(stdin: IO[bytes], stdout: IO[bytes], texts: list[str], dimensions: int) -> Int8Array:
    stdin.write(json.dumps(texts).encode() + b"\n")
    stdin.flush()
    wanted = len(texts) * dimensions
    data = stdout.read(wanted)
    if len(data) != wanted:
        raise EOFError
    return np.frombuffer(data, dtype=np.int8).reshape(len(texts), dimensions)


def main(arguments: Sequence[str]) -> None:
    """Answer lines of texts on stdin with rows on stdout until stdin closes."""
    from rodagila.learn.embedder import MiniLM

    embedder = MiniLM(Path(arguments[0]) if arguments else None)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(embedder.encode(json.loads(line)).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
