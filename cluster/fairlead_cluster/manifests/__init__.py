"""Manifests of the package, filled in from a mapping; nothing here applies them.

Placeholders are written `${name}`, as in `string.Template`; an unknown one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

import yaml


def text(name: str, values: Mapping[str, object]) -> str:
    """Fill in a manifest."""
    template = resources.files(__name__).joinpath(name).read_text()
    return Template(template).substitute(values)


def objects(name: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    """Fill in a manifest and return its objects."""
    return [document for document in yaml.safe_load_all(text(name, values)) if document]
