"""What the pages say exists, and what is generated from the code is up to date."""

import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

import imrsf_d2
from imrsf_d2.cli import COMMANDS
from imrsf_d2.config import add_imrsf_config
from imrsf_d2.utils.command_names import TOOLS
from tests.pages import PAGES, command_problem, commands, path_problem, paths, recipes
from tests.test_layering import ALLOWED
from tests.test_versions import pinned
from tests.tiny import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs/generator"))
import config_reference  # noqa: E402
import subpackages  # noqa: E402

CONFIG = (REPOSITORY / "imrsf_d2/config.py").read_text()


def read(page):
    return (REPOSITORY / page).read_text()


def test_every_command_of_every_page_would_run():
    shown = [(page, command) for page in PAGES for command in commands(read(page))]
    shown += [("Makefile", command) for command in recipes(read("Makefile"))]
    assert {"README.md", "CONTRIBUTING.md", "datasets/README.md", "docs/paper.md", "docs/scaling.md", "Makefile"} <= {
        page for page, _ in shown
    }
    problems = [f"{page}: {problem}" for page, command in shown if (problem := command_problem(command))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "command, problem",
    [
        ("python tools/train.py --config-file configs/dfc2023_instance.yaml", "there is no tools/train.py"),
        ("python tools/train_net.py --config configs/dfc2023_instance.yam", "no config file 'configs/dfc2023_instance.yam'"),
        ("python tools/train_net.py --config-file configs/dfc2023_instance.yaml SOLVER.IMS 4", "SOLVER.IMS"),
        (
            "python tools/train_net.py --config-file configs/dfc2023_instance.yaml SOLVER.ACCUMULATE 0",
            "SOLVER.ACCUMULATE is 0",
        ),
        ("python tools/train_net.py --config-file configs/dfc2023_instance.yaml --num-gpus 4", "10 in 4 processes"),
        ("torchrun --nproc_per_node 2 tools/train_net.py --config-file configs/ablations/T/nothing.yaml", "T/nothing"),
        ("torchrun --max_restart_s 3 tools/train_net.py --config-file dfc2023_instance", "--max_restart_s"),
        ("srun --exclusive python tools/train_net.py --machine-rank $SLURM_JOB_ID --num_gpus 2", "--num_gpus"),
        ("srun bash -c 'python tools/train_net.py --machine-ranks $SLURM_NODEID'", "--machine-ranks"),
        ("imrsf subsets --config-file dfc2023_instance --output x --importanc_images 3", "--importanc_images"),
        ("imrsf subsets --config-file dfc2023_instance", "--output"),
        ("imrsf fly", "no command 'fly'"),
        ("python datasets/prepare_dfc2023.py --input x --check --tile-size 64", "leave out --tile-size"),
        ("python tools/benchmark.py everything", "invalid choice"),
        ("python -m tests.fuzz --case-number 3", "--case-number"),
        ("python -m pytest tests/nowhere", "tests/nowhere"),
        ("make coffee", "no target {'coffee'}"),
    ],
)
def test_a_command_that_would_not_run_is_found(command, problem):
    found = command_problem(command)
    assert found and problem.replace("T/", "dfc2023_instance/") in found


def test_commands_are_found_in_blocks_of_both_kinds_and_in_sentences():
    page = "Run `make env`.\n\n    python tools/study.py \\\n        --scale cpu  # two hours\n\n```bash\nimrsf doctor\n```\n\n```python\nmake = 1\n```\n"
    assert commands(page) == ["make env", "python tools/study.py --scale cpu  # two hours", "imrsf doctor"]


def test_every_path_of_every_page_is_there():
    problems = [f"{page}: {problem}" for page in PAGES for path in paths(read(page)) if (problem := path_problem(path))]
    assert not problems, "\n".join(problems)
    assert path_problem("imrsf_d2/study/") and path_problem("modeling/nothing.py") and path_problem("configs/T/")


def test_the_configuration_reference_has_every_key_with_its_default():
    from detectron2.config import CfgNode

    cfg = CfgNode(
        {name: CfgNode() for name in ("MODEL", "DATASETS", "DATALOADER", "TEST", "INPUT")}
        | {"SOLVER": CfgNode({"AMP": CfgNode()})}
    )
    add_imrsf_config(cfg)

    def leaves(node, prefix=""):
        for name, value in node.items():
            if isinstance(value, CfgNode):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", repr(value)

    keys = {key.name: key for section in config_reference.read_keys(CONFIG) for key in section.keys}
    assert {name: key.default for name, key in keys.items()} == dict(leaves(cfg))
    page = config_reference.config_markdown(CONFIG)
    assert all(f"`{name}` = `{key.default}`" in page for name, key in keys.items())


def test_a_key_without_a_meaning_is_refused():
    source = 'def add_imrsf_config(cfg):\n    """."""\n    # ---- input ----\n\n    cfg.INPUT.ALIGN = False\n'
    with pytest.raises(ValueError, match="INPUT.ALIGN has no comment"):
        config_reference.read_keys(source)


def test_the_figure_of_the_subpackages_is_drawn_from_the_rules_and_no_arrow_points_up():
    rules = subpackages.read_rules(read("tests/test_layering.py"))
    assert rules == ALLOWED
    figure = subpackages.draw_subpackages(rules)
    assert figure == read("docs/subpackages.svg"), "run python docs/generator/subpackages.py"
    lines = [path.get("d") for path in ElementTree.fromstring(figure).iterfind("{http://www.w3.org/2000/svg}path")]
    assert len(lines) == sum(map(len, subpackages.reduced({r: set(o) - {"utils"} for r, o in rules.items()}).values()))
    for line in lines:
        heights = [int(y) for y in re.findall(r"\d+ (\d+)", line)]
        assert heights == sorted(heights) and heights[0] < heights[-1]


def test_a_circle_of_subpackages_cannot_be_drawn():
    with pytest.raises(ValueError, match="a circle among"):
        subpackages.draw_subpackages({"a": {"b"}, "b": {"a"}})


def test_the_api_reference_has_every_public_name():
    shown = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", read("docs/api.md"), re.M)}
    assert set(imrsf_d2.__all__) - {"__version__"} <= shown


def test_the_table_of_subcommands_has_each_with_its_script():
    shown = dict(re.findall(r"^\| `imrsf ([a-z0-9 ]+)` \| `([\w/.]+)(?: --eval-only)?` \|$", read("docs/install.md"), re.M))
    assert shown == {**TOOLS, "evaluate": TOOLS["train"]} and shown.keys() == COMMANDS.keys()


def test_one_version_everywhere():
    assert re.search(r"^## (\S+), \d{4}-\d\d-\d\d$", read("CHANGELOG.md"), re.M)[1] == imrsf_d2.__version__
    assert yaml.safe_load(read("CITATION.cff"))["version"] == imrsf_d2.__version__
    assert f"imrsf_d2-{imrsf_d2.__version__}-py3-none-any.whl" in read("README.md")


def test_the_tools_of_development_change_nothing_in_the_environment():
    base, dev = pinned("base.txt"), pinned("dev.txt")
    assert dev["ruff"] and {name: base[name] for name in base.keys() & dev.keys()} == {
        name: dev[name] for name in base.keys() & dev.keys()
    }
