"""Give an image that was built on this machine to the clusters of this machine."""

from __future__ import annotations

from pathlib import Path

from fairlead_cluster import commands, errors, imageengine, programs, progress, registry
from fairlead_cluster.settings import Settings

_USUAL_SECONDS = 20.0


def load(settings: Settings, image: str, name: str | None = None) -> str:
    """Push an image to the registry of the machine's own and return its name in manifests.

    Args:
        settings: Where the registry lies.
        image: A reference in the local store of docker, podman or buildah, or an image archive.
        name: `repository:tag` to give it; by default the one it has.

    Raises:
        ImageMissing: When there is no such image.
    """
    is_archive = Path(image).is_file()
    if is_archive and name is None:
        raise errors.ImageMissing(
            f"an archive has no name of its own: {image}", "give one with --as NAME:TAG"
        )
    engine = None if is_archive else imageengine.find()
    if engine is not None and not engine.has(image):
        raise errors.ImageMissing(
            f"{engine.kind} has no image {image}",
            f"build it, see `{engine.kind} images`, or give the path of an archive",
        )
    target = name or repository(image)
    cache = programs.open_cache(settings.cache_dir)
    found = registry.ensure(settings.state_dir, cache)
    destination = f"{found.url_for_host}/{target}"
    with progress.step(f"load {image}", _USUAL_SECONDS):
        if engine is None:
            commands.run(
                [cache.path("crane"), "push", "--insecure", image, destination],
                what=f"load {image}",
                way_out="write it with `docker save` or `buildah push IMAGE docker-archive:FILE`",
            )
        else:
            engine.push(image, destination)
        found.keep()
    return f"{found.url_for_node}/{target}"


def repository(reference: str) -> str:
    """Strip the registry from a reference and give it a tag: `localhost/a/b:1` to `a/b:1`."""
    first, slash, rest = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    bare = rest if is_host else reference
    # A digest names content, and a copy of it may not have the same one.
    bare = bare.partition("@")[0]
    return bare if ":" in bare.rpartition("/")[2] else f"{bare}:latest"
