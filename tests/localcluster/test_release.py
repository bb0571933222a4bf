"""The chart gets exactly the images that were pushed."""

import pytest

from fairlead_cluster import release


def references(registry: str, **other: str) -> dict[str, str]:
    return {name: f"{registry}/fairlead-{name}:k1" for name in release.RELEASED} | other


@pytest.mark.parametrize(
    "registry",
    [
        pytest.param("registry.fairlead.internal", id="host"),
        pytest.param("127.0.0.1:5000", id="host and port"),
        pytest.param("example.org:5000/team/a", id="host, port and path"),
    ],
)
def test_image_values_split_registry_repository_and_tag(registry):
    values = release.image_values(references(registry))
    assert values[0] == f"image.registry={registry}"
    assert "images.server.repository=fairlead-server" in values
    assert "images.server.tag=k1" in values
    assert len(values) == 1 + 2 * len(release.RELEASED)


def test_images_of_two_registries_make_no_release():
    mixed = references("one.example", server="two.example/fairlead-server:k1")
    with pytest.raises(ValueError, match="one registry"):
        release.image_values(mixed)
