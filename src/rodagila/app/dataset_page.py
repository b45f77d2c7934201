"""The page of a data set's report: one file that needs no network and no script, in the style of the demonstration's.

Figures only: what is shown comes from ``rodagila.app.datasets``, which holds no text of a record. Names are escaped,
and the page forbids itself all but its own style.

>>> write_dataset_page(report, Path("dataset.html"))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rodagila.app.display import cell, printable
from rodagila.app.plots import Bars, bars, shortened
from rodagila.app.report import templates

Values = Mapping[str, Any]
SECTIONS = (
    ("completeness", "Completeness", "What was given and accepted, and what the gate set asks for in vain."),
    ("consistency", "Consistency", "Whether records contradict, repeat or crowd one another."),
    ("noise", "Noise", "What one would not want to train on, and labels that are probably wrong."),
    ("bias", "Bias", "Whose data it is, what it is about, and whom a model of it serves."),
)  # fmt: skip


def write_dataset_page(report: Values, path: Path) -> Path:
    """Write the page of ``report`` to ``path`` and return it; it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(render_dataset_page(report), encoding="utf-8")
    return partial.replace(path)


def render_dataset_page(report: Values) -> str:
    """Return the page of ``report``."""
    bias, noise = report["bias"], report["noise"]
    return (
        templates()
        .get_template("dataset.html")
        .render(
            title=f"Data set of {printable(str(report['dao']))}, turn {report['turn']}",
            hash=report["hash"],
            facts=headline(report),
            sections=[
                {
                    "name": name,
                    "title": title,
                    "note": note,
                    "rows": facts(report[name]),
                    "tables": tables(report[name]),
                }
                for name, title, note in SECTIONS
            ],
            contamination=[{"set": name, **counts} for name, counts in report["contamination"].items()],
            label_plot=_plot(bias.get("labels"), "label"),
            owner_plot=_plot(
                [{**row, "owner": shortened(row["owner"], 14)} for row in bias["largest_owners"]], "owner"
            ),
            confused_plot=_plot(
                [{**row, "pair": f"{row['label']} > {row['likelier']}"} for row in noise.get("confused") or []],
                "pair",
            ),
        )
    )


def headline(report: Values) -> list[tuple[str, str]]:
    """Return the facts at the top as (what, how much)."""
    complete, noise, gate = report["completeness"], report["noise"], report["contamination"]["gate"]
    rows = [
        ("records", f"{report['records']:,}"),
        ("owners", f"{report['owners']:,}"),
        ("accepted of what was given", f"{complete['accepted']:,} of {complete['given']:,}"),
        ("with personal data left", f"{noise['personal_data_left']:,}"),
        ("gate queries repeated", f"{gate['queries_touched']:,} of {gate['queries']:,}"),
    ]
    if "labels_suspect" in noise:
        rows.append(("labels suspect", f"{noise['labels_suspect']:,} of {noise['labels_judged']:,}"))
    return rows


def facts(section: Values) -> list[tuple[str, str]]:
    """Return the plain figures of a section as (what, how much); groups of figures become one line each."""
    rows = []
    for key, value in section.items():
        if isinstance(value, list):
            continue
        if isinstance(value, Mapping):
            inner = ", ".join(f"{_words(name)} {cell(key, one)}" for name, one in value.items())
            rows.append((_words(key), inner or "-"))
        else:
            rows.append((_words(key), cell(key, value)))
    return rows


def tables(section: Values) -> list[dict[str, Any]]:
    """Return the lists of a section as tables: name, columns, rows of text."""
    found = []
    for key, value in section.items():
        if isinstance(value, list) and value:
            columns = list(value[0])
            rows = [[cell(column, row[column]) for column in columns] for row in value]
            found.append({"name": _words(key), "columns": [_words(column) for column in columns], "rows": rows})
    return found


def _plot(rows: Sequence[Values] | None, label: str) -> Bars | None:
    """Return one bar for each row, as long as its records are many."""
    if not rows:
        return None
    return bars([(printable(str(row[label])), float(row["records"]), f"{row['records']:,}", "honest") for row in rows])


def _words(key: str) -> str:
    return key.removesuffix("_ppm").replace("_", " ")
