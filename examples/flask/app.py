"""A Flask app that asks OpenAI and Anthropic; the two payi_middleware lines tell who spent what."""

from collections.abc import Iterator
from functools import cache

from anthropic import Anthropic
from flask import Flask, Response, request
from openai import OpenAI

from payi_middleware.flask import Payi

OPENAI_MODEL = "gpt-4o-mini"
ANTHROPIC_MODEL = "claude-haiku-4-5"

app = Flask(__name__)
Payi(app)


# The SDKs read OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL themselves.
@cache
def openai_client() -> OpenAI:
    return OpenAI()


@cache
def anthropic_client() -> Anthropic:
    return Anthropic()


def message() -> str:
    return str(request.get_json()["message"])


def ask_openai(question: str) -> str:
    completion = openai_client().chat.completions.create(
        model=OPENAI_MODEL, max_tokens=100, messages=[{"role": "user", "content": question}]
    )
    return completion.choices[0].message.content or ""


def ask_anthropic(question: str) -> str:
    answer = anthropic_client().messages.create(
        model=ANTHROPIC_MODEL, max_tokens=100, messages=[{"role": "user", "content": question}]
    )
    return "".join(block.text for block in answer.content if block.type == "text")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/chat")
def chat() -> dict[str, str]:
    return {"openai": ask_openai(message())}


@app.post("/compare")
def compare() -> dict[str, str]:
    return {"openai": ask_openai(message()), "anthropic": ask_anthropic(message())}


@app.post("/stream")
def stream() -> Response:
    question = message()

    def pieces() -> Iterator[str]:
        with openai_client().chat.completions.create(
            model=OPENAI_MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            for chunk in chunks:
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""

    return Response(pieces(), mimetype="text/plain")
