"""One scene from start to end: what is to be done, by how many, what is left of it, and the map."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from imrsf_d2.geo.raster_state import file_states, raster_files
from imrsf_d2.inference.blocks import Block, BlockFolder
from imrsf_d2.inference.detection_files import load_detections
from imrsf_d2.inference.follower import Follower
from imrsf_d2.inference.importance_maps import write_importance
from imrsf_d2.inference.label_blocks import write_label_map, write_probabilities
from imrsf_d2.inference.label_maps import check_label_map_name, class_table_path, write_class_table
from imrsf_d2.inference.mapping import Progress, compute_blocks
from imrsf_d2.inference.outputs import Drawing, Extras, Picture, check_outputs
from imrsf_d2.inference.plan import ScenePlan, Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.vector_files import Feature, check_format, write_features
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.utils.atomic import replacing_together
from imrsf_d2.utils.errors import counted

__all__ = ["SceneJob"]

logger = logging.getLogger(__name__)

#: From so many windows on, objects are written while windows are computed: a process for it takes a second to begin.
FOLLOWED_WINDOWS = 200


class SceneJob:
    """The map of a scene: blocks to compute, files of them beside the output, and what puts them together.

    Args:
        scene: what the sensors recorded.
        output: the map: a vector file for objects (see `vector_files.FORMATS`), a GeoTIFF for classes.
        settings: what is asked for.
        classes: names of the model's classes.
        colors: (red, green, blue) of each, 0 to 255; needed for label maps alone.
        instances: objects, or classes of pixels.
        identity: more that the result follows from: the weights, say, and the config.
        extras: what is written beside the map.
        patch_px: side of the model's patches; needed for the importance of sensors alone.
        inputs: files besides the scene's that the map is made from, which it is never written over.

    Raises:
        ValueError: if the output's name or the settings do not fit.
    """

    def __init__(
        self,
        scene: Scene,
        output: str | os.PathLike,
        settings: Settings,
        classes: Sequence[str],
        *,
        instances: bool,
        colors: Sequence[Sequence[int]] = (),
        identity: Mapping[str, object] | None = None,
        extras: Extras = Extras(),
        patch_px: int = 0,
        inputs: Iterable[str | os.PathLike] = (),
    ):
        self.scene, self.output, self.settings = scene, Path(output), settings
        self.classes, self.colors, self.instances = list(classes), list(colors), instances
        self.extras, self.patch_px = extras, patch_px
        if instances:
            extras.check_for_objects()
            check_format(output)
        else:
            check_label_map_name(output)
        read_from = {file.path: raster_files(file.path) for files in scene.sensors.values() for file in files}
        check_outputs([*self.outputs(), self.log], [*itertools.chain(*read_from.values()), *inputs])
        self.plan = ScenePlan(scene, settings, classes, instances=instances)
        self.windows, self.blocks = self.plan.windows, self.plan.blocks
        self._folder: BlockFolder
        self._follower: Follower | None = None
        computed = {key: value for key, value in asdict(settings).items() if key in ("window", "overlap", "min_score")}
        self.identity = {
            **(identity or {}),
            **computed,
            "instances": instances,
            "probabilities": extras.probabilities,
            "importance": extras.importance,
            "size of the map": f"{scene.grid.width} x {scene.grid.height} px",
            "extent of the windows": "{} x {} px from column {}, row {}".format(*_extent(self.windows)),
            "geotransform": list(scene.grid.transform)[:6],
            "coordinate system": scene.grid.crs.to_string() if scene.grid.crs else None,
            "area of interest": None if scene.area is None else hashlib.sha256(scene.area.wkb).hexdigest()[:16],
            **{
                f"{name} file {number} ({file.path})": _state(read_from[file.path])
                for name, files in scene.sensors.items()
                for number, file in enumerate(files, start=1)
            },
        }

    @property
    def folder(self) -> Path:
        """Where finished blocks are kept until the map is written."""
        return self.output.with_name(f"{self.output.name}.parts")

    @property
    def log(self) -> Path:
        """Where the log of the run is kept, if it has one."""
        return self.output.with_name(f"{self.output.name}.log.txt")

    def open(self, *, resume: bool = False, shared: bool = False) -> BlockFolder:
        """Make the folder of this run, or continue with what an earlier one has left in it.

        Args:
            shared: with other processes that compute shares of this map.

        Returns:
            The folder; it is this job's alone until the end of its `with` block.

        Raises:
            OccupiedError: see `BlockFolder`.
        """
        self._folder = BlockFolder(self.folder, self.identity, resume=resume, shared=shared)
        return self._folder

    @contextmanager
    def following(self, picture: Picture | None = None) -> Iterator[None]:
        """Write objects while blocks are computed, in a process of its own, if there are enough; for one who calls `write`.

        Within the block, `compute` and `complete` raise what that process fails with.

        Args:
            picture: the one that `write` will get.
        """
        if not self.instances or len(self.windows) < FOLLOWED_WINDOWS:
            yield
            return
        path = self._folder.objects / self.output.name
        files = [self._folder.file(block) for block in self.blocks]
        with Follower(self.plan, files, path, picture.outlines if picture else None) as self._follower:
            try:
                yield
            finally:
                self._follower = None

    def compute(
        self, predictor: WindowPredictor, progress: Progress | None = None, *, share: tuple[int, int] = (0, 1)
    ) -> None:
        """Compute those blocks of a share that are not finished.

        Args:
            share: (i, n): every n-th block from the i-th on.
        """
        compute_blocks(
            predictor,
            self.scene,
            self.share(share),
            self._folder,
            progress,
            classes=len(self.classes),
            probabilities=self.extras.probabilities,
            between=self._follower.check if self._follower else None,
        )

    def complete(self) -> bool:
        """Whether all blocks are finished, whoever computed them."""
        if self._follower is not None:
            self._follower.check()
        return not self._folder.missing(self.blocks)

    def share(self, share: tuple[int, int] = (0, 1)) -> list[Block]:
        """The blocks of one of several processes."""
        return self.blocks[share[0] :: share[1]]

    def features(self) -> Iterator[Feature]:
        """The objects of a scene whose blocks are all computed, each once."""
        self._folder.check_complete(self.blocks)
        return self.plan.features(load_detections(self._folder.file(block)) for block in self.blocks)

    def _write_objects(self, path: str, picture: Picture | None) -> int:
        if self._follower is not None:
            written = self._follower.finish()
            os.replace(written.path, path)
            if picture is not None:
                assert written.watcher is not None  # see `following`
                picture.outlines = written.watcher
            return written.number
        crs = self.scene.grid.crs
        assert crs is not None  # see `open_scene`
        found = self.features()
        return write_features(path, picture.outlines.watch(found) if picture else found, crs)

    def outputs(self) -> list[Path]:
        """The files that `write` makes."""
        return [self.output, *self.extras.paths(self.output).values()]

    def write(self, picture: Picture | None = None, page: Drawing | None = None) -> int | None:
        """Write the map and what comes with it, and remove the blocks that it is made of; the log is kept beside the map.

        Args:
            picture: draws the quick look, if one is asked for.
            page: writes the page, likewise.

        Returns:
            The number of objects; None for a label map.

        Raises:
            InputError: if blocks are missing, or a file cannot be written; then none is.
        """
        folder, scene = self._folder, self.scene
        folder.check_complete(self.blocks)
        extras = self.extras.paths(self.output)
        number = None
        with replacing_together(folder.path / "outputs") as made_at:
            output = made_at(self.output)
            if self.instances:
                number = self._write_objects(output, picture)
            else:
                write_label_map(output, scene, self.blocks, folder, self.classes, self.colors)
                write_class_table(made_at(class_table_path(self.output)), self.classes, self.colors)
            if "probabilities" in extras:
                write_probabilities(made_at(extras["probabilities"]), scene, self.blocks, folder, self.classes)
            if "importance" in extras:
                write_importance(made_at(extras["importance"]), scene, self.blocks, folder, self.patch_px)
            if picture is not None:
                picture.save(made_at(extras["picture"]), output)
            if page is not None:
                page.save(made_at(extras["page"]), output)
        folder.remove(self.log)
        return number


def _extent(windows: WindowGrid) -> tuple[int, int, int, int]:
    return windows.width, windows.height, windows.left, windows.top


def _state(files: Sequence[str]) -> str:
    """Size and time of change of the first of some files, and what stands for those of the others; nothing of what are no plain
    files, such as VSI paths."""
    states = file_states(files)
    if not states:
        return ""
    size, changed_ns = states[0]
    seconds, nanoseconds = divmod(changed_ns, 10**9)
    changed = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    text = f"{size} bytes of {changed:%Y-%m-%d %H:%M:%S}.{nanoseconds:09d} UTC"
    if more := states[1:]:
        text += f", with {counted(len(more), 'other file')} ({hashlib.sha256(repr(more).encode()).hexdigest()[:8]})"
    return text
