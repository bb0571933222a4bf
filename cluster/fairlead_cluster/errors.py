"""The errors a user can meet, each with the way out; nothing here has behaviour.

ClusterError
├── HostUnfit           the machine can't run a cluster (not root, a package missing, disk full)
├── RangeTaken          an address range of the cluster is used by something else
├── BuildFailed         a pinned program could not be fetched or built
├── ComponentFailed     a process of the cluster died or never became ready
├── CommandFailed       a program that was called on the way said no
├── ImageMissing        an image that the cluster needs was not found or not built
├── NoCluster           the named cluster does not run here
└── Interrupted         the user broke it off where "go on" needs a word more
"""


class ClusterError(Exception):
    """What went wrong, in one line, and the way out."""

    def __init__(self, problem: str, way_out: str) -> None:
        super().__init__(f"{problem}; {way_out}")
        self.problem = problem
        self.way_out = way_out


class HostUnfit(ClusterError):
    """The machine lacks something that only its owner can give."""


class RangeTaken(ClusterError):
    """An address range of the cluster is used by something else."""


class BuildFailed(ClusterError):
    """A pinned program could not be fetched or built."""


class ComponentFailed(ClusterError):
    """A process of the cluster died or never became ready."""


class CommandFailed(ClusterError):
    """A program that was called on the way ended with an error."""


class ImageMissing(ClusterError):
    """An image that the cluster needs was not found."""


class NoCluster(ClusterError):
    """The named cluster does not run on this machine."""


class Interrupted(ClusterError):
    """The user broke off something that partly goes on by itself."""
