"""The program that takes the docs' pictures: what it says when it can't, and what it waits for."""

import base64
import http.server
import importlib.util
import json
import re
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "screenshots"
PICTURES = sorted(FOLDER.glob("*.png"))


@pytest.fixture
def take(monkeypatch, tmp_path):
    """The program as a module; its pictures go to a folder of the test's."""
    spec = importlib.util.spec_from_file_location("take", FOLDER / "take.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("FAIRLEAD_CLUSTER", raising=False)
    return module


@pytest.fixture
def logged_in(tmp_path):
    """The password of `make airflow`, where it lies."""
    home = tmp_path / "fairlead" / "fairlead" / "airflow"
    home.mkdir(parents=True)
    (home / "passwords.json").write_text(json.dumps({"admin": "sesame"}))


@pytest.fixture
def stand_in():
    """A server that answers as told, by method and path; what came in is in ``asked``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            server.asked.append(
                (self.command, self.path, json.loads(self.rfile.read(length) or "{}"))
            )
            answers = server.answers[self.command, self.path.split("?")[0]]
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], {}
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def said(capsys):
    return capsys.readouterr().err


def test_programs_that_are_missing_are_named_with_their_packages(take, monkeypatch, capsys):
    monkeypatch.setattr(take.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit), take.browser():
        pass
    assert "chromium and chromedriver missing: apt-get install chromium chromium-driver" in said(
        capsys
    )


def test_airflow_that_was_never_started_is_named(take, capsys):
    with pytest.raises(SystemExit):
        take.log_in("http://127.0.0.1:1")
    assert "run `make airflow` first" in said(capsys)


def test_airflow_that_does_not_answer_is_named(take, logged_in, capsys):
    with pytest.raises(SystemExit):
        take.log_in("http://127.0.0.1:1")
    assert "no Airflow at http://127.0.0.1:1" in said(capsys)


def test_login_is_by_the_password_that_make_airflow_made(take, logged_in, stand_in):
    stand_in.answers["POST", "/auth/token"] = [(201, {"access_token": "t"})]
    assert take.log_in(stand_in.url) == "t"
    assert stand_in.asked[0][2] == {"username": "admin", "password": "sesame"}


@pytest.mark.parametrize(
    ("runs", "path"),
    [
        pytest.param([{"dag_run_id": "manual__1"}], "/dags/a/runs/manual__1", id="a-run"),
        pytest.param([], "/dags/a", id="never-ran"),
    ],
)
def test_grid_is_of_the_newest_run(take, stand_in, runs, path):
    stand_in.answers["GET", "/api/v2/dags/a/dagRuns"] = [(200, {"dag_runs": runs})]
    assert take.newest_run(stand_in.url, "t", "a") == path
    assert "order_by=-run_after" in stand_in.asked[0][1]


def test_dag_that_is_not_there_is_named(take, stand_in, capsys):
    stand_in.answers["GET", "/api/v2/dags/a/dagRuns"] = [(404, {})]
    with pytest.raises(SystemExit):
        take.newest_run(stand_in.url, "t", "a")
    assert "Airflow knows no DAG a" in said(capsys)


@pytest.fixture
def window(take, stand_in):
    """A browser whose driver is the stand-in."""
    stand_in.answers["POST", "/session"] = [(200, {"value": {"sessionId": "one"}})]
    opened = take.Browser(stand_in.url)
    yield opened
    opened.driver.close()


def test_browser_waits_for_an_element_that_comes_later(take, window, stand_in):
    missing = (404, {"value": {"message": "no such element\nat line 1"}})
    there = (200, {"value": {take.ELEMENT: "e"}})
    stand_in.answers["POST", "/session/one/element"] = [missing, missing, there]
    assert window.wait("//button") == "e"


def test_browser_gives_up_with_what_it_waited_for(take, window, stand_in, monkeypatch, capsys):
    monkeypatch.setattr(take, "PATIENCE_SECONDS", 0)
    missing = (404, {"value": {"message": "no such element\nat line 1"}})
    stand_in.answers["POST", "/session/one/element"] = [missing]
    with pytest.raises(SystemExit):
        window.wait("//iframe")
    assert "never came: //iframe on the page (no such element)" in said(capsys)


def test_browser_looks_into_a_frame_and_comes_back(take, window, stand_in):
    stand_in.answers["POST", "/session/one/element"] = [(200, {"value": {take.ELEMENT: "e"}})]
    stand_in.answers["POST", "/session/one/frame"] = [(200, {"value": None})]
    window.wait_inside("//iframe", "//table")
    steps = [(path.rsplit("/", 1)[1], body) for _, path, body in stand_in.asked[1:]]
    assert [name for name, _ in steps] == ["element", "frame", "element", "frame"]
    assert [body["id"] for name, body in steps if name == "frame"] == [{take.ELEMENT: "e"}, None]


def picture(content):
    return 200, {"value": base64.b64encode(content).decode()}


def test_picture_is_taken_when_the_page_has_stopped_changing(window, stand_in, tmp_path):
    stand_in.answers["GET", "/session/one/screenshot"] = [
        picture(b"1"),
        picture(b"2"),
        picture(b"2"),
    ]
    assert window.take("grid") == tmp_path / "grid.png"
    assert (tmp_path / "grid.png").read_bytes() == b"2"


def test_picture_that_is_too_large_is_refused(take, window, stand_in, monkeypatch, capsys):
    monkeypatch.setattr(take, "MAX_BYTES", 3)
    stand_in.answers["GET", "/session/one/screenshot"] = [picture(b"four")]
    with pytest.raises(SystemExit):
        window.take("grid")
    assert "has 4 bytes, more than 3" in said(capsys)


def test_pictures_in_the_docs_are_small_and_all_shown(take):
    text = (ROOT / "docs" / "airflow.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\(screenshots/([\w.]+)\)", text)
    assert sorted(shown) == [file.name for file in PICTURES]
    assert [file.name for file in PICTURES if file.stat().st_size > take.MAX_BYTES] == []
