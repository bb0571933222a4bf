"""The network namespace of a cluster: one wire to the host and no way out.

Made so that no packet of the cluster can leave the machine: the namespace has routes to its own
pods and to the host's end of the wire, and no default route.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from fairlead_cluster import commands, layout, ranges

HOST_WIRE = "host0"
"""The wire's end inside the namespace."""
NODE_DEVICE = "node0"
"""A bridge that carries the node's address: the kubelet refuses one on the loopback device."""
POD_DEVICE = "pods0"
"""The bridge that the CNI plugin makes for the pods."""
_SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
_WAY_OUT = "run `fairlead-cluster down`, then `up` again"


def taken(ours: layout.Layout) -> dict[IPv4Network, str]:
    """Networks that the host uses already, without those of this very cluster."""
    routes = json.loads(_ip("-json", "-4", "route", "show", "table", "all"))
    found = {}
    for route in routes:
        destination, device = route.get("dst", "default"), route.get("dev", "")
        if destination == "default" or device == ours.host_device:
            continue
        network = IPv4Network(destination, strict=False)
        if network.is_loopback or network.is_multicast or network.is_link_local:
            continue
        found[network] = f"route on {device}" if device else "route"
    return found


def ensure(where: layout.Layout, addresses: ranges.Ranges) -> None:
    """Make the namespace, the wire and the routes, whatever part of them is there already."""
    if not _is_namespace(where.namespace_file):
        # An interrupted `ip netns add` leaves a plain file behind.
        where.namespace_file.unlink(missing_ok=True)
        _ip("netns", "add", where.kernel_name)
    if not _device_exists(where.host_device):
        _ip(
            *("link", "add", where.host_device, "type", "veth"),
            *("peer", "name", HOST_WIRE, "netns", where.kernel_name),
        )
    _ip("address", "replace", f"{addresses.host_end}/30", "dev", where.host_device)
    _ip("link", "set", where.host_device, "up")
    _ensure_inside(where, addresses)
    for network in (f"{addresses.node}/32", addresses.pods, addresses.services):
        _ip(
            *("route", "replace", str(network), "via", str(addresses.node_end)),
            *("dev", where.host_device),
        )


def _ensure_inside(where: layout.Layout, addresses: ranges.Ranges) -> None:
    inside = ("-n", where.kernel_name)
    if not _device_exists(NODE_DEVICE, inside):
        _ip(*inside, "link", "add", NODE_DEVICE, "type", "bridge")
    for device in ("lo", NODE_DEVICE, HOST_WIRE):
        _ip(*inside, "link", "set", device, "up")
    _ip(*inside, "address", "replace", f"{addresses.node}/32", "dev", NODE_DEVICE)
    _ip(*inside, "address", "replace", f"{addresses.node_end}/30", "dev", HOST_WIRE)
    _ip(
        *inside,
        *("route", "replace", f"{ranges.REGISTRY_ADDRESS}/32"),
        *("via", str(addresses.host_end), "dev", HOST_WIRE),
    )
    commands.run(
        ["nsenter", f"--net={where.namespace_file}", "--", "sysctl", "-qw", *_SYSCTLS],
        what="set up forwarding in the namespace",
        way_out=_WAY_OUT,
    )


def remove(where: layout.Layout) -> None:
    """Remove the wire and the namespace; routes, addresses and rules go with them."""
    if _device_exists(where.host_device):
        _ip("link", "delete", where.host_device)
    if _is_namespace(where.namespace_file):
        _ip("netns", "delete", where.kernel_name)
    where.namespace_file.unlink(missing_ok=True)


def add_registry_address() -> None:
    """Give the host the address that every cluster pulls its images from."""
    _ip("address", "replace", f"{ranges.REGISTRY_ADDRESS}/32", "dev", "lo")


def remove_registry_address() -> None:
    """Take the registry's address away again."""
    addresses = _ip("-4", "-oneline", "address", "show", "dev", "lo")
    if f" {ranges.REGISTRY_ADDRESS}/32 " in addresses:
        _ip("address", "delete", f"{ranges.REGISTRY_ADDRESS}/32", "dev", "lo")


def _is_namespace(file: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(file) for line in mounts)


def _device_exists(device: str, inside: Sequence[str] = ()) -> bool:
    links = json.loads(_ip(*inside, "-json", "link", "show"))
    return any(link.get("ifname") == device for link in links)


def _ip(*arguments: str) -> str:
    return commands.run(
        ["ip", *arguments], what=f"run `ip {' '.join(arguments)}`", way_out=_WAY_OUT
    )
