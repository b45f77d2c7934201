"""The requests a gateway reads, as types: FastAPI checks them and writes them into the OpenAPI document.

Fields of OpenAI's API that a retrieval model has no use for (temperature and the like) are accepted and ignored, as
other compatible servers do; those that would change what is returned (``n``, ``tools``) are refused.

>>> SearchRequest(model="docs", text="open a file").k
5
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT_CHARS = 16_384
MAX_INPUTS = 64
MAX_K = 50
MAX_TOP = 20
MAX_MESSAGES = 64

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S")]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Hash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]


class Strict(BaseModel):
    """A request of our own: unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Strict):
    """Find the records nearest to a text."""

    model: ModelName
    text: Text
    k: int = Field(5, ge=1, le=MAX_K)


class ClassifyRequest(Strict):
    """Name the label of a text."""

    model: ModelName
    text: Text
    top: int = Field(3, ge=1, le=MAX_TOP)


class EmbeddingsRequest(BaseModel):
    """OpenAI's embeddings request; tokens instead of texts are not taken."""

    model: ModelName
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = None


class ContentPart(BaseModel):
    """A part of a message's content; only text is taken."""

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """One message; the last one of role user is the question."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[ContentPart], Field(min_length=1, max_length=MAX_INPUTS)]

    def words(self) -> str:
        """Return the content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class ArenaRequest(Strict):
    """Ask two models of a DAO's line the same question, without being told which."""

    model: ModelName
    question: Text


class StreamOptions(BaseModel):
    """What a stream holds besides the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """OpenAI's chat completion request."""

    model: ModelName
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    def question(self) -> str | None:
        """Return the last user message's text, None if there is none."""
        return next((message.words() for message in reversed(self.messages) if message.role == "user"), None)


class PreferenceRequest(Strict):
    """Which answer of an arena call its payer prefers; signed (``core.messages.Preference``)."""

    receipt_id: Hash
    account: Address
    preferred: Literal["a", "b", "tie"]
    expires: int = Field(ge=0, lt=2**53)
    signature: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{130}$")]


class FeedbackRequest(Strict):
    """Signed feedback on a paid call; ``body`` depends on the kind (``serve.feedback``)."""

    receipt_id: Hash
    account: Address
    kind: Literal["rating", "preference", "click", "purchase"]
    body: dict[str, Any]
    signature: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{130}$")]
