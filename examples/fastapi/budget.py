"""A FastAPI app with a budget: near its end a cheaper model answers, at its end nobody does, but for the staff."""

from functools import cache

from fastapi import FastAPI, HTTPException
from openai import AsyncOpenAI, BadRequestError
from pydantic import BaseModel

from payi_middleware import Settings
from payi_middleware.fastapi import instrument_app
from payi_middleware.limits.budget import LimitView
from payi_middleware.limits.gate import LimitedCall

CHEAPER = {"gpt-4o": "gpt-4o-mini"}


def on_limit(state: str, limit: LimitView, call: LimitedCall) -> str | bool | None:
    """Say what becomes of a call whose limit runs out: a model to ask instead, True to let it pass, None."""
    if call.annotations.account_name == "staff":
        return True
    if state == "exceeded":
        return CHEAPER.get(call.resource)
    return None


app = FastAPI(title="payi-middleware example: a budget")
# The limit is made once: payi-middleware's README tells where, or Ledger("payi.db").create_limit(...)
instrument_app(app, settings=Settings(limit_ids=["team-budget"], on_limit=on_limit))


class Question(BaseModel):
    message: str


@cache
def openai_client() -> AsyncOpenAI:
    return AsyncOpenAI()


@app.post("/chat")
async def chat(question: Question) -> dict[str, str]:
    try:
        completion = await openai_client().chat.completions.create(
            model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": question.message}]
        )
    except BadRequestError as error:
        if error.code == "limit_reached":
            raise HTTPException(402, "The team's budget is spent.") from None
        raise
    return {"model": completion.model, "answer": completion.choices[0].message.content or ""}
