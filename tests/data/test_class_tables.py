"""Tables that say which class each code of a land-cover map becomes."""

import csv

import numpy as np
import pytest

from imrsf_d2.data.class_tables import TABLES, TableClass, packaged_tables, read_class_table
from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE


def table_of(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding=encoding)
    return read_class_table(path)


def test_a_table_has_classes_colors_and_codes(tmp_path):
    table = table_of(tmp_path, "# mine\ncode,note,class,color\n-1,,,\n10,x,trees,#007D3c\n95,y,trees,\n80,,water,\n0,,,\n")
    assert table.rows == (TableClass("trees", (0, 125, 60), ("10", "95")), TableClass("water", None, ("80",)))
    assert table.unlabeled == ("-1", "0") and table.codes == {"10": 0, "95": 0, "80": 1, "-1": None, "0": None}
    assert table.label_codes().codes == {10: 0, 95: 0, 80: 1, -1: 255, 0: 255}


def test_what_spreadsheets_write_is_read(tmp_path):
    assert table_of(tmp_path, "code;class\r\n1;Wald\r\n2;Öde, Fels\r\n", "utf-8-sig").codes == {"1": 0, "2": 1}


def test_a_column_holds_codes_or_names(tmp_path):
    table = table_of(tmp_path, "code,class\n1,Land\n2,Water\n,\nx,\n")
    assert table.indices(["1", 2, 2.0, np.int64(1), " 2 ", "water", None, float("nan"), "x"], "the column").tolist() == (
        [0, 1, 1, 0, 1, 1, 255, 255, 255]
    )
    with pytest.raises(ValueError) as error:
        table.indices(["1"] * 6 + ["bog", 7.5, "bog", None], "the column 'kind' of a.gpkg")
    assert str(error.value).startswith(
        f"the column 'kind' of a.gpkg holds '7.5' (10.0% of the features), 'bog' (20.0% of the features), which {table.path} lacks."
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("code,name\n1,a\n", r"has the columns \['code', 'name'\], expected among them 'class'"),
        ("", "has the columns None, expected among them 'code'"),
        ("code,class\n1,a\n1,b\n", "lists the code '1' twice"),
        ("code,class\n1,\n", "names 0 classes, expected 1 to 255"),
        ("code,class,color\n1,a,red\n", "has the color 'red', expected six hexadecimal digits"),
        ("code,class,color\n1,a,#ff0000\n2,a,#ff0001\n", "gives the class 'a' another color with the code '2'"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        table_of(tmp_path, text)
    with pytest.raises(ValueError, match=r"table\.csv is no text in UTF-8"):
        table_of(tmp_path, "code,class\n1,Öde\n", "latin-1")


def test_codes_that_no_pixel_can_have_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv has the code 'A1', expected whole numbers"):
        table_of(tmp_path, "code,class\nA1,a\n").label_codes()


def test_a_table_that_is_not_there_names_the_packaged_ones(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no class table worldcover, .* or one of corine, corine_level1, .*esa_worldcover"
    ):
        read_class_table("worldcover")


def test_the_table_of_urban_atlas_merges_27_classes_into_seven():
    table = read_class_table(DEFAULT_TABLE)
    assert len(table.classes) == 7 and len([c for c in table.codes.values() if c is not None]) == 27
    names = {code: table.classes[index] for code, index in table.codes.items() if index is not None}
    assert names["12230"] == "roads" and names["40000"] == "water" and names["31000"] == "trees"
    assert table.codes["91000"] is None


@pytest.mark.parametrize("name", packaged_tables())
def test_packaged_tables_are_for_rasters_and_name_their_source(name):
    text = (TABLES / f"{name}.csv").read_text()
    assert text.startswith("#") and read_class_table(name).label_codes().codes
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert len(rows) == len({row["code"] for row in rows}) == len(read_class_table(name).codes)


def test_packaged_tables_have_the_codes_of_their_maps():
    codes = {name: read_class_table(name).label_codes().codes for name in packaged_tables()}
    labeled = {name: [code for code, index in table.items() if index < 255] for name, table in codes.items()}
    assert labeled["esa_worldcover"] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100]
    assert sorted(labeled["esri_land_cover"]) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11] and codes["esri_land_cover"][10] == 255
    assert labeled["dynamic_world"] == list(range(9)) == list(codes["dynamic_world"].values())
    assert read_class_table("terramesh").classes == read_class_table("esri_land_cover").classes
    assert labeled["terramesh"] == [1, 2, 3, 4, 5, 6, 7, 9] and codes["terramesh"][0] == codes["terramesh"][8] == 255


def test_corine_has_the_same_classes_in_rasters_vectors_and_at_level_1():
    fine, coarse = (read_class_table(name).label_codes().codes for name in ("corine", "corine_level1"))
    levels = sorted(code for code in fine if 111 <= code <= 523)
    assert len(levels) == 44 == len(read_class_table("corine").classes) and set(fine) == set(coarse)
    for number, code in enumerate(levels, 1):
        assert fine[code] == fine[number] == number - 1
        assert coarse[code] == coarse[number] == code // 100 - 1  # the first digit is the level
