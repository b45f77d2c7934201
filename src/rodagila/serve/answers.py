"""From a model's words to the bytes of a response: OpenAI's shapes, and our own for search and classify.

A chat answer rests on records of the DAO and cites them by place, owner and contribution, in the field ``citations``
beside OpenAI's own. A streamed answer is made whole before it is paid for, and then sent as its events: one id, the
role in the first delta, a usage chunk on demand, ``[DONE]``. Tokens are counted as words: no tokenizer is billed.

>>> chat_chunks("a b", identity="c1", created=0, model="docs-1")[0]["choices"][0]["delta"]["role"]
'assistant'
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.market.outcome import Answer
from rodagila.serve.catalogue import Hit, ServedModel
from rodagila.serve.schemas import ChatRequest, ClassifyRequest, EmbeddingsRequest, SearchRequest

JSON = "application/json"
SSE = "text/event-stream"
CITED = 5
"""How many records a chat answer may rest on."""


def search_answer(served: ServedModel, request: SearchRequest) -> Answer:
    """Return the nearest records."""
    with served.alone:
        hits = served.model.search(request.text, request.k)
    body = {"object": "list", "model": served.name, "data": [hit_as_json(hit) for hit in hits]}
    return Answer(_bytes(body), JSON, tuple(hit.place for hit in hits))


def classify_answer(served: ServedModel, request: ClassifyRequest) -> Answer:
    """Return the likeliest labels."""
    with served.alone:
        labels = served.model.classify(request.text, request.top)
    data = [{"label": label, "score_ppm": int(score)} for label, score in labels]
    return Answer(_bytes({"object": "list", "model": served.name, "data": data}), JSON)


def embeddings_answer(served: ServedModel, request: EmbeddingsRequest) -> Answer:
    """Return a unit vector of each text, as numbers or base64 of little-endian floats, as OpenAI's client asks."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    with served.alone:
        vectors = np.asarray(served.model.embed(texts), dtype="<f4")
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(row, request.encoding_format)}
        for index, row in enumerate(vectors)
    ]
    used = sum(_words(text) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Answer(_bytes({"object": "list", "model": served.name, "data": data, "usage": usage}), JSON)


def chat_answer(served: ServedModel, request: ChatRequest, created: int) -> Answer:
    """Return a chat completion, whole or as a stream of events."""
    question = question_of(request)
    with served.alone:
        reply = served.model.answer(question, CITED)
    citations = [hit_as_json(hit) for hit in reply.citations]
    places = tuple(hit.place for hit in reply.citations)
    identity = f"chatcmpl-{uuid.uuid4().hex}"
    prompt, completion = sum(_words(message.words()) for message in request.messages), _words(reply.text)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if not request.stream:
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        head = {"id": identity, "object": "chat.completion", "created": created, "model": served.name}
        return Answer(_bytes({**head, "choices": [choice], "usage": usage, "citations": citations}), JSON, places)
    chunks = chat_chunks(reply.text, identity=identity, created=created, model=served.name, citations=citations)
    if request.stream_options is not None and request.stream_options.include_usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**chunks[-1], "choices": [], "usage": usage})
        chunks[-1].pop("citations", None)
    return Answer(stream_bytes(chunks), SSE, places)


def question_of(request: ChatRequest) -> str:
    """Return the question of a chat request; raises ``InvalidInput`` if no message asks one."""
    question = request.question()
    if question is None:
        raise InvalidInput(
            "invalid_request", "No message has the role user.", hint="Put the question into a user message."
        )
    return question


def chat_chunks(
    text: str, *, identity: str, created: int, model: str, citations: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the chunks of a streamed completion; their contents join to ``text``, the last one has the citations."""
    head = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": model}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in re.findall(r"\S+\s*|\s+", text)]
    chunks = [{**head, "choices": [_choice(delta, None)]} for delta in deltas]
    return [*chunks, {**head, "choices": [_choice({}, "stop")], "citations": list(citations)}]


def stream_bytes(chunks: Iterable[dict[str, Any]]) -> bytes:
    """Return server-sent events, ended by ``[DONE]``."""
    return b"".join(b"data: " + _bytes(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def hit_as_json(hit: Hit) -> dict[str, Any]:
    """Return a found record as every route shows it."""
    return {
        "place": int(hit.place),
        "owner": hit.owner,
        "contribution_id": "0x" + hit.contribution_id.hex(),
        "text": hit.text,
        "target": hit.target,
        "score_ppm": int(hit.score_ppm),
    }


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _vector(row: Any, encoding: str) -> Any:
    return base64.b64encode(row.tobytes()).decode() if encoding == "base64" else [float(value) for value in row]


def _words(text: str) -> int:
    return len(text.split())


def _bytes(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
