"""Embedding in several processes: each worker runs one thread over whole chunks, so the bytes stay the same.

A worker is ``python -m rodagila.learn.workers``. It reads lines, each a JSON list of texts, and answers each line with
the int8 rows of those texts; nothing else travels. A text's vector does not depend on its company (see
``rodagila.learn.embedder``), hence not on which worker took it. Workers stay for the next call until ``close``.

>>> with closing(Workers(2, 384)) as workers:
...     workers.encode(["one", "two"]).shape
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
from contextlib import suppress
from pathlib import Path

import numpy as np

from rodagila.core.errors import Unreachable
from rodagila.core.vectors import Int8Array

CHUNK = 32
"""Texts a worker takes at once: few enough that the last chunk keeps nobody waiting long."""


class Workers:
    """Up to ``count`` worker processes, started when first needed."""

    def __init__(self, count: int, dimensions: int, folder: Path | None = None) -> None:
        """Plan ``count`` workers that read the weights in ``folder``."""
        self._count, self._dimensions, self._folder = count, dimensions, folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Int8Array:
        """Return int8 vectors (n, dimensions) of ``texts`` in their order.

        Raises ``Unreachable`` if a worker ends early; its own message is on stderr.
        """
        with self._lock:
            while len(self._workers) < self._count:
                self._workers.append(_start(self._folder))
            try:
                return _Task(texts, self._dimensions, progress).run(self._workers)
            except Unreachable:
                self._end()
                raise

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        while self._workers:
            _stop(self._workers.pop())


class _Task:
    """One call: chunks in a queue, a thread per worker that takes the next one."""

    def __init__(self, texts: Sequence[str], dimensions: int, progress: Callable[[int, int], None] | None) -> None:
        self._texts, self._progress = texts, progress
        self._vectors = np.zeros((len(texts), dimensions), dtype=np.int8)
        self._done, self._failed, self._lock = 0, threading.Event(), threading.Lock()
        self._chunks: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths fill a chunk's batches
        for start in range(0, len(order), CHUNK):
            self._chunks.put(order[start : start + CHUNK])

    def run(self, workers: Sequence[subprocess.Popen[bytes]]) -> Int8Array:
        threads = [threading.Thread(target=self._feed, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failed.is_set():
            raise Unreachable("unreachable", "An embedding worker ended early.", hint="Try again with one process.")
        return self._vectors

    def _feed(self, worker: subprocess.Popen[bytes]) -> None:
        while not self._failed.is_set():
            try:
                places = self._chunks.get_nowait()
            except queue.Empty:
                return
            try:
                rows = _ask(worker, [self._texts[i] for i in places], self._vectors.shape[1])
            except (OSError, EOFError):
                self._failed.set()
                return
            with self._lock:
                self._vectors[places] = rows
                self._done += len(places)
                if self._progress is not None:
                    self._progress(self._done, len(self._texts))


def _start(folder: Path | None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "rodagila.learn.workers", *([str(folder)] if folder else [])]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    with suppress(OSError):  # a worker that died leaves a broken pipe
        worker.stdin.close()
    try:
        worker.wait(10)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    worker.stdout.close()


def _ask(worker: subprocess.Popen[bytes], texts: list[str], dimensions: int) -> Int8Array:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(json.dumps(texts).encode() + b"\n")
    worker.stdin.flush()
    wanted = len(texts) * dimensions
    data = worker.stdout.read(wanted)
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
