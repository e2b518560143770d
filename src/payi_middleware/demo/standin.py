"""The stand-in provider as an ASGI app: which path speaks which wire format."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware.demo import anthropic_wire, openai_wire, responses_wire
from payi_middleware.demo.behaviour import HEADER, Behaviour
from payi_middleware.demo.delivery import Delivery
from payi_middleware.demo.turn import Json, Turn, new_id

_KEPT_RESPONSES: Final = 1000
_OPENAI_PREFIXES: Final = ("/v1", "/openai/v1", "/openai/deployments/{deployment}")
_OPENAI_ID: Final = "x-request-id"
_ANTHROPIC_ID: Final = "request-id"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Keep what a caller sent, and the id of what was answered (None for an error or where the format has none)."""

    method: str
    path: str
    headers: dict[str, str]
    body: Json | None
    response_id: str | None


@dataclass
class Desk:
    """Hold what all calls share: how to answer, what was asked, and the responses that can be retrieved."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    requests: list[Recorded] = field(default_factory=list)
    responses: dict[str, Json] = field(default_factory=dict)
    closing: anyio.Event = field(default_factory=anyio.Event)

    def keep(self, body: Json) -> None:
        """Remember a response for `GET /v1/responses/{id}`; the oldest is forgotten beyond a thousand."""
        self.responses[body["id"]] = body
        if len(self.responses) > _KEPT_RESPONSES:
            del self.responses[next(iter(self.responses))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """Name the functions that speak one endpoint's format."""

    answer: Callable[[Turn], Json]
    stream: Callable[[Turn], Iterator[str]] | None = None
    error: Callable[[int, str], Json] = openai_wire.error
    id_prefix: str = ""
    id_header: str = _OPENAI_ID
    kept: bool = False


_CHAT: Final = Wire(answer=openai_wire.chat, stream=openai_wire.chat_stream, id_prefix="chatcmpl-")
_GROQ: Final = Wire(answer=openai_wire.groq_chat, stream=openai_wire.groq_chat_stream, id_prefix="chatcmpl-")
_COMPLETION: Final = Wire(answer=openai_wire.completion, stream=openai_wire.completion_stream, id_prefix="cmpl-")
_EMBEDDINGS: Final = Wire(answer=openai_wire.embeddings)
_MODELS: Final = Wire(answer=openai_wire.models)
_RESPONSES: Final = Wire(
    answer=responses_wire.response, stream=responses_wire.response_stream, id_prefix="resp_", kept=True
)
_MESSAGES: Final = Wire(
    answer=anthropic_wire.message,
    stream=anthropic_wire.message_stream,
    error=anthropic_wire.error,
    id_prefix="msg_",
    id_header=_ANTHROPIC_ID,
)
_COUNT: Final = Wire(answer=anthropic_wire.count_tokens, error=anthropic_wire.error, id_header=_ANTHROPIC_ID)


async def _body_of(request: Request) -> Json | None:
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _plain(body: Json, behaviour: Behaviour) -> tuple[Iterator[str], dict[str, str]]:
    text = json.dumps(body)
    size = {} if behaviour.gzip else {"content-length": str(len(text))}  # json.dumps writes ASCII
    middle = len(text) // 2
    return iter((text,) if behaviour.reset_after is None else (text[:middle], text[middle:])), size


def _deliver(desk: Desk, wire: Wire, body: Json, behaviour: Behaviour) -> Response:
    headers = {wire.id_header: new_id("req_")}
    if behaviour.retry_after is not None:
        headers["retry-after"] = f"{behaviour.retry_after:g}"
    frames, size = _plain(body, behaviour)
    if behaviour.reset_after is not None:
        behaviour = dataclasses.replace(behaviour, reset_after=min(behaviour.reset_after, 1))
    return Delivery(
        frames,
        behaviour,
        desk.closing,
        status=behaviour.status,
        headers=headers | size,
        media_type="application/json",
    )


def _speak(desk: Desk, wire: Wire, turn: Turn) -> Response:
    """Answer a call that is no error, plain or streamed."""
    if wire.stream is None or turn.request.get("stream") is not True:
        body = wire.answer(turn)
        if wire.kept:
            desk.keep(body)
        return _deliver(desk, wire, body, turn.behaviour)
    return Delivery(
        wire.stream(turn),
        turn.behaviour,
        desk.closing,
        status=turn.behaviour.status,
        headers={wire.id_header: new_id("req_"), "cache-control": "no-cache"},
        media_type="text/event-stream; charset=utf-8",
    )


def _endpoint(desk: Desk, wire: Wire) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        body = await _body_of(request)
        try:
            behaviour = desk.behaviour.amended(request.headers.get(HEADER))
        except (TypeError, ValueError) as exc:
            return PlainTextResponse(f"{HEADER}: {exc}", status_code=400)
        if body is None:
            behaviour = dataclasses.replace(behaviour, status=400)
        refused = behaviour.status >= 400
        response_id = new_id(wire.id_prefix) if wire.id_prefix and not refused else None
        headers = {key.lower(): value for key, value in request.headers.items()}
        desk.requests.append(Recorded(request.method, request.url.path, headers, body, response_id))
        if refused:
            message = "The stand-in provider was told to refuse this call." if body is not None else "No JSON object."
            return _deliver(desk, wire, wire.error(behaviour.status, message), behaviour)
        asked = {"model": request.path_params["deployment"]} if "deployment" in request.path_params else {}
        turn = Turn(request=asked | (body or {}), behaviour=behaviour, response_id=response_id or "")
        return _speak(desk, wire, turn)

    return endpoint


def _retrieve(desk: Desk) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        response_id = request.path_params["response_id"]
        body = desk.responses.get(response_id)
        desk.requests.append(Recorded("GET", request.url.path, headers, None, response_id if body else None))
        if body is not None:
            return _deliver(desk, _RESPONSES, body, Behaviour())
        missing = openai_wire.error(404, f"Response with id '{response_id}' not found.")
        return _deliver(desk, _RESPONSES, missing, Behaviour(status=404))

    return endpoint


def _openai_routes(desk: Desk, prefix: str) -> list[Route]:
    chat = _GROQ if prefix == "/openai/v1" else _CHAT
    posts = {
        "/chat/completions": chat,
        "/completions": _COMPLETION,
        "/responses": _RESPONSES,
        "/embeddings": _EMBEDDINGS,
    }
    return [
        *(Route(prefix + path, _endpoint(desk, wire), methods=["POST"]) for path, wire in posts.items()),
        Route(prefix + "/models", _endpoint(desk, _MODELS), methods=["GET"]),
        Route(prefix + "/responses/{response_id}", _retrieve(desk), methods=["GET"]),
    ]


def create_app(desk: Desk | None = None) -> Starlette:
    """Return the stand-in provider as an ASGI app; `desk` gives access to its behaviour and to what was asked."""
    desk = desk or Desk()
    messages = Route("/v1/messages", _endpoint(desk, _MESSAGES), methods=["POST"])
    count = Route("/v1/messages/count_tokens", _endpoint(desk, _COUNT), methods=["POST"])
    return Starlette(
        routes=[messages, count, *(route for prefix in _OPENAI_PREFIXES for route in _openai_routes(desk, prefix))]
    )
