"""Compare the map of a synthetic scene with a tile-wise evaluation of the windows that it is made of.

Usage:
    python datasets/make_synthetic.py --layout scene --size 3000 --output output/scene
    python -m projects.scenes.agreement --config-file configs/demo/dfc2023_instance.yaml --scene output/scene \\
        --output output/agreement --subset sar+rgb+dsm --subset sar+dsm MODEL.WEIGHTS output/demo/train/model_final.pth

The same detections make both: those of each window against the buildings clipped to it, and, put together, the map
against the whole buildings, and clipped to the same windows against the same clipped buildings. They are kept in --output, so that a second run only scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.scene_predictor import build_scene_predictor, training_window
from imrsf_d2.evaluation.map_scores import PlacedMask, score_masks
from imrsf_d2.evaluation.map_truth import read_buildings
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.inference import reduction
from imrsf_d2.inference.detection_files import load_detections, save_detections
from imrsf_d2.inference.detections import Detection, drop_doubles
from imrsf_d2.inference.merging import merge
from imrsf_d2.inference.scene import Scene, open_scene
from imrsf_d2.inference.scene_predictor import ScenePredictor
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.synthetic.whole_scene import FOOTPRINTS

__all__ = ["agreement", "clipped"]

#: A training tile has no building labeled of which fewer pixels lie in it.
VISIBLE_PX = 150
#: AP takes also what is probably wrong.
MIN_SCORE = 0.05


def agreement(
    windows: WindowGrid, detections: Mapping[int, Sequence[Detection]], buildings: Sequence[PlacedMask]
) -> dict[str, dict[str, float]]:
    """The scores of a scene's windows one by one, and of the map that they make.

    Args:
        windows: of the scene.
        detections: what each window's model says, doubles included, best first; by the index of the window.
        buildings: of the scene.

    Returns:
        A metric -> percent for the map; and, against the buildings clipped to each window, for what the windows found, without
        doubles and with them, and for the map clipped to the same windows. There with all pieces of buildings that the
        borders of windows cut, without those of few pixels, and without any.
    """
    single = {index: drop_doubles(found) for index, found in detections.items()}
    objects = [
        PlacedMask(o.top, o.left, o.mask, o.score) for o in chain.from_iterable(merge(windows, sorted(single.items())))
    ]
    scores = {"map": score_masks([((windows.height, windows.width), buildings, objects)])}
    ways = {
        "": _placed(windows, single),
        ", doubles kept": _placed(windows, detections),
        ", the map": _pieces(windows, objects),
    }
    for truth, visible_px, visible in (
        ("all pieces", 1, 0.0),
        (f"pieces of {VISIBLE_PX} px", VISIBLE_PX, 0.0),
        ("whole buildings", 1, 1.0),
    ):
        labeled = _pieces(windows, buildings, visible_px, visible)
        for way, found in ways.items():
            images = [((w.size, w.size), labeled.get(w.index, []), found.get(w.index, [])) for w in windows]
            scores[f"windows, {truth}{way}"] = score_masks(images)
    return scores


def clipped(one: PlacedMask, window: Window, visible_px: int = 1, visible: float = 0.0) -> PlacedMask | None:
    """The part of an object in a window, placed there; None if there is none.

    Args:
        visible_px, visible: a part of fewer pixels, or of a smaller share of the object's, is ignored.
    """
    top, left = one.top - window.top, one.left - window.left
    inner = one.mask[max(-top, 0) : max(window.size - top, 0), max(-left, 0) : max(window.size - left, 0)]
    pixels = np.count_nonzero(inner)
    if not pixels:
        return None
    ignored = bool(pixels < max(visible_px, visible * np.count_nonzero(one.mask)))
    return PlacedMask(max(top, 0), max(left, 0), inner, one.score, ignored)


def _pieces(
    windows: WindowGrid, objects: Iterable[PlacedMask], visible_px: int = 1, visible: float = 0.0
) -> dict[int, list[PlacedMask]]:
    """The parts of a scene's objects in each window, by its index; see `clipped`."""
    in_window: dict[int, list[PlacedMask]] = {}
    for one in objects:
        for window in windows.touching(one.top, one.left, one.top + one.mask.shape[0], one.left + one.mask.shape[1]):
            if (part := clipped(one, window, visible_px, visible)) is not None:
                in_window.setdefault(window.index, []).append(part)
    return in_window


def _placed(windows: WindowGrid, detections: Mapping[int, Sequence[Detection]]) -> dict[int, list[PlacedMask]]:
    """Detections in their windows."""
    return {
        index: [PlacedMask(d.top - windows[index].top, d.left - windows[index].left, d.mask, d.score) for d in found]
        for index, found in detections.items()
    }


def detect(model: ScenePredictor, scene: Scene, windows: WindowGrid, file: Path) -> dict[int, list[Detection]]:
    """The detections of all windows, doubles included; from a file if they are there."""
    if not file.is_file():
        with mock.patch.object(reduction, "drop_doubles", list):  # what it drops is to be scored, too
            results = model.windows(instances=True).run(scene, windows)
            save_detections(file, {result.window.index: result.detections for result in results})
    return load_detections(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--scene", required=True, type=Path, help="folder of a synthetic scene")
    parser.add_argument("--output", required=True, type=Path, help="folder for the detections and the table")
    parser.add_argument("--subset", action="append", help="sensors, such as sar+dsm; may be repeated (default: all)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    cfg = load_config(args.config_file, args.opts)
    modalities = ModalitySet.from_config(cfg)
    model = build_scene_predictor(cfg, min_score=MIN_SCORE, batch_size=8)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for subset in [text.split("+") for text in args.subset or ["+".join(modalities.names)]]:
        scene = open_scene(modalities, {name: [str(args.scene / f"{name}.tif")] for name in subset})
        window = training_window(cfg)
        windows = WindowGrid(*scene.grid.shape, window, window // 4)
        detections = detect(model, scene, windows, args.output / f"{subset_label(subset)}.npz")
        scores = agreement(windows, detections, read_buildings(args.scene / FOOTPRINTS, scene.grid))
        rows += [
            [subset_title(subset), how, *(f"{of[m]:.2f}" for m in ("AP50", "AP75", "AP"))] for how, of in scores.items()
        ]
    table = markdown_table(["sensors", "evaluated", "AP50", "AP75", "AP"], rows)
    (args.output / "agreement.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
