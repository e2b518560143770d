"""boto3: Bedrock's calls plain and streamed, for several users; results in its answers."""

from __future__ import annotations

import json

from tests.compat.cases.metering import metered
from tests.transport.bedrock import (
    CLAUDE,
    CONVERSATION,
    CONVERSED,
    MESSAGE,
    MODEL,
    Reply,
    client,
    serving,
    whole,
)

_COUNTED = (27, 3)
_MESSAGE = {**MESSAGE, "usage": {"input_tokens": 27, "output_tokens": 3}}

if __name__ == "__main__":
    with metered() as world, serving() as server:
        server.replies[:] = [whole(CONVERSED), Reply(CONVERSATION), whole(_MESSAGE)]
        bedrock = client(server.url)

        def asked(prompt: str) -> list[dict[str, object]]:
            return [{"role": "user", "content": [{"text": prompt}]}]

        with world.asking("ann") as prompt:
            answer = bedrock.converse(modelId=MODEL, messages=asked(prompt))
        with world.asking("bob") as prompt:
            streamed = bedrock.converse_stream(modelId=MODEL, messages=asked(prompt))
            assert list(streamed["stream"])
        with world.asking("carol") as prompt:
            invoked = bedrock.invoke_model(modelId=CLAUDE, body=json.dumps({"messages": asked(prompt)}))
            assert json.loads(invoked["body"].read())
        world.check_elsewhere(_COUNTED)
        assert all(told["xproxy_result"].cost for told in (answer, streamed, invoked))
