"""`imrsf`: the tools as one command, wherever the package is installed."""

import ast
import logging
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imrsf_d2 import cli
from imrsf_d2.engine.config_files import find_config
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.utils import command_names
from imrsf_d2.utils.command_names import TOOLS, as_called
from imrsf_d2.utils.console import quiet_console
from imrsf_d2.utils.errors import InputError, MissingFileError, exit_code
from tests.tiny import REPOSITORY


def test_every_tool_is_a_subcommand_and_every_subcommand_is_listed(capsys):
    assert set(TOOLS) | {"evaluate"} == set(cli.COMMANDS)
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and what in shown for name, (_, what) in cli.COMMANDS.items())


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_subcommand_speaks_of_commands_as_it_was_called(name, monkeypatch, capsys):
    for called, wanted, unwanted in (
        ("/bin/imrsf", "imrsf ", ("tools/", "datasets/p", "configs/")),
        ("tools/x.py", TOOLS.get(name, "train_net"), ("imrsf train", "imrsf prepare")),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        with pytest.raises(SystemExit, match="0"):
            cli.main([*name.split(), "--help"])
        shown = re.sub(r"\b(dataset|statistics)\.yaml", "", capsys.readouterr().out)  # a user's own files
        assert wanted in shown and not [text for text in unwanted if text in shown]


def test_evaluate_is_train_that_trains_nothing(monkeypatch):
    from imrsf_d2.commands import train

    seen = []
    monkeypatch.setattr(train, "train", seen.append)
    assert cli.main(["evaluate", "--config-file", "x", "A", "1"]) == cli.main(["train", "--config-file", "x"]) == 0
    assert [(args.eval_only, args.opts) for args in seen] == [(True, ["A", "1"]), (False, [])]


@pytest.mark.parametrize(
    "arguments, expected",
    [(["fly"], "train, evaluate"), (["prepare"], "prepare dfc2023"), (["prepare", "mars"], "prepare quadruplets")],
)
def test_an_unknown_command_is_answered_with_the_known_ones(arguments, expected, capsys):
    assert cli.main(arguments) == 2
    assert expected in capsys.readouterr().err


def test_errors_name_commands_that_the_reader_has(monkeypatch, capsys):
    def work():
        raise InputError("Run python tools/convert_checkpoint.py --config-file configs/quick/dfc2023_instance.yaml first.")

    monkeypatch.setattr(sys, "argv", ["/usr/bin/imrsf", "train"])
    assert exit_code(work) == 2
    assert capsys.readouterr().err == "error: Run imrsf convert --config-file quick/dfc2023_instance first.\n"
    monkeypatch.setattr(sys, "argv", ["tools/train_net.py"])
    assert as_called("python tools/demo.py") == "python tools/demo.py"


@pytest.mark.parametrize(
    "called, checkout, text, expected",
    [
        ("/bin/imrsf", True, "python tools/train_net.py X", "imrsf train X"),
        ("/site-packages/imrsf_d2/cli.py", True, "tools/demo.py", "imrsf demo"),
        ("notebook.py", True, "datasets/README.md, tools/demo.py", "datasets/README.md, tools/demo.py"),
        ("notebook.py", False, "datasets/README.md, tools/demo.py", "the documentation's page on datasets, imrsf demo"),
        (
            "/bin/imrsf",
            True,
            "torchrun --nproc_per_node 2 tools/train_net.py --config-file configs/panoptic.yaml",
            "torchrun --nproc_per_node 2 -m imrsf_d2.cli train --config-file panoptic",
        ),
        ("/bin/imrsf", True, "/my/configs/panoptic.yaml, configs/mine.yaml", "/my/configs/panoptic.yaml, configs/mine.yaml"),
    ],
    ids=["imrsf", "python -m imrsf_d2.cli", "own script", "own script without a checkout", "torchrun", "own configs"],
)
def test_commands_are_named_as_they_can_be_called(called, checkout, text, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [called])
    if not checkout:
        monkeypatch.setattr(command_names, "_REPOSITORY", tmp_path)
    assert as_called(text) == expected


def test_warnings_name_commands_that_the_reader_has_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/bin/imrsf"])
    with quiet_console():
        logging.getLogger("imrsf_d2.data").warning("%s measures it.", "tools/compute_statistics.py")
    assert capsys.readouterr().err == "warning: imrsf statistics measures it.\n"


def test_every_message_names_commands_and_files_that_exist():
    """Messages are written for a checkout; `as_called` knows every command and page that they name."""
    scripts, configs, pages = set(), set(), set()
    for path in (REPOSITORY / "imrsf_d2").rglob("*.py"):
        tree = ast.parse(path.read_text())
        described = (node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)))
        docstrings = {id(node.body[0].value) for node in described if node.body and isinstance(node.body[0], ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                scripts |= set(re.findall(r"\b(?:tools|datasets)/\w+\.py", node.value))
                configs |= set(re.findall(r"\bconfigs/[\w/]+\.yaml", node.value))
                if id(node) not in docstrings:
                    pages |= set(re.findall(r"[\w/]+/\w+\.(?:md|txt|sh)\b", node.value))
    assert scripts and scripts <= set(TOOLS.values())
    assert configs and not [name for name in configs if not (REPOSITORY / name).is_file()]
    assert pages <= set(command_names._PAGES), "an installed package comes without these files"


def test_a_config_is_found_by_its_name_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    by_name = load_config("ablations/dfc2023_instance/multivit")
    assert by_name == load_config(REPOSITORY / "configs/ablations/dfc2023_instance/multivit.yaml")
    assert find_config("configs/quick/dfc2023_instance.yaml") == find_config("quick/dfc2023_instance")  # as in a checkout
    (tmp_path / "dfc2023_instance").write_text("")
    assert find_config("dfc2023_instance") == "dfc2023_instance"  # a file of that name goes first
    with pytest.raises(MissingFileError, match="'dfc2024'.*dfc2023_instance, dfc2023_instance_best"):
        find_config("dfc2024")


@pytest.mark.slow
def test_the_wheel_holds_the_command_the_configs_and_the_tables(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    source = tmp_path / "source"
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, names):  # a build leaves files beside the sources
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
        entry = file.read(next(name for name in held if name.endswith("entry_points.txt"))).decode()
    assert "imrsf = imrsf_d2.cli:main" in entry
    configs = {
        f"imrsf_d2/{path.relative_to(REPOSITORY).as_posix()}" for path in Path(REPOSITORY / "configs").rglob("*.yaml")
    }
    assert (
        configs <= held
        and {"imrsf_d2/data/datasets/land_cover.csv", "imrsf_d2/data/tables/corine.csv"} <= held
        and "imrsf_d2/py.typed" in held
    )
    assert not [name for name in held if name.startswith(("tests/", "tools/"))]
