"""How work is named by the task that asks for it; pure."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from fairlead_api import names

_DIGITS: Final = 10
_WORDS: Final = names.MAX_NAME_LENGTH - _DIGITS - 1


@dataclass(frozen=True)
class TaskKey:
    """A task instance without its tries: a task that is run again is the same."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1

    def __str__(self) -> str:
        parts = [self.dag_id, self.run_id, self.task_id]
        return "/".join(parts + ([str(self.map_index)] if self.map_index >= 0 else []))

    def is_in_any_run(self, written: str) -> bool:
        """Whether a key, as its text, is this task's in whichever run."""
        dag_id, _, rest = written.partition("/")
        run_id, _, task_id = rest.rpartition("/")  # a run's id may hold slashes, a task's none
        return bool(run_id) and (dag_id, task_id) == (self.dag_id, self.task_id)


def resource_name(key: TaskKey) -> str:
    """A name of at most 40 characters: what it is for, then what tells it from all others."""
    identity = json.dumps([key.dag_id, key.task_id, key.run_id, key.map_index])
    digits = hashlib.sha256(identity.encode()).hexdigest()[:_DIGITS]
    words = re.sub(r"[^a-z0-9]+", "-", f"{key.dag_id}-{key.task_id}".lower()).strip("-")
    if not words[:1].isalpha():
        words = f"dag-{words}"
    return f"{words[:_WORDS].rstrip('-')}-{digits}"
