"""A stand-in for vLLM's OpenAI API: the part that an evaluation uses, with known likelihoods.

Not a model: after token a, token b has the probability 1 / (2 + (7 a + b) % 5), and answers are
looked up. It tokenizes character by character, but for what MERGED lists. Prints its port, serves
until its input ends. ``POST /control`` sets the fields of State, ``GET /seen`` shows the requests.
"""

import dataclasses
import json
import math
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MERGED = {"<u>": 1, "<a>": 2, "<e>": 3, " kg": 5}
BOS = 4
UNFIT = {"no model": 404, "no key": 401, "too long": 400}


@dataclasses.dataclass
class State:
    """How it behaves."""

    bos: bool = False
    """Whether completions get a BOS token, as with a Llama's tokenizer."""
    template_bos: bool = False
    """Whether the chat template writes one."""
    max_model_len: int = 60
    answers: dict[str, str] = dataclasses.field(default_factory=dict)
    """By the question's last text; by what the judge is to grade, its grade."""
    key: str = ""
    tells: bool = True
    """Whether it tells token ids and likelihoods: only vLLM does."""
    beside: bool = False
    """Whether it tells of a likelier token beside each."""
    seen: list[Any] = dataclasses.field(default_factory=list)


class Unfit(Exception):
    """A request that is refused; its argument is a key of UNFIT."""


def encode(text: str, bos: bool) -> list[int]:
    pieces = re.findall("|".join(map(re.escape, MERGED)) + "|.", text, re.DOTALL)
    return [BOS] * bos + [MERGED.get(piece, 100 + ord(piece[0])) for piece in pieces]


def render(body: dict[str, Any]) -> str:
    """The chat template."""
    text = "".join(
        f"<a>{each['content']}<e>" if each["role"] == "assistant" else f"<u>{each['content']}"
        for each in body["messages"]
    )
    if body.get("continue_final_message"):
        return text.removesuffix("<e>")
    return text + "<a>" * body.get("add_generation_prompt", True)


def logprob(before: int, token: int) -> float:
    return -math.log(2 + (7 * before + token) % 5)


def prompt_logprobs(ids: list[int], beside: bool) -> list[dict[str, Any] | None]:
    """As vLLM tells them: nothing of the first token, the rest by token id."""
    told: list[dict[str, Any] | None] = [None]
    for before, token in zip(ids, ids[1:], strict=False):
        of = {str(token): {"logprob": logprob(before, token), "rank": 2, "decoded_token": "?"}}
        told.append(({"7777": {"logprob": -0.01, "rank": 1}} if beside else {}) | of)
    return told


def complete(state: State, path: str, headers: Any, body: dict[str, Any]) -> dict[str, Any]:
    if state.key and headers.get("Authorization") != f"Bearer {state.key}":
        raise Unfit("no key")
    if body.get("model") != "units":
        raise Unfit("no model")
    is_chat = path == "/v1/chat/completions"
    if is_chat:
        text, last = render(body), body["messages"][-1]["content"]
        ids = encode(text, state.template_bos)
    else:
        last = body["prompt"]
        ids = encode(last, state.bos)
    if len(ids) + body["max_tokens"] > state.max_model_len:
        raise Unfit("too long")
    answer = next((said for asked, said in state.answers.items() if asked in last), "")
    cut = answer[: body["max_tokens"]]
    choice: dict[str, Any] = {"finish_reason": "stop" if cut == answer else "length"}
    choice |= {"message": {"content": cut}} if is_chat else {"text": cut}
    told: dict[str, Any] = {}
    if state.tells and body.get("return_token_ids"):
        told["prompt_token_ids"] = ids
    if state.tells and body.get("prompt_logprobs") is not None:
        told["prompt_logprobs"] = prompt_logprobs(ids, state.beside)
    return {"choices": [choice]} | told if is_chat else {"choices": [choice | told]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = State()

    def do_GET(self) -> None:
        self.reply(200, self.state.seen if self.path == "/seen" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/control":
            Handler.state = State(**body)
            return self.reply(200, {})
        self.state.seen.append([self.path, body])
        try:
            return self.reply(200, complete(self.state, self.path, self.headers, body))
        except Unfit as unfit:
            return self.reply(UNFIT[str(unfit)], {"error": {"message": str(unfit)}})

    def reply(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
