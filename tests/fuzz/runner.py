"""Runs cases in processes of their own, which may crash, hang or eat memory without ending the run."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BAD", "Outcome", "run_cases"]

#: A case that takes longer hangs.
SECONDS = 60
#: A file of a few kilobytes has no reason to need more.
MEMORY = 8 << 30
READ, REFUSED, WRONG, CRASHED, HUNG, DIED = (
    "read, right",
    "refused with a message",
    "WRONG",
    "CRASHED",
    "HUNG",
    "PROCESS DIED",
)
BAD = (WRONG, CRASHED, HUNG, DIED)


@dataclass(frozen=True)
class Outcome:
    """What became of a case: its number, of what, what is odd about it, one of the results above, and details."""

    number: int
    target: str
    kind: str
    result: str
    detail: str = ""


def run_cases(numbers: list[int], seed: int, processes: int = 1) -> list[Outcome]:
    """Run some cases; each is a function of seed and number alone, whichever process it goes to."""
    with ThreadPoolExecutor(processes) as pool:
        parts = pool.map(lambda start: _run_part(numbers[start::processes], seed), range(processes))
        return sorted((outcome for part in parts for outcome in part), key=lambda outcome: outcome.number)


def table(outcomes: list[Outcome]) -> list[tuple]:
    """Rows (target, what is odd, number of cases, and the number of each result that occurs), and their header first."""
    results = (READ, REFUSED, *BAD)
    counts = Counter((o.target, o.kind, o.result) for o in outcomes)
    kinds = sorted({(o.target, o.kind) for o in outcomes})
    rows = [
        (target, kind, sum(counts[target, kind, r] for r in results), *(counts[target, kind, r] for r in results))
        for target, kind in kinds
    ]
    totals = ("all", "", len(outcomes), *(sum(row[3 + i] for row in rows) for i in range(len(results))))
    return [("input", "what is odd", "cases", *results), *rows, totals]


def _run_part(numbers: list[int], seed: int) -> list[Outcome]:
    outcomes, worker = [], None
    context = multiprocessing.get_context("spawn")
    for number in numbers:
        if worker is None:
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs, seed), daemon=True)
            worker.start()
            theirs.close()
            ours.recv()  # its imports take seconds, which are no case's
        ours.send(number)
        result = HUNG
        try:
            if ours.poll(SECONDS):
                outcomes.append(ours.recv())
                continue
        except (EOFError, ConnectionResetError):
            result = DIED
        worker.kill()
        worker.join()
        worker = None
        outcomes.append(Outcome(number, *_describe(number, seed), result))
    if worker is not None:
        worker.kill()
        worker.join()
    return outcomes


def _work(pipe, seed: int) -> None:
    import resource

    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _targets()
    pipe.send("ready")
    while True:
        pipe.send(_run(pipe.recv(), seed))


def _targets() -> dict:
    from tests.fuzz import documents, rasters

    return {
        "sensor raster": (rasters.raster_case, rasters.agree),
        "label map": (rasters.label_case, rasters.agree),
        "COCO file": (documents.coco_case, documents.agree),
        "checkpoint": (documents.checkpoint_case, documents.agree),
    }


def _draw(number: int, seed: int) -> tuple[str, random.Random]:
    draw = random.Random(f"{seed}/{number}")
    return draw.choices(("sensor raster", "label map", "COCO file", "checkpoint"), (4, 2, 3, 1))[0], draw


def _describe(number: int, seed: int) -> tuple[str, str]:
    """Target and oddity of a case that did not get to say."""
    target, draw = _draw(number, seed)
    with tempfile.TemporaryDirectory() as folder:
        return target, _targets()[target][0](Path(folder), draw)[0]


def _run(number: int, seed: int) -> Outcome:
    from imrsf_d2.utils.errors import UserError

    target, draw = _draw(number, seed)
    make, agree = _targets()[target]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, read, plain = make(Path(folder), draw)
        try:
            got = read()
        except UserError as error:
            if len(str(error)) < 20 or folder not in str(error):
                return Outcome(number, target, kind, CRASHED, f"an error that names no file: {error!r}")
            if kind == "plain" and _reads(plain):
                return Outcome(number, target, kind, WRONG, f"a good file is refused: {error}")
            return Outcome(number, target, kind, REFUSED)
        except Exception:
            return Outcome(number, target, kind, CRASHED, traceback.format_exc())
        try:
            expected = plain()
        except Exception as error:
            return Outcome(number, target, kind, WRONG, f"read, though it should be refused: {error!r}")
        return Outcome(number, target, kind, READ if agree(got, expected) else WRONG)


def _reads(plain) -> bool:
    try:
        plain()
    except Exception:
        return False
    return True
