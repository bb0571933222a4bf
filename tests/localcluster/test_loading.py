"""What `load` calls an image, and what it refuses before anything is pushed."""

import pytest

from fairlead_cluster import errors, imageengine, loading, settings


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        pytest.param("mine:1", "mine:1", id="bare"),
        pytest.param("mine", "mine:latest", id="no-tag"),
        pytest.param("team/mine:1", "team/mine:1", id="path"),
        pytest.param("localhost/team/mine:1", "team/mine:1", id="localhost"),
        pytest.param("registry.example/team/mine:1", "team/mine:1", id="registry"),
        pytest.param("registry:5000/mine", "mine:latest", id="port-is-no-tag"),
        pytest.param("mine:1@sha256:ab", "mine:1", id="tag-and-digest"),
        pytest.param("registry.example/mine@sha256:ab", "mine:latest", id="digest"),
    ],
)
def test_repository_and_tag_in_the_machines_registry(reference, repository):
    assert loading.repository(reference) == repository


def test_an_archive_without_a_name_is_refused(tmp_path):
    archive = tmp_path / "image.tar"
    archive.write_text("")
    with pytest.raises(errors.ImageMissing, match="no name of its own.*--as NAME:TAG"):
        loading.load(settings.load({}), str(archive))


def test_an_image_that_the_engine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(imageengine, "find", lambda: imageengine.Engine("buildah"))
    monkeypatch.setattr(imageengine.Engine, "has", lambda *_: False)
    with pytest.raises(errors.ImageMissing, match=r"buildah has no image mine:1.*archive"):
        loading.load(settings.load({}), "mine:1")
