"""The real openai client, synchronous and asynchronous, pays and reads the gateway's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import openai
import pytest

from gateway_stand import Stand, WordModel
from rodagila.client import buyer_transport, buyer_transport_sync

QUESTION = [{"role": "user", "content": "How do I open a file?"}]


@pytest.fixture
def client(stand: Stand, url: str) -> Iterator[openai.OpenAI]:
    transport = buyer_transport_sync(stand.buyer, stand.token.address, stand.network)
    with httpx.Client(transport=transport) as http:
        yield openai.OpenAI(api_key="-", base_url=url + "/v1", http_client=http, max_retries=0)  # type: ignore[arg-type]


def test_models_are_listed_by_name_and_by_dao(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"docs", "docs-1", "code", "code-1"}
    assert client.models.retrieve("docs").owned_by == "docs"
    with pytest.raises(openai.NotFoundError) as found:
        client.models.retrieve("nothing")
    assert found.value.code == "model_unknown"


def test_a_chat_answer_cites_the_records_it_rests_on(client: openai.OpenAI, model: WordModel) -> None:
    answer = client.chat.completions.create(model="docs", messages=QUESTION, temperature=0.2)
    message = answer.choices[0].message
    assert message.role == "assistant"
    assert message.content == "open: Open file and return a corresponding file object."
    assert answer.model == "docs-1"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 6
    citations = answer.model_extra["citations"]
    assert citations[0]["target"] == "open"
    assert {"place", "owner", "contribution_id", "score_ppm"} <= set(citations[0])


def test_a_stream_has_one_id_a_role_first_and_usage_last(client: openai.OpenAI, model: WordModel) -> None:
    stream = client.chat.completions.create(
        model="docs", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert words == "open: Open file and return a corresponding file object."
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["citations"][0]["target"] == "open"


def test_a_stream_without_the_option_has_no_usage_and_ends_with_done(stand: Stand, url: str, model: WordModel) -> None:
    transport = buyer_transport_sync(stand.buyer, stand.token.address, stand.network)
    with httpx.Client(transport=transport, base_url=url) as http:
        response = http.post("/v1/chat/completions", json={"model": "docs", "messages": QUESTION, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [event for event in response.text.split("\n\n") if event]
    assert events[-1] == "data: [DONE]"
    assert '"usage"' not in response.text


def test_embeddings_come_as_base64_and_as_numbers(client: openai.OpenAI, model: WordModel) -> None:
    texts = ["open a file", "sort a list"]
    packed = client.embeddings.create(model="docs", input=texts)
    plain = client.embeddings.create(model="docs", input=texts, encoding_format="float")
    assert [entry.embedding for entry in packed.data] == [pytest.approx(entry.embedding) for entry in plain.data]
    assert packed.data[0].embedding == pytest.approx(model.embed(texts)[0].tolist())
    assert [entry.index for entry in packed.data] == [0, 1]


def test_errors_are_the_clients_own(client: openai.OpenAI, model: WordModel) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.chat.completions.create(model="docs", messages=QUESTION, n=2)
    assert refused.value.code == "invalid_request"
    with pytest.raises(openai.UnprocessableEntityError, match="role user"):
        client.chat.completions.create(model="docs", messages=[{"role": "system", "content": "be brief"}])
    model.fails = ValueError("broken")
    with pytest.raises(openai.InternalServerError) as broken:
        client.chat.completions.create(model="docs", messages=QUESTION)
    assert broken.value.code == "unexpected"


def test_a_client_that_cannot_pay_sees_what_the_call_costs(url: str, model: WordModel) -> None:
    with (
        httpx.Client() as http,
        openai.OpenAI(api_key="-", base_url=url + "/v1", http_client=http, max_retries=0) as poor,  # type: ignore[arg-type]
        pytest.raises(openai.APIStatusError) as demanded,
    ):
        poor.chat.completions.create(model="docs", messages=QUESTION)
    assert demanded.value.status_code == 402
    assert "costs 0.002 Roda Pay" in str(demanded.value.body)
    assert model.calls == 0


def test_the_asynchronous_client_pays_through_x402s_own_transport(stand: Stand, url: str, model: WordModel) -> None:
    async def ask() -> tuple[str, str]:
        transport = buyer_transport(stand.buyer, stand.token.address, stand.network)
        async with httpx.AsyncClient(transport=transport) as http:
            client = openai.AsyncOpenAI(api_key="-", base_url=url + "/v1", http_client=http)  # type: ignore[arg-type]
            answer = await client.chat.completions.create(model="docs", messages=QUESTION)
            stream = await client.chat.completions.create(model="docs", messages=QUESTION, stream=True)
            words = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            return str(answer.choices[0].message.content), "".join(words)

    before = stand.balance(stand.buyer.address)
    whole, streamed = asyncio.run(ask())
    assert whole == streamed == "open: Open file and return a corresponding file object."
    assert before - stand.balance(stand.buyer.address) == 4000
