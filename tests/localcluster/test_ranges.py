"""Address ranges: disjoint between slots, refused when the host uses them."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest

from fairlead_cluster import errors, ranges

SLOTS = range(ranges.NUM_SLOTS)


@pytest.mark.parametrize(("left", "right"), list(combinations(SLOTS, 2)))
def test_no_two_slots_share_an_address(left, right):
    networks = ranges.Ranges(right).networks()
    for network in ranges.Ranges(left).networks():
        assert not any(network.overlaps(other) for other in networks)


@pytest.mark.parametrize("slot", SLOTS)
def test_the_ranges_of_a_slot_are_private_and_fit_their_purpose(slot):
    chosen = ranges.Ranges(slot)
    pods, services, machine = chosen.networks()
    assert pods.num_addresses // 256 == 1024, "a /24 for each of 1,024 nodes"
    assert not any(network.is_global for network in chosen.networks())
    assert chosen.api_service in services
    assert chosen.dns in services
    assert {chosen.node, chosen.host_end, chosen.node_end} <= set(machine)
    assert ranges.REGISTRY_ADDRESS not in machine
    wire = IPv4Network(f"{chosen.host_end}/30", strict=False)
    assert chosen.node_end in wire
    assert chosen.node not in wire


def test_half_of_the_slots_avoid_a_host_whose_own_network_is_ten():
    taken = {IPv4Network("10.0.0.0/8"): "route on eth0"}
    free = [slot for slot in SLOTS if ranges.conflict(ranges.Ranges(slot), taken) is None]
    assert free == list(range(8, 16))


@pytest.mark.parametrize(
    ("taken", "used", "wanted", "slot"),
    [
        pytest.param({}, [], None, 0, id="first-of-an-empty-machine"),
        pytest.param({}, [0, 1], None, 2, id="skips-other-clusters"),
        pytest.param({"10.65.0.0/16": "docker0"}, [], None, 1, id="skips-part-of-the-pods"),
        pytest.param({"10.68.9.9/32": "vpn"}, [], None, 1, id="skips-one-service-address"),
        pytest.param({"198.18.0.0/24": "lab"}, [0], None, 1, id="skips-the-wire"),
        pytest.param({"192.168.0.0/16": "home"}, [], None, 0, id="ignores-what-is-elsewhere"),
        pytest.param({"10.64.0.0/14": "x"}, [], 3, 3, id="takes-the-wanted-slot"),
    ],
)
def test_allocation(taken, used, wanted, slot):
    networks = {IPv4Network(network): owner for network, owner in taken.items()}
    assert ranges.allocate(networks, used, wanted).slot == slot


@pytest.mark.parametrize(
    ("taken", "used", "wanted", "words"),
    [
        pytest.param(
            {"10.0.0.0/8": "route on vpn0", "100.64.0.0/10": "route on wg0"},
            [],
            None,
            "route on",
            id="all-taken-names-who",
        ),
        pytest.param({"10.72.0.0/14": "route on br-5"}, [], 1, "br-5", id="wanted-is-taken"),
        pytest.param({}, SLOTS, None, "every slot belongs to another cluster", id="all-used"),
        pytest.param({}, [], 16, "no slot 16", id="no-such-slot"),
    ],
)
def test_a_range_that_is_taken_is_one_line_with_the_way_out(taken, used, wanted, words):
    networks = {IPv4Network(network): owner for network, owner in taken.items()}
    with pytest.raises(errors.RangeTaken, match=words) as refused:
        ranges.allocate(networks, used, wanted)
    assert "\n" not in str(refused.value)
    assert refused.value.way_out
