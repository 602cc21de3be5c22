"""report.html: what is written, and what a real browser makes of it."""

import itertools
import json
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.sweep_data import sweep_json
from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.visualization.pages.sweep_page import sweep_page
from imrsf_d2.visualization.pages.takeaways import takeaways
from imrsf_d2.visualization.pages.tiles import encode_tiles, no_tiles
from tests.browser import Opened, start_browser
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, OVERRIDES

EVIL = "</script><b>&\"'`{{"
COMMAND = "python tools/evaluate_modalities.py --output 'a & b' \"<c>\""


def write(folder, task, model_of, leave_out=(), change=lambda tiles: None):
    """Sweep, and write the page and the JSON; returns the page's path, the JSON and the tiles."""
    cfg = load_config(DEMO_CONFIGS[task], OVERRIDES)
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
    """Of objects that only DSM finds, with one subset missing and ugly names; of land cover, by a model with Bi-LSTM attention."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(tiny_root))

        def rename(tiles):
            tiles["classes"][0] = tiles["tiles"][0]["name"] = EVIL

        seeing = write(
            tmp_path_factory.mktemp("i"), "instance", lambda cfg, d: Oracle(cfg, d, "dsm"), [("sar", "rgb")], rename
        )
        listening = write(tmp_path_factory.mktemp("l"), "lulc", lambda cfg, _: build_model(cfg).eval())
    return {"instance": seeing, "lulc": listening}


def percent(value):
    return "n/a" if value is None else re.sub(r"^-(0\.0+)$", r"\1", f"{value / 100:.3f}")


def test_the_page_is_one_file_that_escapes_what_it_shows(written):
    text = written["instance"][0].read_text(encoding="utf-8")
    assert EVIL not in text and "&lt;/script&gt;" in text and "&lt;synthetic&gt;" in text
    assert not re.search(r'(src|href)="(?!#|data:)|url\(|@import|https?://(?!www\.w3\.org/2000/svg)', text)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))
    assert data["names"] == [EVIL] and data["tiles"][0]["name"] == EVIL


def test_a_tile_has_its_own_scores(written):
    """The oracle sees by DSM alone: a tile scores all or nothing."""
    text = written["instance"][0].read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
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
        "A is worth most: 0.65 of the 0.80 AP50 (Shapley value).",
        "Without A the AP50 falls by 0.70; without B it falls by 0.20.",
        "A alone keeps 75% of the score of all sensors.",
        "Of the 3 tiles below, the sensor that matters most is A on 1, B on 1.",
    ]


def test_scores_of_a_page_without_tiles_and_with_many_sensors_need_no_more(written):
    """A task that cannot be drawn, and more subsets than have bars."""
    names = tuple("abcdef")
    subsets = [names, ("a",), ("b", "c")]
    images = InstanceImages((1,), np.ones((1, 1)), *np.zeros((4, 0), dtype=int))
    rows = [{"modalities": list(s), "results": {"segm": {"AP50": 0.0}}, "images": 1, "seconds": 1} for s in subsets]
    by_subset = dict.fromkeys(subsets, images)
    text = sweep_page(rows, summarize(names, rows, by_subset, (), 0), by_subset, no_tiles(1), "some", "run", [])
    assert "shows no tiles" in text and "60 of the 63 subsets were not evaluated" in text


@pytest.fixture(scope="module")
def browser():
    with start_browser() as started:
        yield started


@pytest.mark.parametrize("task", ["instance", "lulc"])
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
