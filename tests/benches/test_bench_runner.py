"""The bench runner: what it keeps, what it calls a failure, and that the picture is a picture."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

FINE = {"name": "speed", "value": 3, "unit": "tx/s", "peer": None, "ratio": None, "bar": 2, "met": True}


def loaded(root: Path, name: str) -> ModuleType:
    """Return ``benches/NAME.py`` as a module; benches are scripts and no package."""
    spec = importlib.util.spec_from_file_location(f"benches_{name}", root / "benches" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(project_root: Path) -> ModuleType:
    """The runner."""
    return loaded(project_root, "run")


def bench(folder: Path, name: str, code: str) -> Path:
    """Write a bench whose whole is ``code``."""
    path = folder / f"bench_{name}.py"
    path.write_text(code)
    return path


def test_a_bench_that_prints_rows_is_kept(run: ModuleType, tmp_path: Path) -> None:
    found = run.measure(bench(tmp_path, "good", f"print({json.dumps(json.dumps([FINE]))})"))
    assert found.failure == "" and found.rows == [{**FINE, "bench": "good"}]


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("raise SystemExit(3)", "printed no JSON rows (exit status 3)"),
        ("print('fast')", "printed no JSON rows (exit status 0)"),
        ("print('[1]')", "printed no JSON rows (exit status 0)"),
        (f"print({json.dumps(json.dumps([FINE]))}); raise SystemExit(2)", "exit status 2"),
        (f"print({json.dumps(json.dumps([{**FINE, 'met': False}]))})", "missed its bar in: speed"),
    ],
)
def test_a_bench_that_fails_is_told(run: ModuleType, tmp_path: Path, code: str, failure: str) -> None:
    assert run.measure(bench(tmp_path, "bad", code)).failure == failure


def test_a_bench_that_hangs_is_ended(run: ModuleType, tmp_path: Path) -> None:
    found = run.measure(bench(tmp_path, "slow", "import time; time.sleep(60)"), limit=0.5)
    assert found.failure.startswith("ran longer")


def test_one_bench_alone_replaces_its_own_rows_only(run: ModuleType) -> None:
    before = {"rows": [{"bench": "a", "name": "x", "value": 1}, {"bench": "b", "name": "y", "value": 1}]}
    after = run.merged(before, [run.Outcome("b", [{"bench": "b", "name": "y", "value": 2}])])
    assert [(row["bench"], row["value"]) for row in after["rows"]] == [("a", 1), ("b", 2)]


def test_old_figures_of_a_failed_bench_are_dropped(run: ModuleType) -> None:
    before = {"rows": [{"bench": "a", "name": "x", "value": 1}]}
    assert run.merged(before, [run.Outcome("a", failure="exit status 1")])["rows"] == []


def test_the_exit_status_is_1_if_any_bench_fails(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(run, "PAGE", tmp_path / "performance.md")
    good = bench(tmp_path, "good", f"print({json.dumps(json.dumps([FINE]))})")
    bad = bench(tmp_path, "bad", "raise SystemExit(1)")
    monkeypatch.setattr(run, "benches", lambda names: [good, bad])
    assert run.main([]) == 1
    out, err = capsys.readouterr()
    assert "speed" in out and "FAILED bench_bad.py" in err
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == [{**FINE, "bench": "good"}]
    assert "| speed | 3 | tx/s | 2 | yes |" in (tmp_path / "performance.md").read_text()
    monkeypatch.setattr(run, "benches", lambda names: [good])
    assert run.main(["good"]) == 0


def test_an_unknown_bench_is_named(run: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no bench nothing"):
        run.benches(["nothing"])


def test_every_bench_of_the_project_is_found(run: ModuleType, project_root: Path) -> None:
    names = {path.name for path in run.benches([])}
    assert names == {path.name for path in (project_root / "benches").glob("bench_*.py")} >= {"bench_turn.py"}


def test_results_carry_no_date(run: ModuleType) -> None:
    assert sorted(run.merged({}, [])["machine"]) == ["cpus", "python", "system"]


def test_the_picture_of_the_stages_is_an_svg_with_a_bar_a_stage(project_root: Path) -> None:
    drawn = loaded(project_root, "bench_turn").picture([("prove & learn", 4.0), ("serve", 2.0)], "two stages")
    root = ElementTree.fromstring(drawn)
    bars = [node for node in root if node.get("class") == "bar"]
    widths = [float(node.get("width", "0")) for node in bars]
    assert len(bars) == 2 and widths[0] == pytest.approx(2 * widths[1], rel=0.01)
