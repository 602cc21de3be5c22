"""What a user may get wrong, and what looks wrong and is not: clear words, exit code 2 and nothing left; or a map."""

import json
import os
import re
import shutil

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform
from shapely.geometry import LineString, Polygon, box, mapping

from tests.inference.command import HEIGHT, PLACE, WIDTH, checkpoint, left_in, noise, predict, sensors_in, write_sensors
from tests.inference.scene_files import DEGREES, LEFT, OTHER_UTM, TOP, TURNED, UTM, write


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with rgb.tif, sar.tif, dsm.tif and damaged, odd and misplaced relatives; only to be read."""
    folder = tmp_path_factory.mktemp("scene")
    write_sensors(folder)
    rng = np.random.default_rng(1)
    small = noise(rng, 3, 80, 90)
    write(folder / "far.tif", small, from_origin(LEFT + 90_000, TOP, 0.5, 0.5))
    write(folder / "nowhere.tif", small, PLACE, crs=None)
    write(folder / "two.tif", small[:2], PLACE)
    write(folder / "local.tif", small, PLACE, crs=CRS.from_wkt('LOCAL_CS["own",UNIT["metre",1]]'))
    write(folder / "pole.tif", small, from_origin(10, 90.001, 0.001, 0.001), crs=DEGREES)
    write(folder / "space.tif", small, from_origin(1e9, 1e9, 0.5, 0.5))
    corners = [GroundControlPoint(r, c, LEFT + c / 2, TOP - r / 2) for r in (0, 80) for c in (0, 90)]
    options = {"driver": "GTiff", "count": 3, "height": 80, "width": 90, "dtype": "uint8"}
    with rasterio.open(folder / "points.tif", "w", gcps=corners, crs=UTM, **options) as file:
        file.write(small)
    whole = (folder / "rgb.tif").read_bytes()
    (folder / "truncated.tif").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "mixed").mkdir()
    shutil.copy(folder / "rgb.tif", folder / "mixed/a.tif")
    write(folder / "mixed/b.tif", small[:1], from_origin(LEFT + 150, TOP, 0.5, 0.5))
    (folder / "no_files").mkdir()
    areas = {
        "no_features": [],
        "lines": [LineString([(LEFT, TOP), (LEFT + 30, TOP - 30)])],
        "outside": [box(LEFT - 100, TOP - 100, LEFT - 50, TOP - 50)],
    }
    for name, shapes in areas.items():
        write_area(folder / f"{name}.geojson", shapes)
    (folder / "broken.geojson").write_text('{"type": "FeatureCollection", "fea')
    model = torch.load(checkpoint(), weights_only=True)["model"]
    for name in [name for name in model if "class_embed" in name]:
        model[name] = model[name][:1]
    torch.save({"model": model}, folder / "other.pth")
    (folder / "truncated.pth").write_bytes(checkpoint().read_bytes()[:30_000])
    return folder


def write_area(path, shapes, crs="urn:ogc:def:crs:EPSG::32633"):
    about = {} if crs is None else {"crs": {"type": "name", "properties": {"name": crs}}}
    features = [{"type": "Feature", "properties": {}, "geometry": mapping(shape)} for shape in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **about}))


#: name -> arguments ({} is the scene's folder), options of `predict`, and what the message must say
RGB = ("--modality", "rgb={}/rgb.tif")
WRONG = {
    "sensors apart": (
        ("--modality", "rgb={}/far.tif", "--modality", "sar={}/sar.tif"),
        {},
        r"'rgb' and the map \(x 500000 to 500080, y 5799880 to 5800000 in EPSG:32633\) do not overlap.*rgb: x 590000 to 590045",
    ),
    "no CRS": (("--modality", "rgb={}/nowhere.tif"), {}, r"nowhere.tif does not say.*--assume-crs EPSG"),
    "CRS that is none": ((*RGB, "--crs", "mars"), {}, "the crs is 'mars'"),
    "CRS without a resolution": ((*RGB, "--crs", "EPSG:32632"), {}, "a map in EPSG:32632 takes a resolution, too"),
    "CRS of no map": (
        (*RGB, "--crs", "EPSG:4978", "--resolution", "0.5"),
        {},
        "EPSG:4978, expected a geographic or projected",
    ),
    "local CRS": (("--modality", "rgb={}/local.tif"), {}, "expected a geographic or projected coordinate system"),
    "beyond the pole": (("--modality", "rgb={}/pole.tif"), {}, r"y 89.921 to 90.001 in EPSG:4326\) has no place on Earth"),
    "off the Earth": (("--modality", "rgb={}/space.tif"), {}, "has no place on Earth"),
    "control points": (("--modality", "rgb={}/points.tif"), {}, "points.tif has ground control points.*gdalwarp"),
    "unknown sensor": (("--modality", "lidar={}/rgb.tif"), {}, r"unknown modality 'lidar'.*\['sar', 'rgb', 'dsm'\]"),
    "a sensor twice": ((*RGB, *RGB), {}, "names 'rgb' twice.*a folder or a glob"),
    "no name": (("--modality", "{}/rgb.tif"), {}, "expected NAME=FILES"),
    "no file": (("--modality", "rgb="), {}, "expected NAME=FILES"),
    "other bands": (("--modality", "rgb={}/two.tif"), {}, "two.tif has 2 bands, expected 3 for modality 'rgb'"),
    "other bands in one of many": (("--modality", "rgb={}/mixed"), {}, "b.tif has 1 band, expected 3"),
    "glob of nothing": (("--modality", "rgb={}/x*.tif"), {}, r"x\*.tif names no raster"),
    "folder of nothing": (("--modality", "rgb={}/no_files"), {}, "no_files names no raster"),
    "empty file": (("--modality", "rgb={}/empty.tif"), {}, "cannot read .*empty.tif"),
    "truncated file": (
        ("--modality", "rgb={}/truncated.tif"),
        {},
        "cannot read .*truncated.tif.*download or create it again",
    ),
    "reference that is not there": ((*RGB, "--reference", "sar"), {}, "the reference is 'sar', expected one of.*rgb"),
    "name of no format": (RGB, {"output": "map.shp"}, "expected a name that ends in .gpkg"),
    "label map of objects": (RGB, {"output": "map.tif"}, "expected a name that ends in .gpkg"),
    "objects of a label map": (RGB, {"task": "semantic"}, "expected a name that ends in .tif"),
    "weights of another config": (RGB, {"weights": "{}/other.pth"}, r"another shape: sem_seg_head.predictor.class_embed"),
    "weights of another task": (RGB, {"weights": "semantic"}, r"another shape: sem_seg_head.predictor.class_embed"),
    "truncated weights": (RGB, {"weights": "{}/truncated.pth"}, r"cannot read .*truncated.pth \(30000 bytes\)"),
    "no weights": (RGB, {"weights": "{}/nothing.pth"}, "no checkpoint .*nothing.pth.*MODEL.WEIGHTS"),
    "window 0": ((*RGB, "--window", "0"), {}, "the window is 0 px, expected 16 or more"),
    "window below 0": ((*RGB, "--window", "-5"), {}, "the window is -5 px"),
    "overlap too small": (
        (*RGB, "--overlap", "15"),
        {},
        r"the overlap is 15 px, expected from 16 \(a quarter of the window\) to 63",
    ),
    "overlap too large": ((*RGB, "--overlap", "64"), {}, "the overlap is 64 px, expected from 16"),
    "resolution of no number": ((*RGB, "--resolution", "nan"), {}, "the resolution is nan"),
    "resolution 0": ((*RGB, "--resolution", "0"), {}, "the resolution is 0,"),
    "resolution in another unit": (
        (*RGB, "--crs", "EPSG:4326", "--resolution", "0.5"),
        {},
        r"the resolution is 0.5 in EPSG:4326, about 4.3\de\+04 m.*pixels of 0.5 to 0.5 m",
    ),
    "tiny resolution": ((*RGB, "--resolution", "1e-9"), {}, "the resolution is 1e-09"),
    "bounds the wrong way round": ((*RGB, "--bounds", "500050", "5799900", "500010", "5799950"), {}, "LEFT < RIGHT"),
    "bounds of no size": ((*RGB, "--bounds", "500050", "5799900", "500050", "5799950"), {}, "LEFT < RIGHT"),
    "bounds outside": ((*RGB, "--bounds", "0", "0", "1", "1"), {}, r"holds no pixel of the map \(x 500000 to 500160"),
    "min-score 2": ((*RGB, "--min-score", "2"), {}, "the minimum score is 2, expected a score from 0 to 1"),
    "min-area of no number": ((*RGB, "--min-area", "nan"), {}, "min area is nan"),
    "batch of none": ((*RGB, "--batch-size", "0"), {}, "the batch size is 0"),
    "fewer than no processes": ((*RGB, "--num-workers", "-1"), {}, "the number of workers is -1"),
    "part of nothing": ((*RGB, "--shard", "3/2"), {}, "--shard is '3/2', expected I/N with I from 0"),
    "merge before all is done": ((*RGB, "--merge"), {}, "lacks 4 of 4 blocks.*run the missing --shard first"),
    "merge and shard": ((*RGB, "--merge", "--shard", "0/2"), {}, "leave out --shard"),
    "area without features": ((*RGB, "--aoi", "{}/no_features.geojson"), {}, "holds no polygon"),
    "area of lines": ((*RGB, "--aoi", "{}/lines.geojson"), {}, "holds no polygon"),
    "area outside": (
        (*RGB, "--aoi", "{}/outside.geojson"),
        {},
        r"x 499900 to 499950.*shares nothing with the map, which covers x 500000 to 500160.*EPSG:32633",
    ),
    "area that is no file": ((*RGB, "--aoi", "{}/nothing.gpkg"), {}, "no file '.*nothing.gpkg'"),
    "area that is no area": ((*RGB, "--aoi", "{}/broken.geojson"), {}, "area of interest .*broken.geojson: "),
    "area and bounds": ((*RGB, "--aoi", "{}/lines.geojson", "--bounds", "0", "0", "1", "1"), {}, "--bounds.*--aoi"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_said_and_leaves_nothing(scene, tmp_path, name):
    arguments, options, message = WRONG[name]
    output = tmp_path / options.get("output", "map.gpkg")
    output.write_text("an older map")
    weights = options.get("weights")
    weights = checkpoint("semantic") if weights == "semantic" else weights and weights.format(scene)
    given = [argument.format(scene) for argument in arguments]
    done = predict(output, *given, task=options.get("task", "instance"), weights=weights)
    assert done.code == 2
    last = done.warned.splitlines()[-1]
    assert "error: " in last and "Traceback" not in done.warned
    assert re.search(message.replace("{}", str(scene)), last), last
    assert left_in(tmp_path) == [output.name] and output.read_text() == "an older map"


def test_an_output_that_is_a_folder_is_refused_before_anything_is_computed(scene, tmp_path):
    (tmp_path / "map.gpkg").mkdir()
    done = predict(tmp_path / "map.gpkg", *sensors_in(scene, ["rgb"]))
    assert done.code == 2 and "folder" in done.warned.splitlines()[-1] and "windows" not in done.said
    assert left_in(tmp_path) == ["map.gpkg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named(scene, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = predict(tmp_path / "locked/map.gpkg", *sensors_in(scene, ["rgb"]))
    assert done.code == 2 and "locked" in done.warned.splitlines()[-1]


@pytest.mark.parametrize("place, reason", [("rgb.tif/map.gpkg", "Not a directory"), ("/proc/map.gpkg", "No such file or")])
def test_a_place_where_nothing_can_be_made_is_said_in_words(scene, place, reason):
    done = predict(scene / place, *sensors_in(scene, ["rgb"]))
    assert done.code == 2 and "Errno" not in done.warned
    assert f"map.gpkg.parts is needed for the run and cannot be made: {reason}" in done.warned.splitlines()[-1]


@pytest.mark.parametrize("task, output", [("instance", "map.gpkg"), ("semantic", "map.tif")])
def test_a_scene_without_any_data_is_an_empty_map_and_said(tmp_path, task, output):
    write(tmp_path / "rgb.tif", np.zeros((3, 50, 40), np.uint8), PLACE, nodata=0)
    arguments = sensors_in(tmp_path, ["rgb"])
    empty = predict(tmp_path / output, *arguments, "--shard", "1/2", task=task)
    assert empty.code == 0 and "1 window of 64 px in 1 block." in empty.said and "computed" not in empty.said
    assert "Part 1 of 2 is empty: the map has only 1 block" in empty.said and "valid pixel" not in empty.warned
    done = predict(tmp_path / output, *arguments, "--shard", "0/2", task=task)
    assert done.code == 0 and "No sensor has a valid pixel in any of the 1 window looked at" in done.warned
    done = predict(tmp_path / output, *arguments, "--merge", task=task)
    assert done.code == 0, done.warned
    if task == "instance":
        assert pyogrio.read_info(tmp_path / output)["features"] == 0 and "map.gpkg: 0 objects." in done.said
    else:
        with rasterio.open(tmp_path / output) as file:
            assert (file.read(1) == 255).all()


def test_decibels_are_refused_where_the_model_takes_power(tmp_path, rng):
    write(tmp_path / "sar.tif", rng.normal(-12, 4, (1, 50, 40)).astype(np.float32), PLACE)
    done = predict(tmp_path / "map.gpkg", *sensors_in(tmp_path, ["sar"]))
    assert done.code == 2 and "these look like decibels" in done.warned.splitlines()[-1] and left_in(tmp_path) == []


def test_a_missing_output_folder_is_made_and_names_may_be_odd(scene, tmp_path):
    odd = tmp_path / "has space=and sign"
    odd.mkdir()
    shutil.copy(scene / "rgb.tif", odd / "r g=b.tif")
    output = odd / "a/b=c/o ut.gpkg"
    assert predict(output, "--modality", f"rgb={odd / 'r g=b.tif'}").code == 0
    assert "MODEL.WEIGHTS" in output.with_name("o ut.gpkg.log.txt").read_text()
    assert pyogrio.read_info(output)["features"] == 0 and left_in(output.parent) == ["o ut.gpkg", "o ut.gpkg.log.txt"]


def read_shapes(path):
    meta, _, geometry, columns = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(geometry), dict(zip(meta["fields"], columns))


BESSEL = CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=15.5 +k=0.9999 +x_0=500000 +ellps=bessel +units=m")
#: name -> crs and transform of rgb.tif
PLACES = {
    "turned": (UTM, TURNED),
    "south up": (UTM, Affine(0.5, 0, LEFT, 0, 0.5, TOP - 50)),
    "CRS without a code": (BESSEL, from_origin(470_000, 5_800_000, 0.5, 0.5)),
    "degrees": (DEGREES, from_origin(15.0, 52.0, 7e-6, 5e-6)),
    "across 180 degrees": (DEGREES, from_origin(179.9998, -17.0, 5e-6, 5e-6)),
}


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
@pytest.mark.parametrize("place", PLACES)
def test_any_georeference_makes_a_map_in_its_place(tmp_path, rng, place, suffix):
    crs, transform_ = PLACES[place]
    write(tmp_path / "rgb.tif", noise(rng, 3, 100, 120), transform_, crs=crs)
    done = predict(tmp_path / f"map{suffix}", *sensors_in(tmp_path, ["rgb"]), "--min-score", "0")
    assert done.code == 0, done.warned
    meta, shapes, columns = read_shapes(tmp_path / f"map{suffix}")
    assert len(shapes) and shapely.is_valid(shapes).all() and left_in(tmp_path) == [f"map{suffix}", f"map{suffix}.log.txt"]
    outline = shapely.Polygon([transform_ * corner for corner in ((0, 0), (120, 0), (120, 100), (0, 100))])
    if suffix == ".gpkg":
        assert CRS.from_user_input(meta["crs"]) == crs and shapely.buffer(outline, 1e-3).contains(shapes).all()
        pixels = 100 * 120 * (0.25 if crs != DEGREES and place != "turned" else 1.0)
        if place in ("south up", "CRS without a code", "turned"):
            assert columns["area_m2"].max() <= pixels and columns["area_m2"] == pytest.approx(shapely.area(shapes), abs=1e-3)
    else:  # RFC 7946: WGS 84, cut at 180 degrees
        assert CRS.from_user_input(meta["crs"]) == DEGREES
        assert (np.abs(shapely.bounds(shapes)[:, [0, 2]]) <= 180).all()


@pytest.mark.parametrize("height, width", [(20, 30), (50, 1), (1, 50), (1, 1)])
@pytest.mark.parametrize("task, output", [("instance", "map.gpkg"), ("semantic", "map.tif")])
def test_a_scene_smaller_than_a_window_is_a_map_of_its_size(tmp_path, rng, height, width, task, output):
    write(tmp_path / "rgb.tif", noise(rng, 3, height, width), PLACE)
    done = predict(tmp_path / output, *sensors_in(tmp_path, ["rgb"]), "--min-score", "0", task=task)
    assert done.code == 0, done.warned
    if task == "instance":
        _, shapes, columns = read_shapes(tmp_path / output)
        inside = shapely.box(LEFT, TOP - height / 2, LEFT + width / 2, TOP)
        assert len(shapes) and shapely.covers(inside, shapes).all() and columns["cut"].all()
    else:
        with rasterio.open(tmp_path / output) as file:
            assert file.shape == (height, width) and (file.read(1) < 2).all()


def test_any_kind_of_number_and_scale_is_read(scene, tmp_path, rng):
    heights = (rng.random((1, 100, 120)) * 1000).astype(np.int16)
    with rasterio.open(write(tmp_path / "dsm.tif", heights, PLACE), "r+") as file:
        file.scales, file.offsets = [0.01], [1.0]
    echoes = (rng.random((1, 100, 120)) + 1j * rng.random((1, 100, 120))).astype(np.complex64)
    write(tmp_path / "sar.tif", echoes, PLACE)
    integers = predict(tmp_path / "a.geojson", *sensors_in(tmp_path, ["dsm", "sar"]), "--min-score", "0")
    assert integers.code == 0, integers.warned
    write(tmp_path / "dsm.tif", heights * np.float64(0.01) + 1.0, PLACE)
    write(tmp_path / "sar.tif", echoes.real**2 + echoes.imag**2, PLACE)
    assert predict(tmp_path / "b.geojson", *sensors_in(tmp_path, ["dsm", "sar"]), "--min-score", "0").code == 0
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_files_of_two_systems_are_one_sensor(scene, tmp_path, rng):
    (x,), (y,) = transform(UTM, OTHER_UTM, [LEFT + 155], [TOP])
    shutil.copy(scene / "rgb.tif", tmp_path / "a.tif")
    write(tmp_path / "b.tif", noise(rng, 3, 100, 120), from_origin(x, y, 0.5, 0.5), crs=OTHER_UTM)
    done = predict(tmp_path / "map.gpkg", "--modality", f"rgb={tmp_path}/?.tif", "--min-score", "0")
    assert done.code == 0 and pyogrio.read_info(tmp_path / "map.gpkg")["total_bounds"][2] > LEFT + WIDTH / 2


def test_of_equally_fine_sensors_the_map_has_the_extent_of_the_largest(scene, tmp_path):
    done = predict(tmp_path / "map.gpkg", *sensors_in(scene), "--dry-run")
    assert done.code == 0 and f"{WIDTH} x {HEIGHT} px" in done.said
    assert "sar: 1 file" in done.said and "It takes about" in done.said
    assert left_in(tmp_path) == []


def test_of_files_of_one_sensor_the_finest_has_the_pixels_of_the_map(scene, tmp_path, rng):
    write(tmp_path / "rgb/a.tif", noise(rng, 3, 20, 20), from_origin(LEFT, TOP, 4, 4))
    write(tmp_path / "rgb/b.tif", noise(rng, 3, 80, 80), from_origin(LEFT, TOP, 0.5, 0.5))
    write(tmp_path / "rgb/map.importance.tif", noise(rng, 3, 400, 400), from_origin(LEFT, TOP, 0.1, 0.1))
    done = predict(tmp_path / "map.gpkg", "--modality", f"rgb={tmp_path / 'rgb'}", "--dry-run")
    assert done.code == 0 and "160 x 160 px" in done.said and "rgb: 2 files" in done.said


def test_the_area_is_never_written_over(scene, tmp_path):
    area = tmp_path / "area.geojson"
    write_area(area, [box(LEFT, TOP - 40, LEFT + 40, TOP)])
    before = area.read_bytes()
    done = predict(area, "--modality", f"rgb={scene}/rgb.tif", "--aoi", str(area))
    assert done.code == 2 and "area.geojson would be written, and the map is made from it" in done.warned
    assert area.read_bytes() == before and left_in(tmp_path) == ["area.geojson"]


def test_as_many_objects_as_the_model_can_find_are_warned_of_with_window_and_cure(scene, tmp_path):
    done = predict(tmp_path / "map.gpkg", *sensors_in(scene, ["rgb"]), "--min-score", "0")
    warning, number = [line for line in done.warned.splitlines() if "can find" in line]
    assert "The window at row 0, column 0 has 5 objects" in warning
    assert "smaller window" in warning and "NUM_OBJECT_QUERIES 5" in warning
    assert re.search(r"\d\d windows had as many objects as the model can find", number)


@pytest.mark.parametrize("system", ["of the map", "degrees", "all of the world", "crossing itself"])
def test_an_area_keeps_what_touches_it(scene, tmp_path, system):
    wanted = box(LEFT + 20, TOP - 60, LEFT + 60, TOP - 20)
    if system == "crossing itself":
        corners = [(LEFT + 20, TOP - 20), (LEFT + 60, TOP - 60), (LEFT + 60, TOP - 20), (LEFT + 20, TOP - 60)]
        write_area(tmp_path / "area.geojson", [Polygon(corners)])
    elif system == "degrees":
        xs, ys = transform(UTM, DEGREES, *(side.tolist() for side in np.array(wanted.exterior.coords).T))
        write_area(tmp_path / "area.geojson", [Polygon(zip(xs, ys))], crs=None)
    elif system == "all of the world":
        wanted = box(LEFT, TOP - HEIGHT / 2, LEFT + WIDTH / 2, TOP)
        write_area(tmp_path / "area.geojson", [box(-180, -90, 180, 90)], crs=None)
    else:
        write_area(tmp_path / "area.geojson", [wanted])
    aoi = ("--aoi", tmp_path / "area.geojson")
    done = predict(tmp_path / "map.tif", *sensors_in(scene, ["rgb"]), *aoi, task="semantic")
    assert done.code == 0, done.warned
    with rasterio.open(tmp_path / "map.tif") as file:
        labels = file.read(1)
        left, bottom, right, top = file.bounds
        assert abs(left - wanted.bounds[0]) <= 0.5 and abs(top - wanted.bounds[3]) <= 0.5
        half = 0.5 if system == "crossing itself" else 1.0
        assert (labels < 255).mean() == pytest.approx(half, abs=0.03)
        assert (right - left) * (top - bottom) == pytest.approx(wanted.area, rel=0.03)
