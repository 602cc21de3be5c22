"""A part is replaced alone, and what cannot be told apart is not touched."""

import re
from itertools import permutations

import pytest

from projects.study.parts import PRETRAINING, STUDY, write_part

TEXTS = {STUDY: "# One\n\nstudy 1\n", PRETRAINING: "# Two\n\ndemo 1\n"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "docs/results.md"


def without_markers(text):
    return re.sub(r"<!--.*?-->\n", "", text)


@pytest.mark.parametrize("order", list(permutations(TEXTS)), ids="-".join)
def test_parts_stand_in_one_order_whoever_was_first(path, order):
    for name in order:
        write_part(path, name, TEXTS[name])
    assert without_markers(path.read_text()) == "# One\n\nstudy 1\n\n# Two\n\ndemo 1\n"


@pytest.mark.parametrize("name", TEXTS)
def test_a_part_is_replaced_and_everything_else_kept(path, name):
    for other, text in TEXTS.items():
        write_part(path, other, text)
    before = path.read_text().replace("\n\n<!-- begin", "\n\nbetween\n\n<!-- begin")
    before = f"by hand, above\n{before}below\n"
    path.write_text(before)
    new = TEXTS[name].replace("1", r"2 \1 \g<0>") + "\nlonger\n"
    write_part(path, name, new)
    assert path.read_text() == before.replace(TEXTS[name], new)
    write_part(path, name, TEXTS[name])
    assert path.read_text() == before


def test_a_file_of_before_there_were_parts_is_the_studys(path):
    path.parent.mkdir()
    path.write_text("# One\n\nold\n")
    write_part(path, PRETRAINING, TEXTS[PRETRAINING])
    assert without_markers(path.read_text()) == "# One\n\nold\n\n# Two\n\ndemo 1\n"
    write_part(path, STUDY, TEXTS[STUDY])
    assert without_markers(path.read_text()) == "# One\n\nstudy 1\n\n# Two\n\ndemo 1\n"
    path.write_text("# One\n\nold\n")
    write_part(path, STUDY, TEXTS[STUDY])
    assert without_markers(path.read_text()) == TEXTS[STUDY]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("<!-- end study -->\n", ""),
        lambda text: re.sub("<!-- begin study.*\n", "", text),
        lambda text: text.replace("<!-- end study -->", "<!-- end study --"),
        lambda text: text.replace("<!-- end study -->", "<!-- end studies -->").replace("begin study", "begin studies"),
        lambda text: re.sub("<!-- begin study.*\n", "", text).replace("<!-- end study -->", " <!--end study-->"),
        lambda text: text + text,
        lambda text: text.replace("<!-- end study -->\n", "") + "<!-- end study -->\n",
        lambda text: (
            text.replace("<!-- end study", "<!-- fin study")
            .replace("<!-- end pre-training", "<!-- end study")
            .replace("<!-- fin study", "<!-- end pre-training")
        ),
    ],
    ids=["no end", "no begin", "cut", "unknown", "both mangled", "twice", "nested", "crossed"],
)
@pytest.mark.parametrize("name", TEXTS)
def test_damaged_markers_are_an_error_and_nothing_is_written(path, damage, name):
    for other, text in TEXTS.items():
        write_part(path, other, text)
    damaged = damage(path.read_text())
    path.write_text(damaged)
    with pytest.raises(ValueError, match=r"results\.md has the markers .*expected a line"):
        write_part(path, name, "new")
    assert path.read_text() == damaged
