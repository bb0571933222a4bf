"""Where models, datasets and artifacts lie: the one spelling of a ``uri``.

Today: ``pvc://CLAIM/PATH``, a path inside a PersistentVolumeClaim of the resource's namespace
(KServe's spelling). A path component never begins with a dot, so no uri can climb out of its
claim nor name a hidden file.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from fairlead_api import names

MAX_URI_LENGTH: Final = 512
CLAIM_PATTERN: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
PATH_PATTERN: Final = r"(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})+"
URI_PATTERN: Final = rf"^pvc://{CLAIM_PATTERN}{PATH_PATTERN}$"
_URI = re.compile(rf"pvc://(?P<claim>{CLAIM_PATTERN})(?P<path>{PATH_PATTERN})")


class UriError(ValueError):
    """A uri that is not of the form ``pvc://CLAIM/PATH``."""


@dataclass(frozen=True)
class ClaimUri:
    """A file or folder inside a PersistentVolumeClaim."""

    claim: str
    path: str  # relative to the claim's root, without a leading slash

    def __str__(self) -> str:
        return f"pvc://{self.claim}/{self.path}"

    def __truediv__(self, component: str) -> "ClaimUri":
        """The uri of ``component`` below this folder; raises UriError as parse() does."""
        return parse(f"{self}/{component}")

    @property
    def mount_path(self) -> PurePosixPath:
        """Where our containers see it, given that the claim is mounted."""
        return claim_mount(self.claim) / self.path


def claim_mount(claim: str) -> PurePosixPath:
    """Where our containers mount a claim."""
    return PurePosixPath(names.CLAIMS_DIR) / claim


def parse(uri: str) -> ClaimUri:
    """Read a uri; raises UriError when it isn't ``pvc://CLAIM/PATH``."""
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_URI_LENGTH:
        raise UriError(f"{uri!r} is not of the form pvc://CLAIM/PATH")
    return ClaimUri(claim=match["claim"], path=match["path"].removeprefix("/"))


def job_folder(claim: str, job: str, uid: str) -> ClaimUri:
    """Folder of everything a FineTuneJob writes.

    The uid keeps a job that was deleted and created again under the same name apart from the
    first one's results.
    """
    return ClaimUri(claim=claim, path=f"{names.FINETUNEJOB_PLURAL}/{job}/{uid}")
