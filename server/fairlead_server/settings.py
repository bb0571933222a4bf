"""What the operator says to this pod: the only module that reads the environment."""

import os
from collections.abc import Mapping

from pydantic import ValidationError

from fairlead_api import names
from fairlead_api.servefile import ServeFile
from fairlead_api.termination import Cause
from fairlead_server.refusal import StartRefused


def read(environment: Mapping[str, str] = os.environ) -> ServeFile:
    """Read the serve file; raises StartRefused where it is absent or broken."""
    text = environment.get(names.ENV_SERVE_FILE)
    if text is None:
        raise StartRefused(
            Cause.USER_ERROR,
            f"{names.ENV_SERVE_FILE} is not set: this image is started by Fairlead's operator, "
            "for a ModelService",
        )
    try:
        return ServeFile.model_validate_json(text)
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise StartRefused(
            Cause.USER_ERROR,
            f"{names.ENV_SERVE_FILE} is not a serve file ({places}): operator and server image "
            "must be of the same release",
        ) from error
