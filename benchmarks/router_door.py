"""An HTTP door to the path of a model call, in OpenAI's words: `python -m benchmarks.router_door PORT`, on 127.0.0.1.

As thin as a door can be: who asks is known by a key, the text is the last message's, the answer is the router's.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from aiohttp import web

from benchmarks.router_path import Desk
from benchmarks.router_peers import KEY

_HANDED_ON = 500  # calls after which what was recorded is handed on


class _Door:
    def __init__(self) -> None:
        self._desk = Desk(traced=True)
        self._answered = 0

    async def complete(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized
        asked: dict[str, Any] = await request.json()
        text: str = asked["messages"][-1]["content"]
        completion = self._desk.call(text)
        self._answered += 1
        if not self._answered % _HANDED_ON:
            self._desk.hand_on()
        used = completion.usage
        said = {"role": "assistant", "content": json.dumps(completion.answer)}
        told = {
            "id": f"chatcmpl-{self._answered}",
            "object": "chat.completion",
            "model": used.model,
            "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": used.tokens_in, "completion_tokens": used.tokens_out},
        }
        return web.json_response(told)

    @staticmethod
    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive")


def main(port: str) -> None:
    """Serve until told to stop."""
    door, app = _Door(), web.Application()
    app.router.add_post("/v1/chat/completions", door.complete)
    app.router.add_get("/health/liveliness", door.live)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
