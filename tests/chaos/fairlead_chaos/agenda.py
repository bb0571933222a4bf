"""Which faults of a plan are still to come; each happens once. Pure state of one run."""

import dataclasses
from typing import TypeVar

from fairlead_chaos import faults
from fairlead_chaos.faults import (
    Fault,
    Kill,
    LoseReply,
    Moment,
    Plan,
    Point,
    Refuse,
    Write,
)
from fairlead_chaos.trace import Trace

_Fault = TypeVar("_Fault", bound=Fault)


class Agenda:
    """The plan, and in the trace what of it has happened."""

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self._left: list[Fault] = list(plan.faults)
        self._refused: list[Refuse] = []
        self._trace = trace

    def spend(self, fault: Fault) -> None:
        """Note that a fault has happened: it won't again."""
        self._left.remove(fault)
        self._trace.reached.append(faults.point(fault))

    def left(self, kind: type[_Fault]) -> list[_Fault]:
        """The faults of a kind that have not happened."""
        return [fault for fault in self._left if isinstance(fault, kind)]

    def at(self, kind: type[_Fault], point: Point) -> _Fault | None:
        """The fault of a kind that is due at this point, if any; it isn't spent by this."""
        for fault in self.left(kind):
            if getattr(fault, "at", None) == point:
                return fault
        return None

    def take(self, kind: type[_Fault], point: Point) -> _Fault | None:
        """As ``at``, and the fault is spent."""
        if (fault := self.at(kind, point)) is not None:
            self.spend(fault)
        return fault

    def kills(self, point: Point, moment: Moment) -> bool:
        """Whether the operator dies at this moment around this request or event."""
        for fault in self.left(Kill):
            if fault.at == point and fault.moment == moment:
                self.spend(fault)
                return True
        return False

    def loses(self, write: Write) -> bool:
        """Whether the reply to this request is lost."""
        return self.take(LoseReply, write) is not None

    def refusal(self, write: Write) -> Refuse | None:
        """The refusal that this request meets; one may meet several requests in turn."""
        for fault in self.left(Refuse):
            turn = write.nth - fault.at.nth
            if dataclasses.replace(write, nth=fault.at.nth) == fault.at and 0 <= turn < fault.times:
                if fault not in self._refused:
                    self._refused.append(fault)
                    self._trace.reached.append(fault.at)
                return fault
        return None
