"""What `imrsf predict` writes beside a map, from a model as it is trained."""

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from detectron2.modeling import build_model
from matplotlib.image import imread
from rasterio.transform import from_origin

from imrsf_d2.commands.predict import main
from imrsf_d2.engine.configuration import load_config
from tests.browser import Opened, start_browser
from tests.tiny import DEMO_CONFIGS, OVERRIDES

HEIGHT, WIDTH = 90, 150
PLACE = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_800_000, 0.5, 0.5)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from tests.raster_files import write_raster_file

    folder, rng = tmp_path_factory.mktemp("scene"), np.random.default_rng(0)
    write_raster_file(folder / "rgb.tif", rng.integers(1, 255, (3, HEIGHT, WIDTH)).astype(np.uint8), **PLACE)
    write_raster_file(folder / "sar.tif", rng.random((HEIGHT, WIDTH // 2)).astype(np.float32) + 0.1, **PLACE)
    return ["--reference", "rgb", "--modality", f"rgb={folder / 'rgb.tif'}", "--modality", f"sar={folder / 'sar.tif'}"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a random model for each task."""
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for task in ("instance", "semantic"):
        torch.manual_seed(0)
        paths[task] = folder / f"{task}.pth"
        model = build_model(load_config(DEMO_CONFIGS[task], [*OVERRIDES, "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder)]))
        torch.save({"model": model.state_dict()}, paths[task])
    return paths


def predict(task, weights, files, output, *options, opts=()):
    overrides = [*OVERRIDES, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(weights[task]), *opts]
    arguments = ["--config-file", str(DEMO_CONFIGS[task]), *files, "--output", str(output), "--min-score", "0", *options]
    return main([*arguments, *overrides])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def weights_of_sensors(path):
    with rasterio.open(path) as file:
        bands = dict(zip(file.descriptions, file.read()))
        assert set(bands) == {"sar", "rgb", "dsm"}
        # Half of the scene has no radar; nothing has heights.
        middle = WIDTH // 2 * file.width // WIDTH
    known = [name for name in bands if not np.isnan(bands[name]).all()]
    assert sorted(known) == ["rgb", "sar"] and not np.isnan(bands["sar"][:, : middle - 2]).any()
    assert np.isnan(bands["sar"][:, middle + 4 :]).all() and not np.isnan(bands["rgb"]).any()
    np.testing.assert_allclose(np.nansum(list(bands.values()), axis=0), 1, rtol=1e-5)
    return bands


@pytest.fixture(scope="module")
def buildings(tmp_path_factory, weights, files):
    """A map of objects, with all that comes with it."""
    path = tmp_path_factory.mktemp("objects") / "buildings.gpkg"
    assert predict("instance", weights, files, path, "--importance", "--png", "--html") == 0
    return path


@pytest.fixture(scope="module")
def cover(tmp_path_factory, weights, files):
    """A label map, with all that comes with it."""
    path = tmp_path_factory.mktemp("labels") / "cover.tif"
    assert predict("semantic", weights, files, path, "--importance", "--png", "--html", "--probabilities") == 0
    return path


def test_objects_with_importance_a_picture_and_a_page(buildings):
    ends = ["", ".html", ".importance.tif", ".log.txt", ".png"]
    assert names(buildings.parent) == [f"buildings.gpkg{end}" for end in ends]
    assert pyogrio.read_info(buildings)["fields"][0] == "id"
    bands = weights_of_sensors(buildings.with_name("buildings.gpkg.importance.tif"))
    assert 0 < bands["rgb"].min() < bands["rgb"].max() == 1
    assert min(imread(buildings.with_name("buildings.gpkg.png")).shape[:2]) > 300


def test_a_label_map_with_everything(cover):
    ends = ["", ".aux.xml", ".html", ".importance.tif", ".log.txt", ".png", ".probabilities.tif"]
    assert names(cover.parent) == [f"cover.tif{end}" for end in ends]
    weights_of_sensors(cover.with_name("cover.tif.importance.tif"))
    with rasterio.open(cover) as labels, rasterio.open(cover.with_name("cover.tif.probabilities.tif")) as file:
        np.testing.assert_array_equal(file.read().argmax(axis=0), labels.read(1))
        assert file.descriptions == tuple(labels.tags(1)[f"CLASS_{i}"] for i in range(file.count))
    assert min(imread(cover.with_name("cover.tif.png")).shape[:2]) > 300


def test_the_pages_show_what_the_maps_hold(buildings, cover):
    _, _, shapes, columns = pyogrio.raw.read(buildings)
    number, classes, scores = (
        columns[list(pyogrio.read_info(buildings)["fields"]).index(name)] for name in ("id", "class", "score")
    )
    with rasterio.open(cover) as file:
        labels, words = file.read(1), file.tags(1)
    shares = np.bincount(labels[labels != 255]) / (labels != 255).sum()
    with start_browser() as browser:
        opened = Opened(browser, buildings.with_name("buildings.gpkg.html"))
        page = opened.page
        assert (
            page.locator("h1").inner_text() == "buildings.gpkg" and page.locator("#objects path").count() == len(shapes) > 0
        )
        for place in range(min(3, len(shapes))):
            page.locator("#next").click()
            cells = page.locator("#about td").all_inner_texts()
            assert cells[:3] == [str(number[place]), classes[place], f"{scores[place]:.3f}"]
        opened.close()
        opened = Opened(browser, cover.with_name("cover.tif.html"))
        shown = opened.page.locator("#key li").all_text_contents()
        assert shown == [f"{words[f'CLASS_{i}']} {share:.1%}" for i, share in enumerate(shares) if share]
        opened.close()


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(tmp_path, weights, files, caplog):
    (tmp_path / "cover.tif.png").write_text("old")
    options = ("--dry-run", "--importance", "--png", "--html", "--probabilities")
    with caplog.at_level("INFO"):
        assert predict("semantic", weights, files, tmp_path / "cover.tif", *options) == 0
    said = " ".join(record.getMessage() for record in caplog.records)
    for name in (
        "cover.tif.",
        "cover.tif.probabilities.tif.",
        "cover.tif.importance.tif.",
        "cover.tif.png, in place of the one there.",
        "cover.tif.html.",
    ):
        assert f"Would write {tmp_path / name}" in said
    assert names(tmp_path) == ["cover.tif.png"] and (tmp_path / "cover.tif.png").read_text() == "old"


@pytest.mark.parametrize(
    "task, option, opts, message",
    [
        ("instance", "--importance", ("MODEL.IMRSF.GATHER", "mean"), "MODEL.IMRSF.GATHER is 'mean'"),
        ("instance", "--probabilities", (), "probabilities are those of a label map"),
    ],
)
def test_what_a_model_does_not_have_is_refused_before_anything_is_computed(
    tmp_path, weights, files, capsys, task, option, opts, message
):
    assert predict(task, weights, files, tmp_path / "buildings.gpkg", option, opts=opts) == 2
    assert message in capsys.readouterr().err and names(tmp_path) == []
