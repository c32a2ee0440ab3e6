"""The four outcomes of a verdict, the three questions it answers, and how the answers become one."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from mrsim.summary import Summarised

QUESTIONS = ("time", "target", "image")


class Outcome(enum.Enum):
    """Name the outcome of a verdict; its value is the exit code of the command line."""

    PASS = 0
    FAIL = 1
    INVALID = 3
    INSUFFICIENT = 4


WORST_FIRST = (Outcome.FAIL, Outcome.INVALID, Outcome.INSUFFICIENT, Outcome.PASS)
"""What decides over what: a candidate that failed one question has failed, whatever the host did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the answer to one question.

    Parameters
    ----------
    question
        "time": do images come in time? "target": is the target where it is shown? "image": are images good?
    outcome
        One of the four outcomes; None if the question was not asked.
    reason
        Why, in one sentence.
    """

    question: str
    outcome: Outcome | None
    reason: str

    def __str__(self) -> str:
        return f"{self.question}: {'not asked' if self.outcome is None else self.outcome.name}: {self.reason}"


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(Summarised):
    """Hold the outcome and why.

    Parameters
    ----------
    outcome
        One of the four outcomes.
    reason
        Why, in one sentence.
    answers
        The answer to each question, where several were asked.
    """

    outcome: Outcome
    reason: str
    answers: tuple[Answer, ...] = ()

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Verdict:
        """Return the worst of some answers, with the reason of each question that has that outcome.

        Parameters
        ----------
        answers
            One answer to each question, of which at least one was asked.
        """
        asked = [answer for answer in answers if answer.outcome is not None]
        worst = next(outcome for outcome in WORST_FIRST if any(a.outcome is outcome for a in asked))
        reasons = [f"{a.question}: {a.reason}" for a in asked if a.outcome is worst]
        return cls(worst, "; ".join(reasons), tuple(answers))

    def answer(self, question: str) -> Answer | None:
        """Return the answer to a question; None if there is none."""
        return next((answer for answer in self.answers if answer.question == question), None)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [("reason", self.reason)] if not self.answers else []
        facts += [
            (a.question, f"{'not asked' if a.outcome is None else a.outcome.name}: {a.reason}")
            for a in self.answers
        ]
        return f"Verdict: {self.outcome.name}", facts
