"""Take the pictures of the docs from a running Airflow, in a headless Chromium: `make screenshots`.

It speaks WebDriver's own HTTP to chromedriver, so no package is needed but the two of Debian
(chromium, chromium-driver). Pictures show the newest run of a DAG and change nothing.
"""

import argparse
import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx

from fairlead_cluster import settings, state

FOLDER: Final = Path(__file__).parent
MAX_BYTES: Final = 200_000
WIDTH: Final = 1280
HEIGHT: Final = 1000
PATIENCE_SECONDS: Final = 60
PAUSE_SECONDS: Final = 0.5
ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""The key by which WebDriver names an element."""
FORM: Final = "//*[@role='dialog']//button"
GROUPS: Final = "//button[@aria-label='Expand all task groups']"
COOKIE: Final = "_token"


def give_up(problem: str) -> NoReturn:
    """End with one line."""
    print(f"screenshots: {problem}", file=sys.stderr)
    raise SystemExit(1)


class Browser:
    """One window of a headless Chromium."""

    def __init__(self, driver: str) -> None:
        self.driver = httpx.Client(base_url=driver, timeout=PATIENCE_SECONDS, trust_env=False)
        arguments = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
        arguments += [f"--window-size={WIDTH},{HEIGHT}", "--force-color-profile=srgb"]
        options = {"goog:chromeOptions": {"args": arguments}}
        opened = self.ask("POST", "", capabilities={"alwaysMatch": options})
        self.session = f"/{opened['sessionId']}"

    session = ""

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send one command; an element that isn't there raises LookupError."""
        json_body = None if method == "GET" else body
        answer = self.driver.request(method, f"/session{self.session}{path}", json=json_body)
        value = answer.json()["value"]
        if answer.is_error:
            raise LookupError(value["message"].splitlines()[0])
        return value

    def open(self, url: str) -> None:
        """Go to a page."""
        self.ask("POST", "/url", url=url)

    def find(self, xpath: str) -> str:
        """The element, when it is there."""
        return str(self.ask("POST", "/element", using="xpath", value=xpath)[ELEMENT])

    def wait(self, xpath: str) -> str:
        """Wait until an element is there."""
        return str(until(lambda: self.find(xpath), f"{xpath} on the page"))

    def click(self, xpath: str) -> None:
        """Click on an element as soon as it can be."""
        until(
            lambda: self.ask("POST", f"/element/{self.wait(xpath)}/click") or True,
            f"a click on {xpath}",
        )

    def wait_inside(self, frame: str, xpath: str) -> None:
        """Wait until an element is there in a frame of the page."""
        self.ask("POST", "/frame", id={ELEMENT: self.wait(frame)})
        self.wait(xpath)
        self.ask("POST", "/frame", id=None)

    def take(self, name: str) -> Path:
        """Write a picture of the window once it has stopped changing."""
        last = b""
        while (picture := base64.b64decode(self.ask("GET", "/screenshot"))) != last:
            last = picture
            time.sleep(PAUSE_SECONDS)
        file = FOLDER / f"{name}.png"
        file.write_bytes(picture)
        if len(picture) > MAX_BYTES:
            give_up(f"{file} has {len(picture)} bytes, more than {MAX_BYTES}")
        return file


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait until a function returns without LookupError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return found()
        except LookupError as missing:
            if time.monotonic() > deadline:
                give_up(f"never came: {what} ({missing})")
            time.sleep(PAUSE_SECONDS)


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium of our own."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        give_up(f"{' and '.join(missing)} missing: apt-get install chromium chromium-driver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: is_up(url), "chromedriver")
        opened = Browser(url)
        try:
            yield opened
        finally:
            opened.ask("DELETE", "")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def is_up(url: str) -> bool:
    """Whether chromedriver answers."""
    try:
        return httpx.get(f"{url}/status", trust_env=False).is_success
    except httpx.TransportError as refused:
        raise LookupError(str(refused)) from refused


def password() -> str:
    """The password that `make airflow` has made for this machine's cluster."""
    chosen = settings.load()
    file = state.layout_of(chosen.state_dir, chosen.name).airflow / "passwords.json"
    if not file.exists():
        give_up(f"{file} is missing: run `make airflow` first, and leave it running")
    found: str = json.loads(file.read_text())["admin"]
    return found


def log_in(url: str) -> str:
    """A token for the API and the pages."""
    login = {"username": "admin", "password": password()}
    try:
        answer = httpx.post(f"{url}/auth/token", json=login, timeout=60, trust_env=False)
    except httpx.TransportError as refused:
        give_up(f"no Airflow at {url} ({refused}): run `make airflow`, or name its PORT")
    token: str = answer.raise_for_status().json()["access_token"]
    return token


def newest_run(url: str, token: str, dag_id: str) -> str:
    """Path of the page of a DAG's newest run, of the DAG itself where it never ran."""
    answer = httpx.get(
        f"{url}/api/v2/dags/{dag_id}/dagRuns",
        params={"order_by": "-run_after", "limit": 1},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    if answer.status_code == httpx.codes.NOT_FOUND:
        give_up(f"Airflow knows no DAG {dag_id}")
    runs = answer.raise_for_status().json()["dag_runs"]
    return f"/dags/{dag_id}/runs/{runs[0]['dag_run_id']}" if runs else f"/dags/{dag_id}"


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--dag", default="fine_tune", help="whose form and grid are shown")
    parser.add_argument("--section", default="Training", help="which part of the form is open")
    parser.add_argument("--page", default="fairlead", help="route of the status page")
    given = parser.parse_args()
    url = f"http://localhost:{given.port}"
    token = log_in(url)
    with browser() as window:
        window.open(f"{url}/api/v2/version")  # a cookie needs a page of its host
        window.ask("POST", "/cookie", cookie={"name": COOKIE, "value": token, "path": "/"})
        window.open(f"{url}/dags/{given.dag}")
        window.click("//button[contains(., 'Trigger')]")
        window.click(f"{FORM}[contains(., '{given.section}')]")
        print(window.take("form"))
        window.open(f"{url}{newest_run(url, token, given.dag)}")
        window.click(GROUPS)
        print(window.take("grid"))
        window.open(f"{url}/plugin/{given.page}")
        window.wait_inside("//iframe", "//table | //h1 | //h2")
        print(window.take("status"))


if __name__ == "__main__":
    main()
