"""Progress of long work, told on stderr so that stdout stays data.

A stage that lasts over two seconds is shown: as a bar on a terminal, as plain lines elsewhere (logs, pipes). Work takes
a ``Progress`` and does not know which; ``SILENT`` shows nothing.

>>> with SILENT.stage("embed", 3) as stage:
...     stage.advance(3)
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

PATIENCE = 2.0  # seconds before a stage is shown
LINE_EVERY = 10.0  # seconds between two plain lines of one stage


class Stage(Protocol):
    """One stage under way."""

    def advance(self, count: int = 1) -> None:
        """Say that ``count`` more units are done."""
        ...


class Progress(Protocol):
    """Tells people how far the work is."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Stage]:
        """Begin the stage ``name`` of ``total`` units (None: unknown); it ends with the ``with`` block."""
        ...


class _SilentStage:
    def advance(self, count: int = 1) -> None:
        """Do nothing."""


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Begin a stage of which nothing is shown."""
        yield _SilentStage()


SILENT = SilentProgress()


class _LineStage:
    """A stage told by plain lines; the timer tells of it even while the work does not advance."""

    def __init__(self, name: str, total: int | None, out: TextIO) -> None:
        self.name, self.total, self.out = name, total, out
        self.done, self.told = 0, False
        self.next_line = time.monotonic() + LINE_EVERY
        self.lock = threading.Lock()

    def begin(self) -> None:
        """Tell that the stage is under way."""
        with self.lock:
            self.told = True
            self.say("…" if self.total is None else f"{self.done:,} of {self.total:,}")

    def advance(self, count: int = 1) -> None:
        """Add ``count``; a line is written at most every ten seconds."""
        with self.lock:
            self.done += count
            if self.told and time.monotonic() >= self.next_line:
                self.next_line = time.monotonic() + LINE_EVERY
                self.say(f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}")

    def say(self, what: str) -> None:
        """Write one line."""
        print(f"{self.name}: {what}", file=self.out, flush=True)


class LineProgress:
    """Plain lines, for logs and pipes."""

    def __init__(self, out: TextIO | None = None, patience: float = PATIENCE) -> None:
        self.out = out or sys.stderr
        self.patience = patience

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Begin a stage; it is told once it has lasted ``patience`` seconds, and when it ends."""
        stage, started = _LineStage(name, total, self.out), time.monotonic()
        timer = _after(self.patience, stage.begin)
        try:
            yield stage
        finally:
            timer.cancel()
        if stage.told:
            stage.say(f"done in {time.monotonic() - started:.1f} s")


class _BarStage:
    def __init__(self, bars: Bars, name: str, total: int | None) -> None:
        self.bars = bars
        self.task = bars.add_task(name, total=total, visible=False)

    def show(self) -> None:
        """Make the bar visible."""
        self.bars.update(self.task, visible=True)

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        self.bars.advance(self.task, count)


class BarProgress:
    """Bars on a terminal; they vanish when their stage has ended."""

    def __init__(self, out: TextIO | None = None, patience: float = PATIENCE) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self.patience = patience
        self.running = 0
        self.bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=out or sys.stderr),
            transient=True,
        )

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Begin a stage; its bar is shown once it has lasted ``patience`` seconds."""
        if self.running == 0:
            self.bars.start()
        self.running += 1
        stage = _BarStage(self.bars, name, total)
        timer = _after(self.patience, stage.show)
        try:
            yield stage
        finally:
            timer.cancel()
            self.bars.remove_task(stage.task)
            self.running -= 1
            if self.running == 0:
                self.bars.stop()


def progress_on_stderr() -> Progress:
    """Return bars if stderr is a terminal, else plain lines."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def _after(seconds: float, action: object) -> threading.Timer:
    timer = threading.Timer(seconds, action)  # type: ignore[arg-type]
    timer.daemon = True  # a forgotten stage must not keep the program alive
    timer.start()
    return timer
