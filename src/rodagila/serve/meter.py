"""What a gateway counts, in Prometheus' text format: calls, fees and seconds, never an account or a text.

>>> meter = Meter()
>>> meter.count("rodagila_calls_total", route="/v1/search", status="200")
>>> print(meter.exposition(), end="")
# HELP rodagila_calls_total Requests by route and HTTP status.
# TYPE rodagila_calls_total counter
rodagila_calls_total{route="/v1/search",status="200"} 1
"""

from __future__ import annotations

import threading

HELP = {
    "rodagila_call_microseconds_total": "Time spent on requests by route.",
    "rodagila_calls_total": "Requests by route and HTTP status.",
    "rodagila_feedback_total": "Feedback taken, by DAO and kind.",
    "rodagila_fees_total": "Settled fees in atomic units by DAO.",
    "rodagila_paid_calls_total": "Calls paid and served, by DAO and route.",
    "rodagila_preferences_total": "Preferences taken in the arena, by DAO.",
    "rodagila_refused_payments_total": "Payments refused or unsettled, by code.",
    "rodagila_responses_total": "Responses to tasks that were taken.",
}

Labels = tuple[tuple[str, str], ...]


class Meter:
    """Counters that threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, int]] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add ``by`` to a counter; raises ``KeyError`` for one that HELP does not describe."""
        HELP[name]
        key = tuple(sorted(labels.items()))
        with self._lock:
            series = self._values.setdefault(name, {})
            series[key] = series.get(key, 0) + by

    def value(self, name: str, **labels: str) -> int:
        """Return a counter's value, 0 if nothing was counted."""
        with self._lock:
            return self._values.get(name, {}).get(tuple(sorted(labels.items())), 0)

    def exposition(self) -> str:
        """Return all counters as text."""
        with self._lock:
            lines = []
            for name in sorted(self._values):
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} counter"]
                lines += [f"{name}{_text(labels)} {value}" for labels, value in sorted(self._values[name].items())]
        return "".join(line + "\n" for line in lines)


def _text(labels: Labels) -> str:
    escaped = ",".join('{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in labels)
    return f"{{{escaped}}}" if escaped else ""
