"""A stand-in for a served model, as a program of its own: answers fast and counts who asked what.

No model here: the answer to a prompt is the prompt in upper case. Every so many requests it is busy
(429 with Retry-After, 503) as /control says; it can go away, which drops all connections. Prints
its port.
"""

import asyncio
import sys
from collections import Counter

from aiohttp import web


class StandInServer:
    def __init__(self):
        self.reset()

    def reset(self):
        self.num_requests = 0
        self.num_at_once = 0
        self.most_at_once = 0
        self.answered = Counter()
        self.busy_every = 0
        self.away_after = None
        self.delay_seconds = 0.0
        self.broken = []

    @property
    def is_away(self):
        return self.away_after is not None and self.answered.total() >= self.away_after

    async def control(self, request):
        """Take settings; with ?reset=1 begin anew."""
        if request.query.get("reset"):
            self.reset()
        for name, value in (await request.json()).items():
            setattr(self, name, value)
        return web.json_response({})

    async def counts(self, request):
        return web.json_response(
            {
                "answered": self.answered,
                "num_requests": self.num_requests,
                "most_at_once": self.most_at_once,
            }
        )

    async def greet(self, request):
        if self.is_away:
            request.transport.abort()
        return web.json_response({"data": [{"id": "units"}]})

    async def complete(self, request):
        self.num_requests += 1
        number = self.num_requests
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            await asyncio.sleep(self.delay_seconds)
            return self.answer(request, number, await request.json())
        finally:
            self.num_at_once -= 1

    def answer(self, request, number, body):
        if self.is_away:
            request.transport.abort()
            return web.Response(status=502)
        if self.busy_every and number % self.busy_every == 0:
            status = (429, 503)[number // self.busy_every % 2]
            return web.json_response({"error": "busy"}, status=status, headers={"Retry-After": "0"})
        is_chat = "messages" in body
        prompt = body["messages"][-1]["content"] if is_chat else body["prompt"]
        if (refusal := self.refusal(body, prompt)) is not None:
            return refusal
        self.answered[prompt] += 1
        if prompt in self.broken:
            return web.json_response({"choices": []})
        text = prompt.upper()
        choice = {"message": {"content": text}} if is_chat else {"text": text}
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        return web.json_response(
            {"choices": [choice | {"finish_reason": "stop"}], "usage": usage, "asked": body}
        )

    def refusal(self, body, prompt):
        if body["model"] != "units":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        if prompt.startswith("too long"):
            return web.json_response({"error": {"message": "4096 tokens at most"}}, status=400)
        return None


async def main():
    server = StandInServer()
    app = web.Application()
    app.router.add_post("/v1/completions", server.complete)
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_get("/v1/models", server.greet)
    app.router.add_post("/control", server.control)
    app.router.add_get("/counts", server.counts)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until who started it is gone
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
