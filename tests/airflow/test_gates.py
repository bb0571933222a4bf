"""Gates are checked before compute is spent, judged with words, and lead to a branch."""

import math
import re

import pytest

from fairlead_airflow import gates
from fairlead_airflow.gates import Branch, Gate, InvalidGate, MissingScore
from fairlead_airflow.scores import Metric


def gate(metric="exact_match", operator=">=", threshold=0.9, **more):
    return {"metric": metric, "operator": operator, "threshold": threshold} | more


EXACT = Gate(Metric.EXACT_MATCH, ">=", 0.9)
FLUENT = Gate(Metric.PERPLEXITY, "<", 2.0)
FAIR = Gate(Metric.EXACT_MATCH, ">=", 0.5)


def test_gates_are_read():
    given = [gate(), gate("perplexity", "<", 2)]
    assert gates.parse(given) == (EXACT, FLUENT)
    assert gates.parse([]) == ()
    assert gates.parse([EXACT]) == (EXACT,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("exact_match", "gates: must be a list"),
        (gate(), "gates: must be a list"),
        (None, "gates: must be a list"),
        (["exact_match >= 0.9"], r"gates\[0\]: must be an object"),
        ([gate(), gate("accuracy")], r"gates\[1\].metric: 'accuracy' is none of exact_match, bleu"),
        ([gate(["exact_match"])], r"gates\[0\].metric"),
        ([gate(operator="=>")], r"gates\[0\].operator: '=>' is none of >= > <= <"),
        ([gate(operator=None)], r"gates\[0\].operator: is missing"),
        ([{"metric": "bleu", "operator": ">"}], r"gates\[0\].threshold: is missing"),
        ([gate(treshold=1)], r"gates\[0\].treshold: no such field"),
        ([gate(threshold="0.9")], r"gates\[0\].threshold: '0.9' is not a number"),
        ([gate(threshold=True)], r"gates\[0\].threshold: True is not a number"),
        ([gate(threshold=math.nan)], r"gates\[0\].threshold: nan is not a number"),
        ([gate(threshold=math.inf)], r"gates\[0\].threshold: inf is not a number"),
        ([gate(threshold=90)], r"threshold: 90, but exact_match is 0 to 1"),
        ([gate("bleu", threshold=101)], r"threshold: 101, but bleu is 0 to 100"),
        ([gate("perplexity", "<", 0.5)], r"threshold: 0.5, but perplexity is 1 and more"),
    ],
    ids=[
        "text", "one gate", "nothing", "gate as text", "unknown metric", "metric is a list",
        "unknown operator", "no operator", "no threshold", "misspelt field", "text as number",
        "truth as number", "nan", "infinity", "percent", "bleu beyond", "perplexity below",
    ],
)  # fmt: skip
def test_gate_that_can_not_be_judged_names_its_field(given, words):
    with pytest.raises(InvalidGate, match=words):
        gates.parse(given)


def test_field_is_called_as_the_caller_does():
    with pytest.raises(InvalidGate, match=r"^production_gates\[0\]\.metric"):
        gates.parse([gate("rouge")], "production_gates")


def test_gate_on_a_score_that_will_not_be_there_is_named_before_anything_runs():
    wanted = gates.parse([gate(), gate("judge")])
    gates.check_available(wanted, ["exact_match", "judge"])
    with pytest.raises(
        InvalidGate, match=r"staging\[1\]\.metric: judge will not be measured, only"
    ):
        gates.check_available(wanted, ["exact_match", "perplexity"], "staging")
    with pytest.raises(InvalidGate, match="only nothing"):
        gates.check_available(wanted, [])


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (">=", False, True, True),
        (">", False, False, True),
        ("<=", True, True, False),
        ("<", True, False, False),
    ],
)
def test_operator_compares(operator, below, at, above):
    bound = Gate(Metric.BLEU, operator, 50)
    assert [bound.passes(value) for value in (49.9, 50, 50.1)] == [below, at, above]


@pytest.mark.parametrize("operator", gates.COMPARISONS)
def test_what_is_no_number_passes_no_gate(operator):
    assert not Gate(Metric.PERPLEXITY, operator, 50).passes(math.nan)


def test_verdict_and_its_table_for_the_log():
    found = gates.verdict({"exact_match": 0.93, "perplexity": 2.5, "bleu": 7}, [EXACT, FLUENT])
    assert found == [(EXACT, 0.93, True), (FLUENT, 2.5, False)]
    assert gates.table(found).split("\n") == [
        "passed  exact_match >= 0.9  is 0.93",
        "FAILED  perplexity < 2      is 2.5",
    ]
    assert gates.table([]) == ""


@pytest.mark.parametrize("scores", [{"bleu": 1}, {"bleu": 1, "exact_match": None}, {}])
def test_missing_score_is_named_and_never_passes(scores):
    with pytest.raises(MissingScore, match=r"exact_match >= 0\.9: there is no such score"):
        gates.verdict(scores, [EXACT])


@pytest.mark.parametrize(
    ("exact_match", "production", "staging", "retrains_left", "branch", "why"),
    [
        (0.95, [EXACT], [FAIR], 1, Branch.PROMOTE, r"fit for production: exact_match >= 0\.9 \(it"),
        (0.6, [EXACT], [FAIR], 1, Branch.STAGE, r"not fit for production: .*0\.6\); fit for stag"),
        (0.3, [EXACT], [FAIR], 2, Branch.RETRAIN, r"not fit for staging: .*again \(2 left\)"),
        (0.3, [EXACT], [FAIR], 0, Branch.NOTIFY, r"it may not be trained again"),
        (0.95, [EXACT, FLUENT], [FAIR], 0, Branch.STAGE, r"duction: perplexity < 2 \(it is 3\);"),
        (0.95, [], [FAIR], 0, Branch.STAGE, "there is no gate for production; fit for staging"),
        (0.3, [EXACT], [], 1, Branch.RETRAIN, "there is no gate for staging; it may be trained"),
        (0.95, [], [], 0, Branch.NOTIFY, "no gate for production; there is no gate for staging"),
    ],
    ids=[
        "fit for production", "fit for staging", "train again", "no training left",
        "one gate of two", "no production gates", "no staging gates", "no gates",
    ],
)  # fmt: skip
def test_decision(exact_match, production, staging, retrains_left, branch, why):
    scores = {"exact_match": exact_match, "perplexity": 3.0}
    decision = gates.decide(scores, production, staging, retrains_left)
    assert decision.branch is branch
    assert re.search(why, decision.why), decision.why


def test_decision_without_a_score_is_no_decision():
    with pytest.raises(MissingScore):
        gates.decide({"bleu": 3}, [EXACT], [], 1)
