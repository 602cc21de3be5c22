"""report.html: what is written, and what a real browser makes of it."""

import itertools
import json
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from imrsf_d2.commands import statistics
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.per_image import InstanceImages, SemanticImages
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.sweep_data import sweep_json
from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.visualization.pages.sweep_page import SENSOR_COLORS, _readable_on, sweep_page
from imrsf_d2.visualization.pages.takeaways import takeaways
from imrsf_d2.visualization.pages.tiles import encode_tiles, no_tiles
from tests.browser import Opened, page_data, start_browser
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, OVERRIDES

EVIL = "</script><b>&\"'`{{"
COMMAND = "python tools/evaluate_modalities.py --output 'a & b' \"<c>\""


def write(folder, cfg, model_of, leave_out=(), change=lambda tiles: None):
    """Sweep, and write the page and the JSON; returns the page's path, the JSON and the tiles."""
    (dataset,) = cfg.DATASETS.TEST
    names = ModalitySet.from_config(cfg).names
    subsets = [subset for subset in ModalitySet.from_config(cfg).subsets() if subset not in leave_out]
    model, record = model_of(cfg, dataset), SweepRecord(folder / "record")
    rows = sweep_subsets(cfg, model, dataset, subsets, record=record)
    images = {subset: record.images(subset) for subset in subsets}
    summary = summarize(names, rows, images, MetadataCatalog.get(dataset).get("stuff_classes", ()), 20)
    tiles = encode_tiles(cfg, model, dataset, DatasetCatalog.get(dataset), subsets)
    change(tiles)
    path = folder / "report.html"
    path.write_text(sweep_page(rows, summary, images, tiles, dataset, COMMAND, ["Data: <synthetic>"]), encoding="utf-8")
    return path, json.loads(sweep_json(dataset, "weights", rows, summary)), tiles


@pytest.fixture(scope="module")
def written(tiny_root, tmp_path_factory):
    """Of objects that only DSM finds, with one subset missing and ugly names; of land cover, by a model with Bi-LSTM attention; of
    segments that are found where S2 has data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(tiny_root))

        def rename(tiles):
            tiles["classes"][0] = tiles["tiles"][0]["name"] = EVIL

        objects, cover = (load_config(DEMO_CONFIGS[task], OVERRIDES) for task in ("instance", "lulc"))
        seeing = write(tmp_path_factory.mktemp("i"), objects, lambda cfg, d: Oracle(cfg, d, "dsm"), [("sar", "rgb")], rename)
        listening = write(tmp_path_factory.mktemp("l"), cover, lambda cfg, _: build_model(cfg).eval())
        root = tmp_path_factory.mktemp("p")
        write_layout("panoptic", root / "data", num_train=2, num_val=6, size=64, seed=1, num_workers=1)
        assert statistics.main(["--data", str(root / "data"), "--write", "--num-workers", "1"]) == 0
        splits = [f"('{root}/data/dataset.yaml:{split}',)" for split in ("train", "val")]
        both = load_config("demo/panoptic", [*OVERRIDES, "DATASETS.TRAIN", splits[0], "DATASETS.TEST", splits[1]])
        segments = write(root, both, lambda cfg, d: Oracle(cfg, d, "s2"))
    return {"instance": seeing, "lulc": listening, "panoptic": segments}


def percent(value):
    return "n/a" if value is None else re.sub(r"^-(0\.0+)$", r"\1", f"{value / 100:.3f}")


def test_the_page_is_one_file_that_escapes_what_it_shows(written):
    text = written["instance"][0].read_text(encoding="utf-8")
    assert EVIL not in text and "&lt;/script&gt;" in text and "&lt;synthetic&gt;" in text
    assert not re.search(r'(src|href)="(?!#|data:)|url\(|@import|https?://(?!www\.w3\.org/2000/svg)', text)
    data = page_data(written["instance"][0])
    assert data["names"] == [EVIL] and data["tiles"][0]["name"] == EVIL


def test_a_tile_has_its_own_scores(written):
    """The oracle sees by DSM alone: a tile scores all or nothing."""
    data = page_data(written["instance"][0])
    for tile in data["tiles"]:
        assert tile["scores"] == pytest.approx({label: 100 if "dsm" in label else 0 for label in data["subsets"]})


def test_it_says_what_the_scores_say():
    rows = [
        {"modalities": list(subset), "results": {"segm": {"AP50": score}}, "images": 1, "seconds": 1}
        for subset, score in {"ab": 80.0, "a": 60.0, "b": 10.0}.items()
    ]
    images = InstanceImages((1,), np.ones((1, 1)), *np.zeros((4, 0), dtype=int))
    summary = summarize(("a", "b"), rows, {tuple(row["modalities"]): images for row in rows}, (), 0)
    tiles = [{"scores": {"a+b": 50, "a": 20, "b": 10}}, {"scores": {"a+b": 50, "a": 20, "b": 30}}, {"scores": {"a+b": None}}]
    assert takeaways(rows, summary, tiles) == [
        "On this tile, A is worth most: 0.65 of the 0.80 AP50 (Shapley value).",
        "Without A the AP50 falls by 0.70. Without B the AP50 falls by 0.20.",
        "A alone keeps 75% of the score of all sensors.",
        "Of the 3 tiles below, the sensor that matters most is A on 1, B on 1.",
        "1 tile is too few for intervals: of other tiles this may not hold.",
    ]


def summary_of(shares, resamples=100):
    """Of sensors a and b, and label maps of twenty tiles of which these shares are right: {subset: [shares of the tiles]}."""
    right = {tuple(subset): np.round(100 * np.asarray(own)).astype(int) for subset, own in shares.items()}
    images = {
        subset: SemanticImages(tuple(range(20)), np.stack([[[n, 100 - n], [100 - n, n]] for n in own]))
        for subset, own in right.items()
    }
    rows = [
        {
            "modalities": list(subset),
            "results": {"sem_seg": {"mIoU": own.scores(np.ones((1, 20), int))[0]}},
            "images": 20,
            "seconds": 1,
        }
        for subset, own in images.items()
    ]
    return rows, summarize(("a", "b"), rows, images, ("x", "y"), resamples)


@pytest.mark.parametrize(
    "without_a, without_b, said",
    [
        (84.0, 81.7, "Without B the AP50 rises by 0.02. Without A the AP50 rises by 0.04."),  # neither is a loss
        (80.0, 84.0, "Without A the AP50 hardly changes. Without B the AP50 rises by 0.04."),
        (80.1, 79.9, "Any one sensor can be missing: the AP50 stays within 0.00."),
    ],
)
def test_a_sensor_that_only_disturbs_is_said_to_do_so(without_a, without_b, said):
    rows = [
        {"modalities": list(subset), "results": {"segm": {"AP50": score}}, "images": 1, "seconds": 1}
        for subset, score in {"ab": 80.0, "a": without_b, "b": without_a}.items()
    ]
    images = InstanceImages((1,), np.ones((1, 1)), *np.zeros((4, 0), dtype=int))
    summary = summarize(("a", "b"), rows, {tuple(row["modalities"]): images for row in rows}, (), 0)
    assert said in " ".join(takeaways(rows, summary, []))


def test_what_lies_within_an_interval_is_said_to_be_unclear(rng):
    noise = rng.uniform(-0.2, 0.2, 20)  # larger than the difference of a and b
    rows, summary = summary_of({"ab": np.full(20, 0.9), "a": 0.7 + noise, "b": 0.69 - noise})
    first, second, third, *rest = takeaways(rows, summary, [])
    assert re.match(r"Which sensor is worth most is unclear: [AB] 0\.\d\d \(95% interval 0\.\d\d to 0\.\d\d\), [AB] ", first)
    assert re.match(r"Without [AB] the mIoU falls by 0\.\d\d \(95% interval 0\.\d\d to 0\.\d\d\)\. Without", second)
    assert third.startswith("Which sensor keeps most alone is unclear: ") and not rest
    # One is better on every tile, however far their own intervals reach into one another.
    rows, summary = summary_of({"ab": 0.8 + noise, "a": np.full(20, 0.72), "b": np.full(20, 0.7)})
    assert summary.shapley["b"].high > summary.shapley["a"].low
    assert takeaways(rows, summary, [])[0].startswith("A is worth most: ")
    assert summary.leads["b"].value == pytest.approx(summary.shapley["a"].value - summary.shapley["b"].value)
    assert summary.retention["b",].high > summary.retention["a",].low
    assert re.match(r"A alone keeps \d\d% of the score of all sensors \(95% interval ", takeaways(rows, summary, [])[2])
    retained = [summary.retention[name,].value for name in "ab"]
    assert summary.alone_leads["b"].value == pytest.approx(retained[0] - retained[1])
    # A gain that some resamples turn into a loss, and no resamples at all.
    rows, summary = summary_of({"ab": 0.8 + noise, "a": np.full(20, 0.79), "b": np.full(20, 0.6)})
    assert "Whether the mIoU falls without B is unclear: by " in takeaways(rows, summary, [])[1]
    rows, summary = summary_of({"ab": 0.8 + noise, "a": np.full(20, 0.79), "b": np.full(20, 0.6)}, resamples=0)
    assert takeaways(rows, summary, [])[-1].startswith("There are no intervals (--resamples 0)")


def test_scores_of_a_page_without_tiles_and_with_many_sensors_need_no_more(written):
    """A task that cannot be drawn, and more subsets than have bars."""
    names = tuple("abcdef")
    subsets = [names, ("a",), ("b", "c")]
    images = InstanceImages((1,), np.ones((1, 1)), *np.zeros((4, 0), dtype=int))
    rows = [{"modalities": list(s), "results": {"segm": {"AP50": 0.0}}, "images": 1, "seconds": 1} for s in subsets]
    by_subset = dict.fromkeys(subsets, images)
    text = sweep_page(rows, summarize(names, rows, by_subset, (), 0), by_subset, no_tiles(1), "some", "run", [])
    assert "shows no tiles" in text and "60 of the 63 subsets were not evaluated" in text


def luminance(color):
    """Relative luminance as of WCAG 2."""
    parts = np.frombuffer(bytes.fromhex(color[1:]), np.uint8) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("color", SENSOR_COLORS)
def test_names_on_the_colors_of_sensors_have_the_contrast_that_wcag_asks_for(color):
    low, high = sorted([luminance(color), luminance(_readable_on(color))])
    assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.fixture(scope="module")
def browser():
    with start_browser() as started:
        yield started


@pytest.mark.parametrize("task", ["instance", "lulc", "panoptic"])
def test_every_subset_can_be_chosen_and_has_the_numbers_of_the_json(browser, written, task):
    path, expected, _ = written[task]
    opened = Opened(browser, path)
    page, summary = opened.page, expected["summary"]
    names = summary["names"]
    complete = summary["scores"][subset_label(names)]["value"]
    for subset in itertools.product([True, False], repeat=len(names)):
        chosen = [name for name, on in zip(names, subset) if on]
        for name, on in zip(names, subset):
            page.locator(f"#sensors input[value={name}]").set_checked(on)
        label = subset_label(chosen)
        pressed = page.locator("#bars [aria-pressed=true]").evaluate_all("bars => bars.map(bar => bar.dataset.subset)")
        assert pressed == ([label] if chosen else [])
        score = summary["scores"].get(label)
        assert page.locator("#missing").is_visible() == bool(chosen and not score)
        if not chosen:
            assert summary["blind"] in page.locator("#interval").inner_text()
        elif score:
            assert page.locator("#score").inner_text() == percent(score["value"])
            assert page.locator(f"#bars [data-subset='{label}'] .value").inner_text() == percent(score["value"])
            ends = re.findall(r"\d\.\d+", page.locator("#interval").inner_text())
            assert ends == [percent(score[end]) for end in ("low", "high") if score[end] is not None]
            if label != subset_label(names):
                distance = page.locator("#distance").inner_text().replace("−", "-").replace("±", "")
                assert float(distance) == pytest.approx((score["value"] - complete) / 100, abs=6e-4)
        else:
            assert page.locator("#score").inner_text() == "not evaluated"
            assert page.locator("#command").inner_text() == COMMAND
    for name, value in summary["shapley"].items():
        assert page.locator(f"[data-shapley={name}] b").inner_text() == percent(value["value"])
    opened.close()


def test_objects_of_a_tile_follow_the_sensors_and_the_least_score(browser, written):
    path, _, tiles = written["instance"]
    opened = Opened(browser, path, viewport={"width": 390, "height": 800}, color_scheme="dark")
    page, card = opened.page, opened.page.locator(f'article[aria-label="tile {tiles["tiles"][1]["name"]}"]')
    objects = len(tiles["tiles"][1]["truth"]["items"])
    assert page.evaluate("document.documentElement.scrollWidth") == 390  # nothing reaches beyond a phone
    found, lost = card.locator("path.found"), card.locator("path.lost")
    assert (found.count(), lost.count()) == (objects, 0)
    page.locator("#sensors input[value=dsm]").uncheck()
    page.locator("#sensors input[value=sar]").uncheck()  # left: RGB, which sees nothing
    assert (found.count(), lost.count()) == (0, objects)
    assert card.locator(".panel[data-state=off]").count() == 2
    page.locator("#bars [data-subset=dsm]").click()
    assert page.locator("#sensors input:checked").evaluate_all("boxes => boxes.map(box => box.value)") == ["dsm"]
    prediction = card.locator("[role=img]").nth(1)
    prediction.focus()
    page.keyboard.press("ArrowRight")
    assert "score 1.00, right" in page.locator("#tip").inner_text()
    assert page.locator("#spoken").inner_text().startswith(f"1 of {objects}: ")
    assert page.locator("h3").evaluate_all("all => all.map(one => one.textContent)").count(EVIL) == 1
    opened.close()


def test_label_maps_are_read_where_one_points_and_show_where_the_model_listened(browser, written):
    path, expected, tiles = written["lulc"]
    opened = Opened(browser, path)
    page, tile = opened.page, tiles["tiles"][0]
    panel = page.locator(f'article[aria-label="tile {tile["name"]}"] [role=img]').nth(1)
    panel.scroll_into_view_if_needed()
    panel.hover()
    text = page.locator("#tip").inner_text()
    assert re.search(r"predicted: (.+)\nscore \d\.\d\d\nground truth: ", text).group(1) in tiles["classes"]
    page.locator("#beta").check()
    panel.hover(position={"x": 5, "y": 5})
    page.wait_for_function("document.getElementById('tip').textContent.includes('listened to')")
    shares = re.findall(r"(\w+) (\d+)%", page.locator("#tip").inner_text().split("listened to")[1])
    assert [name.lower() for name, _ in shares] == expected["summary"]["names"]
    assert sum(int(share) for _, share in shares) == pytest.approx(100, abs=2)
    rows = page.locator("#class-rows tr")
    assert rows.count() == len(tiles["classes"])
    opened.close()


def test_segments_of_a_tile_are_told_and_counted(browser, written):
    """The oracle tells what S2 shows: behind clouds, a segment is found as long as most of it is seen."""
    path, _, tiles = written["panoptic"]
    opened = Opened(browser, path)
    page, counts = opened.page, []
    page.locator("#bars [data-subset=s2]").click()
    for tile in tiles["tiles"]:
        prediction = page.locator(f'article[aria-label="tile {tile["name"]}"] figure').nth(1)
        items = tile["predictions"]["s2"]["items"]
        right, wrong = sum(item["m"] not in (None, -1) for item in items), sum(item["m"] == -1 for item in items)
        missed = len(tile["truth"]["items"]) - right
        assert prediction.locator("figcaption").inner_text() == f"prediction: {right} right, {wrong} wrong, {missed} missed"
        assert prediction.locator("path:not(.lost)").count() == right + wrong
        counts.append((right, wrong, missed))
        prediction.locator("[role=img]").focus()
        for item in items[:2]:
            page.keyboard.press("ArrowRight")
            judged = "wrong: no true one matches" if item["m"] == -1 else "right"
            assert page.locator("#tip").inner_text().splitlines()[:2] == [tiles["classes"][item["c"]], judged]
    assert all(map(any, zip(*counts)))
    opened.close()
