"""Durable workflows: steps whose results are on disk before the next step starts (DBOS on SQLite).

A workflow is named; calling it again with the same name continues where it was, or returns the recorded result. Steps
may run twice if the process dies between their effect and its record, so every step first asks whether its effect is
there already. What is recorded is JSON: the engine's default, pickle, would execute what a changed file says.

>>> with engine(home) as run:  # doctest: +SKIP
...     run("docs:1:learn", learn_turn, "docs", 1)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID

from rodagila.app.home import Home
from rodagila.core import errors

Run = Callable[..., dict[str, Any]]
_current: list[Home] = []


class JsonSerializer(Serializer):
    """Records arguments, results and errors as JSON; an error comes back as the class it was."""

    def serialize(self, data: Any) -> str:
        """Return the JSON text of ``data``."""
        return json.dumps(data, default=_encode)

    def deserialize(cls, serialized_data: str) -> Any:
        """Return what ``serialize`` was given."""
        return json.loads(serialized_data, object_hook=_decode)

    def name(self) -> str:
        """Return the name under which the engine records this format."""
        return "rodagila_json"


def _encode(value: Any) -> dict[str, Any]:
    if isinstance(value, errors.RodaError):
        body = {"code": value.code, "message": value.message, "hint": value.hint, "details": value.details}
        return {"__error__": type(value).__name__, **body}
    if isinstance(value, Exception):
        return {"__error__": "RodaError", "code": "unexpected", "message": f"{type(value).__name__}: {value}"}
    raise TypeError(f"{type(value).__name__} is not JSON: a step must return JSON values")


def _decode(body: dict[str, Any]) -> Any:
    if "__error__" not in body:
        return body
    # A revert carries bytes and is made elsewhere; its parent class holds all that a reader needs.
    kind = getattr(errors, body["__error__"], errors.RodaError)
    return kind(body["code"], body["message"], hint=body.get("hint", ""), **body.get("details", {}))


def current_home() -> Home:
    """Return the home whose workflows this process runs."""
    return _current[-1]


@contextmanager
def engine(home: Home) -> Iterator[Run]:
    """Start the engine on ``home`` and give a function that runs one named workflow to its end.

    Workflows that a killed process left are continued first. The caller holds the home's lock, because two engines on
    one home would both continue them.
    """
    config: DBOSConfig = {
        "name": "rodagila",
        "system_database_url": f"sqlite:///{home.path / 'workflows.sqlite'}",
        "application_version": "1",
        "executor_id": "local",
        "enable_otlp": False,
        "log_level": "CRITICAL",
        "serializer": JsonSerializer(),
        "notification_listener_polling_interval_sec": 0.05,
    }
    _current.append(home)
    DBOS(config=config)
    try:
        DBOS.launch()
        _continue_what_was_left()
        yield _run
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _current.pop()


def _continue_what_was_left() -> None:
    """Wait for the workflows that the engine resumed at its start; what fails there is told when it is called again."""
    for left in DBOS.list_workflows(status="PENDING"):
        with suppress(Exception):
            DBOS.retrieve_workflow(left.workflow_id).get_result(polling_interval_sec=0.05)


def _run(name: str, workflow: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    with SetWorkflowID(_attempt(name)):
        return workflow(*args)


def _attempt(name: str) -> str:
    """Return the id under which ``name`` can run: a workflow that ended with an error is tried under the next id."""
    number = 1
    while (status := DBOS.get_workflow_status(f"{name}:{number}")) is not None and status.status == "ERROR":
        number += 1
    return f"{name}:{number}"
