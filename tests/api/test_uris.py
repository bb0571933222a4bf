"""A uri names a place inside its claim, or it is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_api import uris
from fairlead_api.uris import ClaimUri, UriError


@pytest.mark.parametrize(
    ("text", "claim", "path"),
    [
        ("pvc://store/base", "store", "base"),
        ("pvc://a/b/c.jsonl", "a", "b/c.jsonl"),
        ("pvc://my-claim-2/A_b-c/v1.0", "my-claim-2", "A_b-c/v1.0"),
        ("pvc://" + "c" * 63 + "/x", "c" * 63, "x"),
        ("pvc://s/-dash/_under", "s", "-dash/_under"),
    ],
)
def test_uri_is_read_and_written_alike(text, claim, path):
    uri = uris.parse(text)
    assert (uri.claim, uri.path, str(uri)) == (claim, path, text)
    assert str(uri.mount_path) == f"/mnt/claims/{claim}/{path}"


@pytest.mark.parametrize(
    "text",
    [
        "", "store/base", "pvc://", "pvc://store", "pvc://store/", "pvc:///base", "pvc://store//a",
        "pvc://store/a/", "pvc://store/..", "pvc://store/../a", "pvc://store/a/../b",
        "pvc://store/.hidden", "pvc://store/a/.", "pvc://Store/a", "pvc://-store/a",
        "pvc://store-/a", "pvc://store/a b", "pvc://store/a%2e", "pvc://store/a\n", "pvc://st.ore/a",
        "pvc://store/a?b", "pvc://store/a#b", "pvc://user@store/a", "PVC://store/a", "s3://b/k",
        "pvc://store/ä", "pvc://" + "c" * 64 + "/x", "pvc://store/" + "a" * 129,
        "pvc://store" + "/a" * 300, " pvc://store/a", "pvc://store/a\x00",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_uri_named(text):
    with pytest.raises(UriError, match=re.escape(repr(text))):
        uris.parse(text)


@given(st.text(max_size=60).map(lambda tail: f"pvc://store/{tail}") | st.text(max_size=60))
def test_whatever_is_accepted_stays_in_its_claim(text):
    try:
        uri = uris.parse(text)
    except UriError:
        return
    parts = uri.mount_path.parts
    assert parts[:4] == ("/", "mnt", "claims", uri.claim)
    assert not any(part.startswith(".") for part in parts[4:])
    assert str(uri) == text


def test_schema_accepts_what_parse_accepts():
    assert re.fullmatch(uris.URI_PATTERN, "pvc://store/base/v1")
    assert not re.fullmatch(uris.URI_PATTERN, "pvc://store/../x")


@pytest.mark.parametrize(("component", "path"), [("a", "base/a"), ("a/b.json", "base/a/b.json")])
def test_component_is_added_below(component, path):
    assert uris.parse("pvc://store/base") / component == ClaimUri("store", path)


@pytest.mark.parametrize("component", ["..", "../x", "", "/x", ".git", "a//b"])
def test_component_cannot_climb_out(component):
    with pytest.raises(UriError):
        _ = uris.parse("pvc://store/base") / component


def test_folders_of_two_jobs_of_one_name_differ():
    assert uris.job_folder("s", "job", "uid-1") != uris.job_folder("s", "job", "uid-2")
