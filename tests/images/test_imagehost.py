"""Builds reach what the host reaches, and images remember none of it."""

import stat

import pytest

from fairlead_cluster import errors, imagebase, imageengine, imagehost

INDEX = "https://user:secret@index.example.org/simple"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "UV_CACHE_DIR": "/c"}, {}),
        (
            {"HTTPS_PROXY": "http://p:1", "no_proxy": "a,b"},
            {"HTTPS_PROXY": "http://p:1", "no_proxy": "a,b"},
        ),
        ({"PIP_INDEX_URL": INDEX}, {"PIP_INDEX_URL": INDEX, "UV_DEFAULT_INDEX": INDEX}),
        (
            {"PIP_INDEX_URL": INDEX, "UV_INDEX_URL": "https://uv.example.org"},
            {"PIP_INDEX_URL": INDEX, "UV_INDEX_URL": "https://uv.example.org"},
        ),
    ],
    ids=["nothing of it", "proxies", "pip's index is uv's too", "uv has its own"],
)
def test_variables_that_reach_a_build(tmp_path, env, expected):
    assert imagehost.passed({"PIP_CONFIG_FILE": str(tmp_path / "none"), **env}) == expected


def test_index_of_pip_conf_reaches_a_build(tmp_path):
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {INDEX}\n")
    passed = imagehost.passed({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    assert passed == {"PIP_INDEX_URL": INDEX, "UV_DEFAULT_INDEX": INDEX}


def test_secrets_can_be_sourced_and_are_private(tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.write_text("certificate")
    env = {"NO_PROXY": "a b'c", "SSL_CERT_FILE": str(bundle), "PIP_CONFIG_FILE": "/none"}
    found = imagehost.secrets(tmp_path, env)
    assert found["fairlead-ca"] == bundle
    assert found["fairlead-env"].read_text() == """NO_PROXY='a b'"'"'c'\n"""
    assert stat.S_IMODE(found["fairlead-env"].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "http://deb.debian.org/debian"),
        ({"sources.list": "deb http://m.example.org/debian bookworm main\n"}, "m.example.org"),
        ({"sources.list": "deb [arch=amd64] http://m.example.org/debian/ x\n"}, "m.example.org"),
        (
            {
                "sources.list.d/a.list": "deb https://packages.example.org/apt stable main\n",
                "sources.list.d/debian.sources": "Types: deb\nURIs: http://m.example.org/debian\n",
            },
            "m.example.org",
        ),
        (
            {"sources.list.d/s.sources": "URIs: http://m.example.org/debian-security\n"},
            "deb.debian.org",
        ),
        ({"sources.list": "deb http://archive.ubuntu.com/ubuntu noble main\n"}, "deb.debian.org"),
    ],
    ids=["no apt", "one line", "with options", "deb822 beside others", "security alone", "ubuntu"],
)
def test_debian_is_fetched_where_the_host_fetches_it(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    mirror = imagehost.debian_mirror(tmp_path)
    assert mirror in (expected, f"http://{expected}/debian")


def test_base_image_has_the_release_its_updates_and_its_security_fixes():
    assert imagebase.sources("http://m.example.org/debian").splitlines() == [
        "deb http://m.example.org/debian bookworm main",
        "deb http://m.example.org/debian bookworm-updates main",
        "deb http://m.example.org/debian-security bookworm-security main",
    ]


def test_base_image_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(imageengine.Engine, "has", lambda *_: True)
    monkeypatch.setattr(imagebase, "_make", lambda *_: pytest.fail("made again"))
    imagebase.ensure(imageengine.Engine("buildah"), "localhost/x:1", tmp_path / "log")


def test_base_image_without_root_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(imageengine.Engine, "has", lambda *_: False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(errors.HostUnfit, match="--base-image python:3.11-slim-bookworm"):
        imagebase.ensure(imageengine.Engine("buildah"), "localhost/x:1", tmp_path / "log")


def test_folder_is_emptied_and_kept(tmp_path):
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/file").write_text("x")
    (tmp_path / "folder/link").symlink_to(tmp_path)
    imagebase.empty(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    imagebase.empty(tmp_path / "none")
    assert not (tmp_path / "none").exists()
