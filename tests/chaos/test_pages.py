"""The page on testing says what the result files say."""

import pytest

from fairlead_chaos import pages, plans

HEAD = {"commit": "c" * 40, "seed": 7, "date": "2026-01-01"}
FAULTS = {"happened": 1234, "scenarios": 56, "missed": 3, "with_findings": 2, **HEAD}
RESULTS = {
    **dict.fromkeys(plans.CAMPAIGNS, FAULTS),
    "transitions": {
        **HEAD,
        "seconds": 90,
        "gone": 852,
        "from_scratch": 160,
        "by_kind": {"in a hurry": 336},
        "findings": {"a": ["b"]},
    },
    "model": {**HEAD, "states": 1_000_001, "transitions": 2_000_002, "violations": 4},
    "admission": {
        **HEAD,
        "python": "3.11.7",
        "refused_by_hand": {"creation": {"FineTuneJob": 429}, "change": 62},
        "taken_by_hand": 1353,
    },
    "rights": {**HEAD, "runs": 99, "missing": [], "unused": ["x"], "excused": {"get a.b": "why"}},
}
SAID = [
    pytest.param("crash", ["| 1234 | 56 | 3 | 2 | `ccccccccc`, 7 |"], id="faults"),
    pytest.param("transitions", ["852 ways", "336 in a hurry", "1 with differences"], id="ways"),
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
    pytest.param("rights", ["0\ncalls", "1 rights that none used", "- get a.b: why"], id="rights"),
]


@pytest.mark.parametrize(("name", "said"), SAID)
def test_page_has_the_counts_of_each_result_that_is_there(name, said):
    with_it, without = pages.page(RESULTS), pages.page({})
    for words in said:
        assert words in with_it
        assert words not in without


def test_every_campaign_of_faults_has_a_row():
    assert pages.page(RESULTS).count("| 1234 |") == len(plans.CAMPAIGNS)
