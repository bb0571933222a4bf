"""The serve file is read from the environment, or the refusal says what is wrong with it."""

import pytest

from fairlead_api import names
from fairlead_api.servefile import ServeFile
from fairlead_api.termination import Cause
from fairlead_server import settings
from fairlead_server.refusal import StartRefused


def test_what_the_operator_writes_is_read():
    serve = ServeFile(model_uri="pvc://models/tiny", served_model_name="tiny", aliases=("svc",))
    environment = {names.ENV_SERVE_FILE: serve.model_dump_json(by_alias=True)}
    assert settings.read(environment) == serve


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "FAIRLEAD_SERVE_FILE is not set"),
        ({names.ENV_SERVE_FILE: "{"}, "document: Invalid JSON"),
        ({names.ENV_SERVE_FILE: "{}"}, "modelUri: Field required"),
        (
            {
                names.ENV_SERVE_FILE: '{"modelUri": "x", "servedModelName": "y",'
                ' "limits": {"maxTokens": 0}}'
            },
            "limits.maxTokens: Input should be greater than or equal to 1",
        ),
    ],
    ids=["absent", "no JSON", "field missing", "out of bounds"],
)
def test_a_serve_file_that_does_not_read_is_refused_with_the_place(environment, said):
    with pytest.raises(StartRefused) as caught:
        settings.read(environment)
    assert caught.value.cause is Cause.USER_ERROR
    assert said in caught.value.message
