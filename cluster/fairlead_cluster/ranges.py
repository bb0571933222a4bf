"""Address ranges of a cluster: pure arithmetic over slots, nothing here asks the machine.

Every cluster takes a slot, and every range derives from it, so that two clusters never meet.
A slot holds 1,024 node ranges of 254 pods, enough for the simulated nodes of scale tests. Half of
the slots lie outside of 10.0.0.0/8, for machines whose own network is all of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fairlead_cluster import errors

NUM_SLOTS = 16
REGISTRY_ADDRESS = IPv4Address("198.18.255.1")
"""Loopback address of the host that every cluster reaches its images at."""


@dataclass(frozen=True)
class Ranges:
    """All addresses of the cluster in one slot."""

    slot: int

    @property
    def _prefix(self) -> int:
        return 10 if self.slot < NUM_SLOTS // 2 else 100

    @property
    def _block(self) -> int:
        return 64 + 8 * (self.slot % (NUM_SLOTS // 2))

    @property
    def pods(self) -> IPv4Network:
        """Pod addresses; every node takes a /24 of them."""
        return IPv4Network(f"{self._prefix}.{self._block}.0.0/14")

    @property
    def services(self) -> IPv4Network:
        """Cluster IPs."""
        return IPv4Network(f"{self._prefix}.{self._block + 4}.0.0/16")

    @property
    def api_service(self) -> IPv4Address:
        """Cluster IP of the kubernetes Service."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """Cluster IP of CoreDNS."""
        return self.services[10]

    @property
    def machine(self) -> IPv4Network:
        """Addresses of the node and of the wire between node and host."""
        # 198.18.0.0/15 is set aside for tests of networks: no machine has it as its own.
        return IPv4Network(f"198.18.{self.slot}.0/24")

    @property
    def node(self) -> IPv4Address:
        """Address of the node and of the API server."""
        return self.machine[1]

    @property
    def host_end(self) -> IPv4Address:
        """The host's end of the wire."""
        return self.machine[253]

    @property
    def node_end(self) -> IPv4Address:
        """The node's end of the wire."""
        return self.machine[254]

    def networks(self) -> tuple[IPv4Network, IPv4Network, IPv4Network]:
        """Everything that must be free on the host."""
        return (self.pods, self.services, self.machine)


def conflict(ranges: Ranges, taken: Mapping[IPv4Network, str]) -> str | None:
    """Say who uses a range of the slot, or None when all of it is free."""
    for network in ranges.networks():
        for other, owner in taken.items():
            if network.overlaps(other):
                return f"{network} of slot {ranges.slot} is taken: {other} ({owner})"
    return None


def allocate(
    taken: Mapping[IPv4Network, str],
    used_slots: Iterable[int],
    wanted: int | None = None,
) -> Ranges:
    """Choose the ranges of a new cluster.

    Args:
        taken: Networks in use on the host, with words on who uses them.
        used_slots: Slots of the clusters that have a state here, running or not.
        wanted: The only slot to consider; None considers all.

    Raises:
        RangeTaken: When no slot is free.
    """
    if wanted is not None and not 0 <= wanted < NUM_SLOTS:
        raise errors.RangeTaken(f"there is no slot {wanted}", f"choose 0 to {NUM_SLOTS - 1}")
    slots = range(NUM_SLOTS) if wanted is None else (wanted,)
    used = set(used_slots)
    reason = "every slot belongs to another cluster"
    for slot in slots:
        candidate = Ranges(slot)
        found = conflict(candidate, taken)
        if slot not in used and found is None:
            return candidate
        reason = found or reason
    raise errors.RangeTaken(
        f"no address range is free: {reason}",
        "free it, choose another with --slot, or take down a cluster (`ls` of the state folder)",
    )
