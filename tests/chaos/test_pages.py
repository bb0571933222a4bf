"""The page on testing says what the result files say."""

import pytest

from fairlead_chaos import pages, plans, rights, soak
from fairlead_chaos.rights import Comparison

HEAD = {"commit": "c" * 40, "seed": 7, "date": "2026-01-01"}
FAULTS = {
    **HEAD,
    "planned": 1237,
    "possible": 13344,
    "happened": 1234,
    "scenarios": 56,
    "missed": 3,
    "unreached": 62,
    "starved": 4,
    "with_findings": 2,
    "masks": {"complete": {"Pod .metadata .resourceVersion": 7, "Job .status": 1}, "served": {}},
}


def audited(runs, used, excused=("get a.b",)):
    granted = ["get a.b", "get c", "get d"]
    parts = {"granted": granted, "used": used, "missing": [], "needless": [], "unread": []}
    return {"runs": runs, "excused": dict.fromkeys(excused, "why"), **parts}


RESULTS = {
    **dict.fromkeys(plans.CAMPAIGNS, FAULTS),
    "transitions": {
        **HEAD,
        "seconds": 90,
        "possible": 1448,
        "gone": 852,
        "from_scratch": 160,
        "by_kind": {"in a hurry": 336},
        "back_from": {"model=lost": 40, "resources=no-room": 2},
        "findings": {"a": ["b"]},
    },
    "model": {**HEAD, "states": 1_000_001, "transitions": 2_000_002, "violations": 4},
    "admission": {
        **HEAD,
        "python": "3.11.7",
        "refused_by_hand": {"creation": {"FineTuneJob": 429}, "change": 62},
        "taken_by_hand": 1353,
    },
}
RESULTS["crash"] = FAULTS | {"rights": audited(1099, ["get c"])}
RESULTS["transitions"] |= {"rights": audited(1, [])}
SAID = [
    pytest.param(
        "crash",
        ["| 1234 of 13,344 | 56 | 2 | 3 | 62 (5.0%) | 4 (0.3%) | 8 | `ccccccccc`, 7 |"],
        id="faults",
    ),
    pytest.param(
        "transitions",
        [
            "852 of 1448 ways",
            "336 in a hurry",
            "42 lead back from 2 error states: 1\nwith differences",
        ],
        id="ways",
    ),
    pytest.param("model", ["1,000,001 states", "4 violations"], id="model"),
    pytest.param(
        "admission",
        [
            "refused by hand creation FineTuneJob: 429",
            "refused by hand change: 62",
            "taken by hand: 1,353",
        ],
        id="admission",
    ),
    pytest.param(
        "rights",
        [
            "1,100 runs (crash, transitions)",
            "0 calls without a right",
            "of 3 rights 1 that\nnone used",
            "- get a.b: why",
        ],
        id="rights",
    ),
]


@pytest.mark.parametrize(("name", "said"), SAID)
def test_page_has_the_counts_of_each_result_that_is_there(name, said):
    with_it, without = pages.page(RESULTS), pages.page({})
    for words in said:
        assert words in with_it
        assert words not in without


def test_every_campaign_of_faults_has_a_row():
    assert pages.page(RESULTS).count("| 1234 of ") == len(plans.CAMPAIGNS)


def test_a_partial_soak_s_rights_are_said_to_be_its_own():
    said = pages.page({"stale": FAULTS | {"rights": audited(5, ["get c", "get d"])}})
    assert "Of the operators of 5 runs (stale)" in said
    assert "of 3 rights 0 that\nnone used" in said


def test_the_page_is_written_from_the_result_files_that_stand():
    found = pages.read(pages.FOLDER)
    assert pages.PAGE.exists() == bool(found)
    if found:
        assert pages.PAGE.read_text() == pages.page(found)


def test_results_that_stand_are_without_findings():
    """Of the rights a whole set of campaigns uses each: then none is granted in vain."""
    found = pages.read(pages.FOLDER)
    campaigns = {name: found[name] for name in soak.CAMPAIGNS if name in found}
    assert [name for name, result in campaigns.items() if result["findings"]] == []
    total = rights.together([Comparison.of(result["rights"]) for result in campaigns.values()])
    assert sorted(total.missing) == []
    if len(campaigns) == len(soak.CAMPAIGNS):
        assert sorted(total.unused) == []
