"""Progress: told on stderr, only of stages that last, and never in the way of the work."""

from __future__ import annotations

import io
import threading
import time

import pytest

from rodagila.app.progress import SILENT, BarProgress, LineProgress


def test_a_short_stage_is_not_told() -> None:
    out = io.StringIO()
    with LineProgress(out, patience=5).stage("learn", 3) as stage:
        stage.advance(3)
    assert out.getvalue() == ""


def test_a_stage_that_lasts_is_told_even_while_it_does_not_advance() -> None:
    out = io.StringIO()
    with LineProgress(out, patience=0.01).stage("learn", 3) as stage:
        stage.advance(1)
        deadline = time.monotonic() + 5
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue().startswith("learn: 1 of 3\nlearn: done in ")


def test_a_stage_that_fails_is_not_told_to_be_done() -> None:
    out = io.StringIO()

    def fail() -> None:
        with LineProgress(out, patience=0).stage("learn"):
            time.sleep(0.2)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert out.getvalue() == "learn: …\n"


def test_no_thread_outlives_its_stage() -> None:
    before = threading.active_count()
    for progress in (SILENT, LineProgress(io.StringIO()), BarProgress(io.StringIO())):
        with progress.stage("outer", 2) as outer, progress.stage("inner") as inner:
            inner.advance()
            outer.advance(2)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
