import pytest

from imrsf_d2.engine.config_files import read_config
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.utils.errors import MissingFileError


@pytest.mark.parametrize("base", ["dfc2023_instance", "configs/dfc2023_instance.yaml"])
def test_a_config_of_ones_own_builds_on_one_of_ours_by_name(base, tmp_path):
    (tmp_path / "own.yaml").write_text(f"_BASE_: {base}\nSOLVER:\n  MAX_ITER: 7\n")
    assert load_config(tmp_path / "own.yaml") == load_config("dfc2023_instance", ["SOLVER.MAX_ITER", "7"])


def test_ones_own_file_goes_first(tmp_path):
    (tmp_path / "dfc2023_instance.yaml").write_text("SOLVER:\n  MAX_ITER: 7\n")
    (tmp_path / "own.yaml").write_text("_BASE_: dfc2023_instance.yaml\n")
    assert read_config(tmp_path / "own.yaml") == {"SOLVER": {"MAX_ITER": 7}}


def test_bases_of_bases_and_several_of_them(tmp_path):
    (tmp_path / "own.yaml").write_text("_BASE_: [quick/dfc2023_instance, more.yaml]\n")
    (tmp_path / "more.yaml").write_text("SOLVER:\n  MAX_ITER: 7\n")
    expected = load_config("quick/dfc2023_instance", ["SOLVER.MAX_ITER", "7"])
    assert load_config(tmp_path / "own.yaml") == expected


@pytest.mark.parametrize("text, message", [("", "holds no keys"), ("- MODEL", "holds no keys"), ("A: [", "is no YAML")])
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    (tmp_path / "next.yaml").write_text("_BASE_: own.yaml")
    for name in ("own.yaml", "next.yaml"):
        with pytest.raises(ValueError, match=f"own.yaml {message}"):
            read_config(tmp_path / name)


def test_the_names_that_readme_has_people_type_are_among_those_listed():
    with pytest.raises(MissingFileError, match="'demo/instanc'.*instance_best.*demo/instance, .*quick/"):
        load_config("demo/instanc")


def test_a_base_that_is_nowhere_is_named(tmp_path):
    (tmp_path / "own.yaml").write_text("_BASE_: dfc2024\n")
    with pytest.raises(MissingFileError, match="/dfc2024', which a _BASE_ names.*dfc2023_instance, dfc2023_instance_best"):
        load_config(tmp_path / "own.yaml")
