"""What lies in the registry: shared layers, the right user, small code, no trace of the host."""

import json
import urllib.request

import pytest

from fairlead_cluster import images, imagetable, programs, registry, release, settings

pytestmark = pytest.mark.e2e

ACCEPT = "application/vnd.oci.image.manifest.v1+json"
TORCH_BYTES = 1_000_000_000
CODE_BYTES = 1_000_000


class Pushed:
    """The images of this tree in the machine's registry, read as a node reads them."""

    def __init__(self) -> None:
        loaded = settings.load()
        self.cache = programs.open_cache(loaded.cache_dir)
        self.registry = registry.ensure(loaded.state_dir, self.cache)
        self.workshop = images.open_workshop(loaded.cache_dir, images.Options())
        self.references = self.workshop.push(imagetable.PUBLISHED, self.registry)

    def get(self, name: str, what: str) -> dict:
        repository = imagetable.IMAGES[name].repository
        address = f"http://{self.registry.url_for_host}/v2/{repository}/{what}"
        request = urllib.request.Request(address, headers={"Accept": ACCEPT})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.load(answer)

    def layers(self, name: str) -> list[tuple[str, int]]:
        manifest = self.get(name, f"manifests/{self.workshop.key(name)}")
        return [(layer["digest"], layer["size"]) for layer in manifest["layers"]]

    def config(self, name: str) -> dict:
        manifest = self.get(name, f"manifests/{self.workshop.key(name)}")
        return self.get(name, f"blobs/{manifest['config']['digest']}")


@pytest.fixture(scope="module")
def pushed() -> Pushed:
    return Pushed()


def test_trainer_and_server_share_their_one_layer_of_torch(pushed):
    trainer, server = pushed.layers("trainer"), pushed.layers("server")
    shared = [layer for layer in trainer if layer in server]
    assert [size for _, size in shared if size > TORCH_BYTES] != []
    apart = {*trainer, *server} - {*shared}
    assert [size for _, size in apart if size > TORCH_BYTES] == []


@pytest.mark.parametrize("name", ["operator", "airflow", "trainer", "server"])
def test_own_code_is_a_small_last_layer_of(pushed, name):
    *_, (_, size) = pushed.layers(name)
    assert 0 < size < CODE_BYTES


@pytest.mark.parametrize("name", imagetable.PUBLISHED)
def test_user_is_not_root_in(pushed, name):
    assert pushed.config(name)["config"]["User"] == "65532:65532"


@pytest.mark.parametrize("name", imagetable.PUBLISHED)
def test_no_address_or_secret_of_the_host_is_recorded_in(pushed, name):
    text = json.dumps(pushed.config(name))
    for trace in ("_proxy", "_PROXY", "INDEX_URL", "DEFAULT_INDEX", "SSL_CERT"):
        assert trace not in text


def test_release_tag_names_what_was_pushed(pushed):
    pushed.workshop.tag(imagetable.PUBLISHED, pushed.registry, release.version())
    for name in imagetable.PUBLISHED:
        by_key = pushed.get(name, f"manifests/{pushed.workshop.key(name)}")
        assert pushed.get(name, f"manifests/{release.version()}") == by_key


def test_second_push_builds_and_moves_nothing(pushed, capsys):
    again = pushed.workshop.push(imagetable.PUBLISHED, pushed.registry)
    assert again == pushed.references
    assert capsys.readouterr().out == ""
