"""Tasks: what an account is shown, what it may answer, and how an answer is hidden until peers are drawn.

========  =====================================  ====================================================================
kind      shown                                  answer
========  =====================================  ====================================================================
classify  text, choices                          one of the choices
span      text                                   ``start:end``, offsets of characters, the end not included
free      text                                   words, Unicode NFC, white space collapsed; case does not tell apart
compare   text and two outputs                   ``first``, ``second`` or ``tie``, as they were shown
verify    text and the label it bears            ``right`` or ``wrong``
========  =====================================  ====================================================================

A task is named by the hash of what is shown, which holds a salt, so that a hash in a public file does not tell whether
a text is among the records. Golds are shown like all others. The two outputs of a comparison are shown in the order
that the lease's first bit says, so that neither side is favoured by its place.

    task hash   = json_hash(content)
    answer hash = keccak(answer's key), the answer itself but for the case of free words
    commitment  = keccak(abi.encode(chain id, registry, account, batch, task hash, answer hash, salt))

The account is inside, so a copied commitment opens for nobody else (MECHANISM 2: peers are drawn after the commit).

>>> Content("classify", "Which topic?", "will it rain", bytes(32), choices=("cards", "weather")).answer(" weather ")
'weather'
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import from_hex, hex0x, keccak, keccak_abi
from rodagila.core.messages import Domain

KINDS = ("classify", "span", "free", "compare", "verify")
SIDES, VERDICTS = ("first", "second", "tie"), ("right", "wrong")
MAX_ANSWER_CHARS = 4_096
_COMMITMENT = ["uint256", "address", "address", "bytes32", "bytes32", "bytes32", "bytes32"]


@dataclass(frozen=True, slots=True)
class Content:
    """What an account is shown; ``choices``, ``label`` and ``outputs`` belong to some kinds only."""

    kind: str
    instruction: str
    text: str
    salt: bytes
    choices: tuple[str, ...] = ()
    label: str = ""
    outputs: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object without absent fields."""
        body: dict[str, Any] = {"kind": self.kind, "instruction": self.instruction, "text": self.text}
        for name in ("choices", "outputs"):
            if getattr(self, name):
                body[name] = list(getattr(self, name))
        if self.label:
            body["label"] = self.label
        return {**body, "salt": hex0x(self.salt)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Content:
        """Return the content of ``as_json``'s object; raises ``InvalidInput`` tasks_invalid."""
        try:
            return cls(
                kind=str(body["kind"]),
                instruction=str(body["instruction"]),
                text=str(body["text"]),
                salt=from_hex(body["salt"]),
                choices=tuple(map(str, body.get("choices", ()))),
                label=str(body.get("label", "")),
                outputs=tuple(map(str, body.get("outputs", ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("tasks_invalid", "This is not the content of a task.") from error

    def task_hash(self) -> bytes:
        """Return what names the task."""
        return json_hash(self.as_json())

    def record_hash(self) -> bytes:
        """Return the hash of what the task is about, whatever is asked of it: an account is shown that once."""
        return json_hash({"text": self.text, "outputs": list(self.outputs)})

    def shown(self, lease: bytes) -> Content:
        """Return the content as the holder of ``lease`` sees it: outputs swapped or not."""
        if not swapped(lease) or not self.outputs:
            return self
        return Content(self.kind, self.instruction, self.text, self.salt, self.choices, self.label, self.outputs[::-1])

    def answer(self, given: str) -> str:
        """Return the canonical form of an answer; raises ``InvalidInput`` answer_invalid."""
        if len(given) > MAX_ANSWER_CHARS:
            raise _invalid(f"An answer has at most {MAX_ANSWER_CHARS:,} characters; {len(given):,} were given.")
        allowed = allowed_answers(self.kind, self.choices)
        answer = " ".join(unicodedata.normalize("NFC", given).split())
        if allowed:
            if answer not in allowed:
                raise _invalid(f"{answer[:80]!r} is not among the answers: {', '.join(allowed)[:200]}.")
        elif self.kind == "span":
            return self._span(answer)
        elif not answer:
            raise _invalid("The answer is empty.")
        return answer

    def words(self, answer: str) -> str:
        """Return what a span's answer points at; any other answer as it is."""
        if self.kind != "span":
            return answer
        start, end = (int(part) for part in answer.split(":"))
        return self.text[start:end]

    def _span(self, answer: str) -> str:
        start, colon, end = answer.partition(":")
        if not (colon and start.isdecimal() and end.isdecimal() and start.isascii() and end.isascii()):
            raise _invalid(f"{answer[:80]!r} is not a span: start:end, in characters.")
        first, last = int(start[:9]), int(end[:9])
        if not 0 <= first < last <= len(self.text) or not self.text[first:last].strip():
            raise _invalid(f"The span {answer[:40]} holds no words of the text, which has {len(self.text)} characters.")
        words = self.text[first:last]
        first += len(words) - len(words.lstrip())
        return f"{first}:{first + len(words.strip())}"


def allowed_answers(kind: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the answers of a closed kind in their order; none for spans and free words."""
    return {"classify": choices, "compare": SIDES, "verify": VERDICTS}.get(kind, ())


def swapped(lease: bytes) -> bool:
    """Tell whether the holder of ``lease`` sees the second output first."""
    return bool(lease[0] & 1)


def unswapped(answer: str, lease: bytes) -> str:
    """Return the answer about the outputs in the task's own order; other answers as they are."""
    return {"first": "second", "second": "first"}.get(answer, answer) if swapped(lease) else answer


def answer_hash(kind: str, answer: str) -> bytes:
    """Return the hash under which equal answers are equal."""
    return keccak((answer.casefold() if kind == "free" else answer).encode())


def commitment(domain: Domain, account: str, batch: bytes, task: bytes, hashed: bytes, salt: bytes) -> bytes:
    """Return what hides an answer whose hash is ``hashed`` behind 32 secret bytes."""
    values = [domain.chain_id, domain.registry, account, batch, task, hashed, salt]
    return keccak_abi(_COMMITMENT, values)


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(
        "answer_invalid", message, hint="The kinds of tasks and their answers: docs/protocol.md, Tasks."
    )
