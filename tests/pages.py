"""The commands and paths that the pages show, and what is wrong with them; nothing is run."""

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import io
import itertools
import re
import shlex
import sys
import textwrap
from unittest import mock

from torch.distributed import run

from imrsf_d2 import cli
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.utils import errors
from tests.tiny import REPOSITORY

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"datasets/{p.name}" for p in REPOSITORY.glob("datasets/*.md")),
    *sorted(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md")),
]
#: What a command of ours begins with.
STARTS = r"(?:python (?:-m )?(?:tools|datasets|docs|tests|pytest)\b|imrsf |make |torchrun |srun )"
#: Letters that stand for several names in the pages, and words that stand for any value.
TASKS, DATA = ("dfc2023_instance", "dfc2023_semantic", "quadruplets_lulc"), ("dfc2023", "quadruplets")
ANY = {"N": "1", "SCALE": "cpu", "FILE": "configs/dfc2023_instance.yaml"}
#: What SLURM sets, or the script of a page; see `_check`.
VARIABLES = {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "5", "head": "node0"}
#: What runs, users or data have, not the repository.
ELSEWHERE = re.compile(
    r"/|(output|build|dist|\.prepared|height|track2|dfc2023|quadruplets|v1\.1|datasets/dfc2023|datasets/quadruplets)/"
)


def commands(text):
    """The commands that a page shows, in code blocks and within sentences, in order.

    Args:
        text: Markdown.
    """
    text = re.sub(r"```(?:python|yaml|javascript|text)\n.*?```", "", text, flags=re.S)
    text = re.sub(r"```\w*\n(.*?)```", lambda block: textwrap.indent(block[1], "    "), text, flags=re.S)
    text = re.sub(r" *\\\n\s+", " ", text)  # lines that go on
    found = []
    for line in text.split("\n"):
        block = re.match(rf"(?: {{4,}})({STARTS}.*)", line)
        found += [block[1]] if block else re.findall(rf"`({STARTS}[^`]*)`", line)
    return found


def recipes(makefile):
    """The commands of the Makefile's recipes, as a reader would type them."""
    text = re.sub(r" *\\\n\s+", " ", makefile)
    lines = re.findall(r'^\t(?:\w+=\S+ )?"\$\(VENV\)/bin/python" (.*)$', text, re.M)
    return ["python " + line.replace("$(TASK)", "instance") for line in lines]


def paths(text):
    """The paths of folders and files that a page names in code."""
    spans = re.findall(r"`([^`\s]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [span for span in spans if re.fullmatch(r"[\w*./-]+/([\w*.-]+\.(py|yaml|yml|md|sh|csv|txt|json))?", span)]


def path_problem(path):
    """What is wrong with a path of a page, or None: it has to be in the repository, or in the package."""
    if ELSEWHERE.match(path):
        return None
    for expanded in expansions(path.replace("MODEL.yaml", "*.yaml")):
        if not any(any(place.glob(expanded)) for place in (REPOSITORY, REPOSITORY / "imrsf_d2")):
            return f"there is no {expanded}"
    return None


def expansions(text):
    """A text with every name that the letters T (a task) and D (data) stand for in a path of configs/."""
    tasks = TASKS if re.search(r"(?<=[/-])T(?=[_/.-])|^T(?=_)", text) else [""]
    data = DATA if re.search(r"(?<=/)D(?=_)", text) else [""]
    for task, dataset in itertools.product(tasks, data):
        yield re.sub(r"(?<=/)D(?=_)", dataset, re.sub(r"(?<=[/-])T(?=[_/.-])|^T(?=_)", task, text))


def command_problem(command):
    """What is wrong with a command, or None: its script, target or module, its options, config and KEY VALUE pairs."""
    command = re.sub(r"\[KEY VALUE \.\.\.\]", "", command)
    command = re.sub(r"\[(--[^\]]*)\]", r"\1", command)  # what may be left out
    for expanded in expansions(command):
        words = [ANY.get(word, word) for word in shlex.split(expanded, comments=True)]
        try:
            _check(words)
        except (SystemExit, errors.UserError, AssertionError, ValueError) as error:
            return f"{expanded}: {error}"
    return None


def _check(words):
    first, *rest = words
    if first == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M)
        unknown = {word for word in rest if "=" not in word} - set(targets)
        assert not unknown, f"make has no target {unknown}"
        return
    if first == "imrsf":
        name = next((name for name in (" ".join(rest[:2]), rest[0]) if name in cli.COMMANDS), None)
        assert name or rest[0] == "--help", f"imrsf has no command {rest[0]!r}"
        if name and (arguments := rest[len(name.split()) :]):
            _parse(lambda argv: cli.main([*name.split(), *argv]), arguments)
        return
    if first == "srun":
        while rest and rest[0].startswith("--"):
            del rest[0]
        if not rest:  # an option of its own, named in a sentence
            return
        words = [re.sub(r"\$(\w+)", lambda name: VARIABLES[name[1]], word) for word in rest]
        _check(shlex.split(words[2]) if words[:2] == ["bash", "-c"] else words)
        return
    if first == "torchrun":
        started = run.get_args_parser().parse_args(rest)
        rest = [started.training_script, *started.training_script_args]
    if rest[0] == "-m":
        if rest[1] == "pytest":
            _check_pytest(rest[2:])
        else:
            assert importlib.util.find_spec(rest[1]), f"no module {rest[1]}"
            _parse(importlib.import_module(f"{rest[1]}.__main__").main, rest[2:])
        return
    script, *arguments = rest
    assert (REPOSITORY / script).is_file(), f"there is no {script}"
    if arguments:
        _parse(main_of(script), arguments)


def _check_pytest(words):
    missing = [word for word in words if word.startswith("tests") and not (REPOSITORY / word).exists()]
    assert not missing, f"there is no {missing}"


def main_of(script):
    """The `main` of a script of the repository."""
    spec = importlib.util.spec_from_file_location(f"page_{script.replace('/', '_')[:-3]}", REPOSITORY / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


class _ParsedError(Exception):
    """Ends a command that has read its arguments."""


def _parse(main, arguments):
    """Read the arguments as the command does and go no further; then load its config with its KEY VALUE pairs."""
    seen, said = [], io.StringIO()

    def noting(original):
        def parse(parser, argv=None, namespace=None):
            seen.append(original(parser, argv, namespace))
            return seen[-1]

        return parse

    def stop(*args, **kwargs):
        raise _ParsedError

    with contextlib.ExitStack() as stack:
        for name in ("parse_args", "parse_intermixed_args"):
            original = getattr(argparse.ArgumentParser, name)
            stack.enter_context(mock.patch.object(argparse.ArgumentParser, name, noting(original)))
        # Where the commands start to work, once they have also looked at what the parser cannot.
        for place in (
            "imrsf_d2.utils.errors.exit_code",
            "imrsf_d2.compat.environment.examine",
            "tests.fuzz.__main__.run_cases",
        ):
            stack.enter_context(mock.patch(place, stop))
        stack.enter_context(mock.patch.object(sys, "argv", ["command", *arguments]))
        stack.enter_context(contextlib.redirect_stderr(said))
        try:
            main(arguments) if inspect.signature(main).parameters else main()
        except _ParsedError:
            pass
        except SystemExit as stopped:
            raise ValueError(said.getvalue().strip().rpartition("\n")[2]) from stopped
    options = vars(seen[-1])
    if "opts" in options:
        config = options.get("config_file") or "dfc2023_instance"
        # The config that a training run leaves has the keys of any other.
        cfg = load_config("dfc2023_instance" if re.fullmatch(r"output/.*/config\.yaml", config) else config, options["opts"])
        if options.get("eval_only") is False:  # the training command; the others share images
            processes = (options["num_gpus"] or 1) * options["num_machines"]
            assert cfg.SOLVER.IMS_PER_BATCH % processes == 0, (
                f"a batch of {cfg.SOLVER.IMS_PER_BATCH} in {processes} processes"
            )
