# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m tests.bench [B1 B2 …]`: measure, print the tables, keep the numbers; with `--page`, write the page."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
import traceback
from pathlib import Path

from tests.bench import results
from tests.bench.burst import BURST
from tests.bench.calls import CALLS_PER_JOB
from tests.bench.idle import IDLE
from tests.bench.killed import KILLED
from tests.bench.machine import look, others, tidy
from tests.bench.many_jobs import MANY_JOBS
from tests.bench.playbook import PLAYBOOK
from tests.bench.results import Run
from tests.bench.samples import Benchmark
from tests.bench.stage import Stage
from tests.bench.turnaround import TURNAROUND
from tests.lab.common import CHECKOUT

BENCHMARKS: tuple[Benchmark, ...] = (TURNAROUND, BURST, PLAYBOOK, IDLE, CALLS_PER_JOB, KILLED, MANY_JOBS)

#: Where that goes which did not come to its end.
CUT_OFF = CHECKOUT / ".cache" / "bench-cut-off.json"


def measure(benchmark: Benchmark, stage: Stage) -> tuple[Run, bool]:
    """One benchmark: what was measured, and whether it came to its end."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    tidy()
    before = others()
    run, begin, ended = Run.of(benchmark, date, stage.commit, look("", before)), time.monotonic(), True
    try:
        told = begin
        for sample in benchmark.measure(stage):
            run.add(sample)
            if time.monotonic() - told < 1:
                continue  # thousands may come at once
            told = time.monotonic()
            stage.say(f"{sample.figure.name}, {sample.way}: {results.number(sample.value, sample.figure.unit)}")
    except (Exception, KeyboardInterrupt) as error:
        results.keep(CUT_OFF, run)
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()  # the others are measured all the same
        ended = False
    run.seconds = time.monotonic() - begin
    run.machine = look(stage.engine(), max(before, others()))
    return run, ended


def main() -> int:
    """Exit code 0: all were measured, whatever came out; 1: some could not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="B1", help=f"which: {', '.join(names)}; all, if none is named")
    parser.add_argument("--results", type=Path, default=CHECKOUT / ".cache" / "bench.json", help="where they are kept")
    parser.add_argument("--page", type=Path, help="a page with marks, to put the tables in")
    parser.add_argument("--only-page", action="store_true", help="measure nothing: make the page of what is kept")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed, runs = [], []
    if not options.only_page:
        with Stage(lambda line: print(f"{time.strftime('%T')} {line}", flush=True)) as stage:
            for benchmark in BENCHMARKS:
                if options.names and benchmark.name not in options.names:
                    continue
                stage.say(f"{benchmark.name}: {benchmark.what}")
                run, ended = measure(benchmark, stage)
                runs.append(run)
                if ended:
                    results.keep(options.results, run)
                else:
                    failed.append(benchmark.name)
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        options.page.write_text(results.filled(text, results.read(options.results)), encoding="utf-8")
    for run in runs:
        print(f"\n{run.name}: {run.what}\n{results.plain(results.HEAD, results.rows(run))}\n{results.where(run)}")
    if failed:
        print(f"\nNot measured to the end: {', '.join(failed)}; what was measured is in {CUT_OFF}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
