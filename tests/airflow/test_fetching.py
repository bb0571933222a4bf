"""Training rows from a real HTTP server and from files."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk.io import fs
from fsspec.implementations.memory import MemoryFileSystem

from fairlead_airflow.pipelines import fetching, rows
from fairlead_airflow.pipelines.plan import InvalidPlan

ROW = '{"prompt": "a", "completion": "b"}'
TOKEN = "let-me-in"


class Handler(BaseHTTPRequestHandler):
    """Serves what the test put at a path: a status and a body."""

    pages: dict = {}

    def do_GET(self):
        status, body = self.pages.get(self.path, (404, b""))
        if self.path == "/guarded" and self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, body = 401, b""
        self.send_response(status)
        if status == 302:
            self.send_header("Location", body.decode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def site():
    """A server's address, and its pages."""
    Handler.pages = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Handler.pages
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(dataset=None, **changes):
    form = {"rows": None, "dataset": dataset, "dataset_conn_id": None, "data_format": "Auto"}
    return fetching.training_rows(form | changes)


def test_rows_of_the_form_are_taken_as_they_are():
    assert fetch(rows=ROW) == ROW
    with pytest.raises(rows.BrokenRows, match="rows: .*\nline 1"):
        fetch(rows="{")


def test_claim_is_left_to_the_cluster():
    assert fetch("pvc://work/rows.jsonl") is None


def test_rows_of_an_address_are_fetched_and_checked(site):
    url, pages = site
    pages["/rows"] = (200, f"{ROW}\n{ROW}\n".encode())
    assert fetch(f"{url}/rows") == f"{ROW}\n{ROW}\n"


def test_broken_row_of_an_address_is_named_by_its_line(site):
    url, pages = site
    pages["/rows"] = (200, f"{ROW}\n1\n".encode())
    with pytest.raises(rows.BrokenRows, match=f"{url}/rows: 1 of 2 rows are broken\nline 2"):
        fetch(f"{url}/rows")


@pytest.fixture
def connect(monkeypatch):
    """Makes the connection that holds the token."""

    def made(host, conn_type="http"):
        described = {"conn_type": conn_type, "host": host, "password": TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_DATA", json.dumps(described))

    return made


def test_connection_logs_in(site, connect):
    url, pages = site
    pages["/guarded"] = (200, ROW.encode())
    connect(url)
    assert fetch(f"{url}/guarded", dataset_conn_id="data") == ROW
    with pytest.raises(InvalidPlan, match="answers 401"):
        fetch(f"{url}/guarded")


@pytest.mark.parametrize(
    ("host", "conn_type", "words"),
    [
        ("http://127.0.0.1:9", "http", "leads to http://127.0.0.1:9, not to"),
        ("https://127.0.0.1:{port}", "http", "leads to https://127.0.0.1"),
        ("http://localhost:{port}", "http", "leads to http://localhost"),
        ("http://127.0.0.1:{port}", "fairlead_prometheus", "must be of type http"),
    ],
    ids=["port", "scheme", "host", "type"],
)
def test_login_goes_nowhere_but_where_its_connection_leads(site, connect, host, conn_type, words):
    url, pages = site
    pages["/guarded"] = (200, ROW.encode())
    connect(host.format(port=url.rpartition(":")[2]), conn_type)
    with pytest.raises(InvalidPlan, match=f"dataset_conn_id: .*{words}"):
        fetch(f"{url}/guarded", dataset_conn_id="data")


def test_login_goes_along_to_the_same_server_only(site, connect):
    url, pages = site
    pages["/guarded"] = (200, ROW.encode())
    connect(url)
    pages["/moved"] = (302, b"/guarded")
    assert fetch(f"{url}/moved", dataset_conn_id="data") == ROW
    pages["/moved"] = (302, url.replace("127.0.0.1", "localhost").encode() + b"/guarded")
    with pytest.raises(InvalidPlan, match="answers 401"):
        fetch(f"{url}/moved", dataset_conn_id="data")


def test_port_that_goes_without_saying_is_the_same(connect):
    connect("https://127.0.0.1:443")
    with pytest.raises(fetching.Away):  # whatever answers there has no certificate of this name
        fetch("https://127.0.0.1/rows", dataset_conn_id="data")


def test_address_without_a_sensible_port_is_for_good(connect):
    connect("http://127.0.0.1:9")
    with pytest.raises(InvalidPlan, match="dataset: http://127.0.0.1:x/rows is no address"):
        fetch("http://127.0.0.1:x/rows", dataset_conn_id="data")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, InvalidPlan), (403, InvalidPlan), (503, fetching.Away), (429, fetching.Away)],
)
def test_refusal_is_for_good_and_an_error_of_the_server_is_not(site, status, kind):
    url, pages = site
    pages["/rows"] = (status, b"")
    with pytest.raises(kind, match=f"{url}/rows answers {status}"):
        fetch(f"{url}/rows")


def test_server_that_is_away_may_come_back():
    with pytest.raises(fetching.Away, match=r"127\.0\.0\.1:9/rows doesn't answer"):
        fetch("http://127.0.0.1:9/rows")


@pytest.mark.parametrize("letter", ["x", "ü", "😀"], ids=["ascii", "two bytes", "four bytes"])
def test_no_more_is_read_than_a_run_can_bring(site, letter):
    url, pages = site
    pages["/rows"] = (200, (letter * (6 * rows.MAX_CHARS)).encode())
    with pytest.raises(rows.BrokenRows, match="put larger data on a claim"):
        fetch(f"{url}/rows")


@pytest.fixture
def store(monkeypatch):
    """Makes an object of the one object store that Airflow has a provider for, s3."""
    files = MemoryFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(fs, "_register_filesystems", lambda: {"s3": lambda conn_id: files})
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})
    files.store.clear()
    return lambda path, data: files.pipe(path, data)


def test_what_is_no_text_is_named_by_its_line(store):
    store("bucket/rows.jsonl", ROW.encode() + b"\n\xff\n")
    with pytest.raises(rows.BrokenRows, match="line 2: no UTF-8"):
        fetch("s3://bucket/rows.jsonl")


def test_rows_of_an_object_store_are_read(store):
    store("bucket/rows.jsonl", ROW.encode())
    assert fetch("s3://bucket/rows.jsonl") == ROW


@pytest.mark.parametrize(
    "source", ["s3://bucket/absent", "gs://bucket/rows.jsonl"], ids=["absent", "no provider"]
)
def test_address_that_nobody_can_open_is_for_good(store, source):
    with pytest.raises(InvalidPlan, match=f"dataset: {source} can't be opened"):
        fetch(source)


@pytest.mark.parametrize(
    "source",
    [
        "{file}", "file://{file}", "local://{file}", "FILE://{file}", "file:{file}", "../{file}",
        "s3://bucket/x::file://{file}", "simplecache::file://{file}", "S3://bucket/rows.jsonl",
        "s3:/bucket/rows.jsonl", " https://127.0.0.1/rows.jsonl",
    ],
    ids=[
        "path", "file", "local", "upper case", "no slashes", "relative", "chained", "cache",
        "another case", "one slash", "blank",
    ],
)  # fmt: skip
def test_file_of_the_worker_is_never_opened(tmp_path, source):
    file = tmp_path / "rows.jsonl"
    file.write_text(ROW)
    with pytest.raises(InvalidPlan, match="dataset: .* must be one address that begins with"):
        fetch(source.format(file=file))
