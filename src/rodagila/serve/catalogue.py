"""The models a gateway serves: one line of models a DAO, one model a turn.

A request names a model as ``<dao>-<turn>``, or by the DAO's name alone for its newest. The gateway depends on a model
only through ``VerticalModel``; everything that is shown to a buyer (score, target, places) comes from there.

>>> catalogue = Catalogue()  # doctest: +SKIP
>>> catalogue.publish(served); catalogue.find("docs") is catalogue.find("docs-3")  # doctest: +SKIP
True
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rodagila.core.errors import NotFound
from rodagila.core.messages import Domain
from rodagila.core.policy import Policy


class Hit(Protocol):
    """A record that was found: its place in the DAO's log, owner, contribution, text and target, and how near it is.

    ``contribution_id`` has 32 bytes, ``score_ppm`` is the cosine in millionths.
    """

    @property
    def place(self) -> int: ...
    @property
    def owner(self) -> str: ...
    @property
    def contribution_id(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def score_ppm(self) -> int: ...


class Reply(Protocol):
    """An answer in words and the records it rests on."""

    @property
    def text(self) -> str: ...
    @property
    def citations(self) -> Sequence[Hit]: ...


class VerticalModel(Protocol):
    """What the gateway asks of a model; ``classify`` gives ``(label, score_ppm)``, best first."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a unit vector of each text, float rows (n, d)."""
        ...

    def search(self, text: str, k: int) -> Sequence[Hit]:
        """Return the ``k`` nearest records, best first."""
        ...

    def classify(self, text: str, top: int) -> Sequence[tuple[str, int]]:
        """Return the ``top`` labels, best first."""
        ...

    def answer(self, question: str, k: int) -> Reply:
        """Return an answer resting on up to ``k`` records."""
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model as it is offered: its DAO, turn, treasury and prices; ``created`` in seconds."""

    dao: str
    turn: int
    domain: Domain
    treasury: str
    policy: Policy
    model: VerticalModel
    created: int
    # Tokenizers and indexes are not made for two threads at once, and one core gains nothing from a second.
    alone: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The model's full name."""
        return f"{self.dao}-{self.turn}"


class Catalogue:
    """The models on offer; publishing a turn's model makes it the one its DAO's name means."""

    def __init__(self, models: Sequence[ServedModel] = ()) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, ServedModel] = {}
        for model in models:
            self.publish(model)

    def publish(self, model: ServedModel) -> None:
        """Offer ``model``; the DAO's name now means its model of the highest turn."""
        with self._lock:
            self._models[model.name] = model

    def withdraw(self, name: str) -> None:
        """Stop offering a model by its full name."""
        with self._lock:
            self._models.pop(name, None)

    def all(self) -> list[ServedModel]:
        """Return the models by DAO and turn."""
        with self._lock:
            return sorted(self._models.values(), key=lambda model: (model.dao, model.turn))

    def newest(self) -> list[ServedModel]:
        """Return each DAO's model of the highest turn."""
        return list({model.dao: model for model in self.all()}.values())

    def find(self, name: str) -> ServedModel:
        """Return the model of a full name or a DAO's name; raises ``NotFound`` (``model_unknown``)."""
        for model in reversed(self.all()):
            if name in (model.name, model.dao):
                return model
        known = ", ".join(model.name for model in self.newest()) or "none"
        raise NotFound("model_unknown", f"No model {name!r} is served here.", hint=f"Served are: {known}.")
