"""The report in a real browser: it renders under its own security policy, and nothing leaves the machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_report import HOSTILE, result_of

from rodagila.app.report import write_report

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--window-size=1200,2000",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser, or a skip that says how to get it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: make tools installs it where apt-get may be used")
    return program


def render(chromium: str, page: Path, profile: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open ``page`` in a fresh headless browser."""
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_report_renders_and_its_policy_blocks_nothing_of_it(chromium: str, tmp_path: Path) -> None:
    page = write_report(result_of(), tmp_path / "report.html")
    picture = tmp_path / "report.png"
    render(chromium, page, tmp_path / "profile", f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000, "an empty page compresses to less"
    shown = render(chromium, page, tmp_path / "profile", "--dump-dom")
    assert shown.stdout.count("<svg") >= 3
    assert "CONSOLE" not in shown.stderr, shown.stderr


def test_hostile_names_stay_text_in_the_browser(chromium: str, tmp_path: Path) -> None:
    page = write_report(result_of(HOSTILE), tmp_path / "report.html")
    shown = render(chromium, page, tmp_path / "profile", "--dump-dom")
    assert "<script" not in shown.stdout
    assert "<img" not in shown.stdout
    assert "CONSOLE" not in shown.stderr, shown.stderr
