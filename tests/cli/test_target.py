"""KIND/NAME on the command line."""

import pytest

from fairlead_cli import errors, target


@pytest.mark.parametrize(
    ("text", "kind", "plural"),
    [
        ("finetunejob/units", "FineTuneJob", "finetunejobs"),
        ("finetunejobs/units", "FineTuneJob", "finetunejobs"),
        ("ftj/units", "FineTuneJob", "finetunejobs"),
        ("FineTuneJob/units", "FineTuneJob", "finetunejobs"),
        ("modelservice/units", "ModelService", "modelservices"),
        ("msvc/units", "ModelService", "modelservices"),
    ],
)
def test_every_name_that_kubectl_takes_is_taken(text, kind, plural):
    found = target.parse(text, "ns")
    assert (found.kind, found.plural, found.namespace, found.name) == (kind, plural, "ns", "units")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("units", "finetunejob/NAME or modelservice/NAME"),
        ("job/units", "'job/units'"),
        ("ftj/", "''"),
        ("ftj/Upper", "'Upper'"),
        ("ftj/a/b", "'a/b'"),
    ],
)
def test_anything_else_is_refused_by_name(text, named):
    with pytest.raises(errors.WrongUsage) as refused:
        target.parse(text, "ns")
    assert named in str(refused.value)
