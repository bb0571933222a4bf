"""A stand-in for Prometheus's HTTP API: answers each query with what a test sets next."""

from aiohttp import web


def vector(*numbers):
    """The answer to a query that finds so many series."""
    result = [{"metric": {}, "value": [0, str(number)]} for number in numbers]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


class StandInPrometheus:
    def __init__(self):
        self.answers = []
        self.queries = []
        self.headers = {}
        self.port = 0

    async def query(self, request):
        """The next of the answers; the last one stays."""
        self.queries.append((await request.post())["query"])
        self.headers = dict(request.headers)
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)

    async def start(self):
        app = web.Application()
        app.router.add_post("/api/v1/query", self.query)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def stop(self):
        await self.runner.cleanup()
