"""The way of a mutating request through the proxy: numbered, and met by the plan's faults."""

from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from aiohttp import web

from fairlead_chaos import answers, requests
from fairlead_chaos.faults import Moment, Write
from fairlead_chaos.history import number
from fairlead_chaos.relay import answer, flush
from fairlead_chaos.requests import Asked
from fairlead_chaos.run import Entry, Run
from fairlead_chaos.upstream import Client, Reply


@dataclass(frozen=True)
class Writes:
    """Carries mutating requests out."""

    run: Run
    client: Client

    async def carry_out(
        self, request: web.BaseRequest, asked: Asked, body: bytes, incarnation: int
    ) -> web.StreamResponse | None:
        """Forward, or not, as the plan says; None where the connection is to break instead."""
        run, write = self.run, self.run.history.count_write(asked, body)
        entry = run.sent(write, incarnation)
        if run.agenda.kills(write, Moment.BEFORE_SEND):
            entry.note(answered="nothing")
            await run.life.end()
            return None
        if refuse := run.agenda.refusal(write):
            entry.note(answered="refused")
            given = answers.refusal(asked, refuse)
            return await answer(request, given.code, given.headers, given.body)
        reply = await self._forward(request, asked, body, write, entry)
        if not run.life.lives(incarnation):
            entry.note(answered="nothing")
            return None
        if reply is not None and _is_outrun(asked, reply):
            run.history.give_back(write)
            return await self._relay(request, entry, reply)
        if reply is None or run.agenda.loses(write):
            entry.note(answered="lost")
            return None
        return await self._reply(request, write, entry, reply)

    async def _forward(
        self, request: web.BaseRequest, asked: Asked, body: bytes, write: Write, entry: Entry
    ) -> Reply | None:
        """Have the API server carry it out and note what it made of it; None: it gave no reply."""
        run = self.run
        seen = run.history.version(asked.plural, asked.namespace, asked.name)
        newest = run.history.newest
        try:
            with run.life.flight():
                reply = await self.client.send(
                    request.method, request.raw_path, request.headers, body
                )
        except (aiohttp.ClientError, OSError):
            return None
        answered = requests.decoded(reply.body, reply.content_type)
        version = 0
        if 200 <= reply.code < 300:
            run.history.saw_reply(asked.plural, answered)
            version = number(requests.metadata(answered).get("resourceVersion"))
            run.old_lists.reached(write, version - 1 if version > seen else newest)
        entry.note(
            code=reply.code,
            is_new=_is_new(asked, reply.code),
            has_effect=not version or version > seen,
        )
        return reply

    async def _reply(
        self, request: web.BaseRequest, write: Write, entry: Entry, reply: Reply
    ) -> web.StreamResponse | None:
        """Relay the reply, with the operator's death around it where the plan has it."""
        run = self.run
        if run.agenda.kills(write, Moment.AFTER_COMMIT):
            entry.note(answered="nothing")
            await run.life.end()
            return None
        response = await self._relay(request, entry, reply)
        if response is not None and run.agenda.kills(write, Moment.AFTER_REPLY):
            await flush(request)
            await run.life.end()
            return None
        return response

    async def _relay(
        self, request: web.BaseRequest, entry: Entry, reply: Reply
    ) -> web.StreamResponse | None:
        """Answer as the API server did; None where the operator went away meanwhile."""
        try:
            response = await answer(request, reply.code, reply.headers, reply.body)
        except ConnectionError:
            entry.note(answered="lost")
            return None
        entry.note(answered="relayed")
        return response


def _is_outrun(asked: Asked, reply: Reply) -> bool:
    """Whether somebody else's write came first, which timing alone decides: it will be repeated."""
    return asked.verb == "patch" and reply.code == HTTPStatus.CONFLICT


def _is_new(asked: Asked, code: int) -> bool:
    may_make = asked.verb == "create" or asked.is_apply
    return code == 201 and may_make and not asked.subresource
