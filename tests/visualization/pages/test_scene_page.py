import re

import numpy as np
import pytest
import shapely

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.pages.scene_page import ShownObject, label_page, object_page
from tests.browser import Opened, start_browser

EVIL = "</script><b>&\"'"
MODALITIES = ModalitySet([{"NAME": "rgb", "CHANNELS": 3}])


@pytest.fixture
def image(rng):
    return np.concatenate([rng.random((3, 60, 80)), np.ones((1, 60, 80))]).astype(np.float32)


def test_a_click_shows_what_the_map_says(image, tmp_path):
    ring = shapely.box(10, 10, 30, 30).difference(shapely.box(15, 15, 25, 25))
    objects = [
        ShownObject(ring, 7, EVIL, 0.875, 12.5, "rgb", False),
        ShownObject(shapely.box(50, 40, 70, 55), 9, "hut", 0.5, 3.0, "", True),
    ]
    path = tmp_path / "page.html"
    path.write_text(object_page("a & b.gpkg", image, MODALITIES, objects, 5), encoding="utf-8")
    assert EVIL not in path.read_text(encoding="utf-8") and "2 of 5 objects are shown" in path.read_text(encoding="utf-8")
    with start_browser() as browser:
        opened = Opened(browser, path, viewport={"width": 390, "height": 800})
        page = opened.page
        assert page.evaluate("document.documentElement.scrollWidth") == 390

        def click(x, y):
            place = page.evaluate(
                "([x, y]) => { const p = new DOMPoint(x, y).matrixTransform(map.getScreenCTM()); return [p.x, p.y] }", [x, y]
            )
            page.mouse.click(*place)
            return page.locator("#about td").all_inner_texts()

        assert click(12, 20) == ["7", EVIL, "0.875", "12.5 m²", "rgb", "no"]
        assert click(20, 20) == []  # the hole
        page.locator("#in").click()
        assert page.locator("#map").get_attribute("viewBox") != "0 0 80 60"
        page.locator("#next").click()
        page.locator("#next").click()
        assert page.locator("#about td").all_inner_texts()[:2] == ["9", "hut"]
        page.locator("#color").select_option("sensors")
        assert page.locator("#key li").all_inner_texts() == ["none: 1", "rgb: 1"]
        opened.close()


def test_classes_of_a_label_map_are_named_with_their_shares(image, tmp_path):
    labels = np.zeros((60, 80), dtype=np.uint8)
    labels[:15], labels[50:] = 1, 255
    path = tmp_path / "page.html"
    path.write_text(label_page("cover.tif", image, MODALITIES, labels, ["<land>", "sea"], [(0, 200, 0), (0, 0, 255)]))
    assert re.findall(r"&lt;land&gt; .*?(\d+\.\d)%|sea .*?(\d+\.\d)%", path.read_text()) == [("70.0", ""), ("", "30.0")]
    with start_browser() as browser:
        opened = Opened(browser, path)
        opened.page.locator("#strength").fill("0.2")
        assert opened.page.locator("#over").get_attribute("opacity") == "0.2"
        opened.close()
