"""Several replays of one candidate, judged together: a claim about a tail needs more than one run.

Some conditions differ from run to run: a neighbour on the host, the state of a cache, the position of the
code in memory. They are constant within a run, so more images of the same run do not average over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.judge.misses import Misses, judge_misses
from harness.judge.outcome import QUESTIONS, WORST_FIRST, Answer, Outcome, Verdict
from harness.judge.result import RunResult, answers_json, played, quality_line
from harness.measure.timing import Latency
from mrsim.summary import Summarised, counted

# A claim of this share or more is about a tail.
TAIL = 0.99
MIN_RUNS = 3


@dataclass(frozen=True, repr=False)
class Repetitions(Summarised):
    """Hold the results of some replays of one stream into one candidate.

    Parameters
    ----------
    results
        One or more results, each of a fresh reconstructor.
    exact
        Whether times were modelled, so that another run would give the same times.
    """

    results: tuple[RunResult, ...]
    exact: bool

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        verdict, first = self.verdict, self.results[0]
        facts = [
            ("verdict", f"{verdict.outcome.name}: {verdict.reason}"),
            ("played", played(first)),
            ("latency", str(self.latency)),
        ]
        if first.quality is not None:
            facts.append(("quality", quality_line(first.quality)))
        return f"{counted(len(self.results), 'run')} of {first.candidate}", facts

    @property
    def latency(self) -> Latency:
        """Return the percentiles of the response and the number of misses, over all runs."""
        return Latency.of([result.timing for result in self.results])

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on all runs: for each question the worst run decides, and misses are pooled."""
        answers = []
        for question in QUESTIONS:
            each = [r.verdict.answer(question) for r in self.results]
            known = [(number, answer) for number, answer in enumerate(each, 1) if answer is not None]
            if not known:
                continue
            answers.append(self._time(known) if question == QUESTIONS[0] else self._worst(known))
        return Verdict.of(answers)

    def _worst(self, each: list[tuple[int, Answer]]) -> Answer:
        for outcome in WORST_FIRST:
            for number, answer in each:
                if answer.outcome is outcome:
                    several = len(self.results) > 1 and outcome is not Outcome.PASS
                    which = f"run {number} of {len(self.results)}: " if several else ""
                    return Answer(answer.question, outcome, f"{which}{answer.reason}")
        return each[0][1]

    def _time(self, each: list[tuple[int, Answer]]) -> Answer:
        """Answer the question of time: one invalid or failed run decides, else misses are pooled."""
        results, worst = self.results, self._worst(each)
        if worst.outcome in (None, Outcome.FAIL, Outcome.INVALID):
            return worst
        claim, reason = results[0].claim, worst.reason
        outcome: Outcome = worst.outcome
        if len(results) > 1:
            missed = [r.timing.steady_missed for r in results]
            pooled = judge_misses(missed, results[0].timing.deadline_ns, claim)
            outcome, reason = pooled.outcome, f"{len(results)} runs: {pooled.reason}"
        if outcome is Outcome.PASS and claim >= TAIL and len(results) < MIN_RUNS and not self.exact:
            needed = f"a claim of {claim:.4g} is about a tail and takes {MIN_RUNS} runs: --repeat {MIN_RUNS}"
            return Answer(worst.question, Outcome.INSUFFICIENT, f"{reason}; {needed}")
        return Answer(worst.question, outcome, reason)

    def to_json(self) -> dict[str, Any]:
        """Return the first result as JSON values, with the verdict on all runs and an entry for each run."""
        first = self.results[0].to_json()
        verdict = self.verdict
        found = Misses.of([r.timing.steady_missed for r in self.results])
        runs = []
        for result in self.results:
            response = result.timing.summary("response")
            runs.append(
                {
                    "verdict": result.verdict.outcome.name,
                    "reason": result.verdict.reason,
                    "images": result.timing.images,
                    "misses": result.timing.misses,
                    "response_p50_ms": None if response.p50 is None else response.p50 / 1e6,
                    "response_p99_ms": None if response.p99 is None else response.p99 / 1e6,
                    "response_max_ms": None if response.max is None else response.max / 1e6,
                }
            )
        return {
            **first,
            "verdict": verdict.outcome.name,
            "reason": verdict.reason,
            "answers": answers_json(verdict),
            "repetitions": {
                "runs": runs,
                "exact": self.exact,
                "images": found.images,
                "misses": found.misses,
                "miss_share_interval": list(found.interval),
            },
        }
