"""Read a Dockerfile as far as keys need it: stages, what each copies, what each builds on.

Pure: it parses text and lists no folder. It reads the instructions that our Dockerfiles use;
a COPY in JSON form or with variables is refused rather than guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fairlead_cluster import errors

_ARG = re.compile(r"\$\{(\w+)\}")


@dataclass
class Stage:
    """One FROM and the instructions below it."""

    name: str
    parent: str
    """Another stage's name, or an image, as written: `${BASE_IMAGE}`."""
    lines: list[str] = field(default_factory=list)
    """Instructions without comments, one a line."""

    def copied(self) -> list[str]:
        """Paths of the build context that the stage copies."""
        sources: list[str] = []
        for line in self.lines:
            keyword, _, rest = line.partition(" ")
            if keyword not in ("COPY", "ADD") or "--from=" in rest:
                continue
            words = [word for word in rest.split() if not word.startswith("--")]
            if rest.lstrip().startswith("[") or any("$" in word for word in words):
                raise errors.ClusterError(f"can't tell what `{line}` copies", "write plain paths")
            sources += words[:-1]
        return sources

    def used(self) -> set[str]:
        """Stages and images that the stage takes files from."""
        return {self.parent, *re.findall(r"(?:--from=|,from=)([^\s,]+)", "\n".join(self.lines))}


@dataclass(frozen=True)
class Dockerfile:
    """The arguments before the first FROM, and the stages in order."""

    arguments: dict[str, str]
    stages: dict[str, Stage]

    def reached(self, target: str) -> list[Stage]:
        """The stages that building `target` takes part of, in the file's order."""
        waiting, found = [target], set()
        while waiting:
            name = waiting.pop()
            if name in self.stages and name not in found:
                found.add(name)
                waiting += self.stages[name].used()
        if target not in found:
            raise errors.ClusterError(
                f"no stage {target!r} in the Dockerfile", f"it has {', '.join(self.stages)}"
            )
        return [stage for stage in self.stages.values() if stage.name in found]

    def asked(self, target: str) -> set[str]:
        """Names of the global arguments that the target's stages stand on."""
        return {name for stage in self.reached(target) for name in _ARG.findall(stage.parent)}


def parse(text: str) -> Dockerfile:
    """Parse a Dockerfile."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in _instructions(text):
        words = line.split()
        if words[0] == "FROM":
            name = words[3] if len(words) == 4 else str(len(stages))
            stage = stages[name] = Stage(name, parent=words[1])
        elif stage is not None:
            stage.lines.append(line)
        else:
            name, _, default = words[1].partition("=")
            arguments[name] = default
    return Dockerfile(arguments, stages)


def _instructions(text: str) -> list[str]:
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(kept).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines()]
