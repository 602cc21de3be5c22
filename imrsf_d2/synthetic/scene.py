"""A synthetic town, a tile or a whole scene of it, before any sensor images it: what stands there, how high it is, and its color."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from imrsf_d2.synthetic.building_shapes import Footprint, Window, box, clip, draw_shape, move, rasterize, window_around
from imrsf_d2.synthetic.cities import City
from imrsf_d2.synthetic.style import SceneStyle

PIXEL_M = 0.5
ROOFS_WARM = np.array([(150, 86, 64), (135, 80, 66), (160, 105, 80), (118, 88, 70), (190, 140, 104)], np.float32)
ROOFS_COOL = np.array(
    [
        (78, 82, 90),
        (150, 148, 142),
        (224, 224, 218),
        (58, 60, 62),
        (78, 108, 150),
        (176, 160, 124),
        (112, 114, 112),
        (128, 124, 116),
    ],
    np.float32,
)
GRASS = np.array([(72, 90, 52), (86, 100, 60), (64, 84, 56)], np.float32)
DRY = np.array([(132, 122, 84), (152, 128, 98), (120, 106, 84), (140, 96, 72)], np.float32)
PAVED = np.array([(112, 112, 110), (136, 132, 124), (92, 94, 96), (154, 146, 132)], np.float32)
COURTS = np.array([(150, 82, 64), (72, 104, 84), (84, 108, 140), (96, 98, 100), (140, 134, 124)], np.float32)
ASPHALT = np.array((84, 86, 88), np.float32)
#: (least, most) side of a hall.
HALL_PX = (160, 260)
#: Most that a gable rises above the eaves, m; only the roofs of halls would be higher.
RISE_M = 6.0
#: What is drawn around an object reaches this far at most, px: trees that lean over it, its rim, its distance to others.
MARGIN_PX = 8


@dataclass(frozen=True)
class Building:
    """A building: its outline, eave height, and whether the nDSM contains it.

    `window` are the rows and columns of the scene that hold it, `label` [h, w] bool the rasterized outline there, `mask` the
    part of it that no neighbor in a terraced row covers.
    """

    footprint: Footprint
    window: Window
    label: np.ndarray
    mask: np.ndarray
    height_m: float
    surveyed: bool

    def full_label(self, size: int) -> np.ndarray:
        """The outline in the whole scene, [S, S] bool."""
        full = np.zeros((size, size), bool)
        full[self.window] = self.label
        return full


@dataclass(frozen=True)
class Scene:
    """Geometry and color on the 0.5 m grid; every array is [S, S] but `albedo`.

    Attributes:
        buildings: in the order of their annotations.
        roof_m: float32 height of buildings, the roof form included; 0 elsewhere.
        surveyed: bool, True where the nDSM sees the building.
        canopy_m: float32 height of tree crowns; 0 elsewhere.
        decoy: bool, True on flat surfaces that look like roofs.
        road: bool, True on roads.
        albedo: [S, S, 3] float32 surface color in gray levels under full light, trees not included.
        axis: main street direction, radians.
    """

    buildings: tuple[Building, ...]
    roof_m: np.ndarray
    surveyed: np.ndarray
    canopy_m: np.ndarray
    decoy: np.ndarray
    road: np.ndarray
    albedo: np.ndarray
    axis: float


def smooth_noise(rng: np.random.Generator, size: int, scale_px: float) -> np.ndarray:
    """Noise [size, size] float32 of zero mean and about unit variance, with features of about `scale_px`."""
    coarse = rng.standard_normal((int(size / scale_px) + 4,) * 2).astype(np.float32)
    full = cv2.resize(coarse, None, fx=scale_px, fy=scale_px, interpolation=cv2.INTER_CUBIC)
    y, x = rng.integers(0, max(int(scale_px), 1), 2)
    return full[y : y + size, x : x + size] * 1.3


def fill(rings: tuple[np.ndarray, ...], window: Window) -> np.ndarray:
    """A quick mask [h, w] bool of polygons in some rows and columns, for everything that is not a label."""
    mask = _empty(window, np.uint8)
    cv2.fillPoly(mask, [_sixteenths(ring, window, -8) for ring in rings], 1, shift=4)
    return mask.astype(bool)


def _sixteenths(ring: np.ndarray, window: Window, shift: int = 0) -> np.ndarray:
    """A ring in whole 1/16 px from the corner of a window, as cv2 draws it; rounded first, so that no window changes it."""
    rows, columns = window
    return (np.round(ring * 16 + shift) - (16 * columns.start, 16 * rows.start)).astype(np.int32)


def _empty(window: Window, dtype: type) -> np.ndarray:
    return np.zeros([part.stop - part.start for part in window], dtype)


def _positions(mask: np.ndarray, window: Window) -> np.ndarray:
    """[n, 2] x and y in the scene of the pixels of a mask, row by row."""
    rows, columns = window
    return np.argwhere(mask)[:, ::-1] + (columns.start, rows.start)


def _across(footprint: Footprint, window: Window) -> np.ndarray:
    """How far the pixels [h, w] of a window lie to one side of the line along a footprint's middle, px."""
    y, x = np.mgrid[window] + 0.5
    return (y - footprint.center[1]) * np.cos(footprint.axis) - (x - footprint.center[0]) * np.sin(footprint.axis)


def _grow(mask: np.ndarray, reach_px: int) -> np.ndarray:
    """The pixels [h, w] bool within `reach_px` of a mask, in a square around each."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach_px + 1,) * 2, np.uint8))).astype(bool)


def make_scene(
    rng: np.random.Generator, size: int, city: City, style: SceneStyle, *, empty: bool = False, halls: int = 0
) -> Scene:
    """Draw a scene of `size` x `size` px.

    Args:
        empty: leave out the buildings, but nothing that looks like one.
        halls: buildings of HALL_PX to place before all others.
    """
    town = _Town(rng, size, city, style)
    town.lay_ground()
    town.build_halls(halls)
    if not empty:
        town.build()
    town.lay_decoys()
    town.plant()
    return Scene(
        tuple(town.buildings), town.roof_m, town.surveyed, town.canopy_m, town.decoy, town.road, town.albedo, town.axis
    )


class _Town:
    """The scene under construction; `taken` marks ground that nothing else may be placed on."""

    def __init__(self, rng: np.random.Generator, size: int, city: City, style: SceneStyle):
        self.rng, self.size, self.city, self.style = rng, size, city, style
        self.whole: Window = (slice(0, size), slice(0, size))
        self.axis = float(rng.uniform(0, np.pi))
        self.tiles = (size / 128) ** 2
        shape = (size, size)
        self.buildings: list[Building] = []
        self._spaced: list[tuple[int, list[Building]]] = []
        self.roof_m, self.canopy_m = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.surveyed, self.decoy, self.road, self.taken = (np.zeros(shape, bool) for _ in range(4))
        self.albedo = np.zeros((*shape, 3), np.float32)

    def count(self, bounds: tuple[float, float], factor: float = 1.0) -> int:
        """Draw how many of something this tile gets, given the bounds per 128 x 128 px."""
        return int(round(self.rng.uniform(*bounds) * factor * self.tiles))

    def lay_ground(self) -> None:
        """Lay grass, dry ground and paving in zones with soft edges, then roads along the axis and across it."""
        rng, size = self.rng, self.size
        dry = rng.random() < self.city.dry
        colors = [
            (DRY if dry else GRASS)[rng.integers(3)],
            PAVED[rng.integers(len(PAVED))],
            (GRASS if rng.random() < 0.5 else DRY)[rng.integers(3)],
        ]
        first, second = smooth_noise(rng, size, 40), smooth_noise(rng, size, 24)
        zone = np.where(first > 0.3, 1, np.where(second > 0.9, 2, 0))
        self.albedo[:] = np.stack(colors)[zone]
        self.albedo[:] = cv2.GaussianBlur(self.albedo, (0, 0), 1.0)
        for _ in range(int(round(rng.uniform(0, self.style.roads) * size / 128))):
            turn = self.axis + (np.pi / 2 if rng.random() < 0.4 else 0)
            road = move(Footprint((box(4 * size, rng.uniform(11, 17)),)), turn, tuple(rng.uniform(0, size, 2)))
            mask = fill(road.rings, self.whole)
            self.albedo[mask] = ASPHALT * rng.uniform(0.85, 1.3)
            self.road |= mask
        self.taken |= _grow(self.road, 1)

    def build(self) -> None:
        """Place buildings, one group after the other, until there are enough or too many groups did not fit."""
        rng, style = self.rng, self.style
        wanted = max(1, self.count(style.buildings, self.city.density))
        for _ in range(12 * wanted + 20):
            if len(self.buildings) >= wanted:
                break
            group = [clip(member, self.size) for member in self._draw_group()]
            windows = [window_around(member.rings, self.size, MARGIN_PX) for member in group]
            if any(self._is_surely_taken(member, window) for member, window in zip(group, windows, strict=True)):
                continue
            masks = [rasterize(member, window) for member, window in zip(group, windows, strict=True)]
            # The members of a row share walls, so they are tested only against what stood there before.
            if any(
                self.taken[window][mask].any() or mask.sum() < style.visible_px
                for window, mask in zip(windows, masks, strict=True)
            ):
                continue
            height = self._draw_height()
            equal = rng.random() < style.row_same_height
            built = [
                self._add_building(member, window, mask, height if equal else height + float(rng.uniform(1.5, 5)))
                for member, window, mask in zip(group, windows, masks, strict=True)
            ]
            self._keep_distance(built, int(rng.integers(3, 7)))

    def _is_surely_taken(self, footprint: Footprint, window: Window) -> bool:
        """A quick look at whether an outline lies on ground that is taken; near its edges only a label can tell."""
        mask = (fill(footprint.rings, window) & ~fill(footprint.holes, window)).astype(np.uint8)
        return bool(self.taken[window][cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0].any())

    def build_halls(self, number: int) -> None:
        """Place buildings of HALL_PX that lie wholly in the scene; roads end at them."""
        rng = self.rng
        for _ in range(20 * number):
            if len(self.buildings) == number:
                break
            kind = str(rng.choice(["rectangle", "l", "courtyard"]))
            depth, width = np.sort(rng.uniform(*HALL_PX, 2))
            reach = np.hypot(width, depth) / 2
            if 2 * reach > self.size:
                continue
            center = tuple(rng.uniform(reach, self.size - reach, 2))
            hall = clip(move(draw_shape(rng, kind, width, depth), self.axis, center), self.size)
            window = window_around(hall.rings, self.size, MARGIN_PX)
            mask = rasterize(hall, window)
            if self.roof_m[window].any():
                continue
            self.road[window][mask] = False
            self._keep_distance([self._add_building(hall, window, mask, float(rng.uniform(7, 14)))], MARGIN_PX)

    def _keep_distance(self, built: list[Building], gap_px: int) -> None:
        """Take the ground within a distance of new buildings, and of those that kept less distance so far."""
        while self._spaced and self._spaced[-1][0] < gap_px:
            built = built + self._spaced.pop()[1]
        for building in built:
            self.taken[building.window] |= _grow(building.mask, gap_px)
        self._spaced.append((gap_px, built))

    def _draw_group(self) -> list[Footprint]:
        """One building, or a terraced row of them, in place."""
        rng, (least, most) = self.rng, self.style.side_px
        kinds, shares = zip(*self.style.shapes, strict=True)
        kind = str(rng.choice(kinds, p=shares))
        angle = self.axis + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
        if rng.random() < self.style.off_axis:
            angle = rng.uniform(0, np.pi)
        center = tuple(rng.uniform(0, self.size, 2))
        width, depth = np.exp(rng.uniform(np.log(least), np.log(most), 2))
        if kind != "row":
            return [move(draw_shape(rng, kind, max(width, depth), min(width, depth)), angle, center)]
        units, unit, depth = int(rng.integers(2, 5)), rng.uniform(15, 20), rng.uniform(18, 30)
        offsets = (np.arange(units) - (units - 1) / 2) * unit
        return [move(Footprint((box(unit, depth, x),), center=(x, 0.0), kind="row"), angle, center) for x in offsets]

    def _draw_height(self) -> float:
        style = self.style
        return float(np.clip(self.rng.lognormal(np.log(style.height_median_m), style.height_spread), *style.height_m))

    def _roof_color(self, window: Window, mask: np.ndarray) -> np.ndarray:
        rng = self.rng
        if rng.random() < self.style.camouflage:
            around = _grow(mask, 4) & (self.roof_m[window] == 0)
            return self.albedo[window][around].mean(0) * rng.uniform(0.93, 1.07)
        palette = ROOFS_WARM if rng.random() < self.city.warm else ROOFS_COOL
        return palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.15)

    def _add_building(self, footprint: Footprint, window: Window, label: np.ndarray, height_m: float) -> Building:
        """Add one building: flat with clutter, gabled (ridge along the long side) or hipped."""
        rng = self.rng
        mask = label & (self.roof_m[window] == 0)
        color = self._roof_color(window, mask)
        rise = _empty(window, np.float32)
        pitched = rng.random() < self.style.pitched
        if pitched and footprint.kind in ("rectangle", "row"):
            across = np.abs(_across(footprint, window))
            rise = np.minimum(0.3 * (across[mask].max() - across), RISE_M).astype(np.float32)
        elif pitched:
            rise = np.minimum(0.3 * cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3), 4)
        self.roof_m[window][mask] = (height_m + rise)[mask]
        surveyed = bool(rng.random() >= self.style.unsurveyed)
        self.surveyed[window][mask] = surveyed
        self.albedo[window][mask] = color
        if not pitched:
            self._clutter(window, mask, color)
        self.buildings.append(Building(footprint, window, label, mask, height_m, surveyed))
        return self.buildings[-1]

    def _clutter(self, window: Window, mask: np.ndarray, color: np.ndarray) -> None:
        """Paint boxes and stains on a flat surface, on roofs and decoys alike."""
        rng = self.rng
        rows, columns = window
        ys, xs = np.nonzero(mask)
        for _ in range(int(rng.integers(0, 4))):
            at = rng.integers(len(ys))
            center = (xs[at] + columns.start, ys[at] + rows.start)
            patch = move(Footprint((box(*rng.uniform(2, 7, 2)),)), self.axis, center)
            self.albedo[window][fill(patch.rings, window) & mask] = color * rng.choice([0.7, 0.85, 1.2])

    def lay_decoys(self) -> None:
        """Place courts, slabs and parking lots with the outlines, and often the colors, of buildings."""
        style = self.style
        wanted, laid = self.count(style.decoys), 0
        for _ in range(12 * wanted):
            if laid >= wanted:
                break
            for member in self._draw_group()[:1]:
                window = window_around(member.rings, self.size, MARGIN_PX)
                mask = fill(member.rings, window) & ~fill(member.holes, window)
                if mask.sum() < style.visible_px or self.taken[window][mask].any():
                    continue
                laid += 1
                self._paint_decoy(member, window, mask)
                self.decoy[window] |= mask
                self.taken[window] |= _grow(mask, 3)

    def _paint_decoy(self, footprint: Footprint, window: Window, mask: np.ndarray) -> None:
        rng, style, albedo = self.rng, self.style, self.albedo[window]
        if rng.random() < style.decoy_roof_color:
            color = self._roof_color(window, mask)
        else:
            color = COURTS[rng.integers(len(COURTS))] * rng.uniform(0.85, 1.15)
        if rng.random() < style.decoy_rim:
            # On any side: where the sun stands is not known here, and a hedge or a curb does not depend on it either.
            shift = rng.uniform(2, 7)
            angle = rng.uniform(0, 2 * np.pi)
            strip = [ring + (shift * np.cos(angle), shift * np.sin(angle)) for ring in footprint.rings]
            rim = fill(tuple(strip), window) & ~mask & ~self.taken[window]
            albedo[rim] *= rng.uniform(0.45, 0.7)
        albedo[mask] = color
        if rng.random() < style.decoy_ridge:
            side = _across(footprint, window) > 0
            albedo[mask & side] *= rng.uniform(0.75, 0.9)
        self._clutter(window, mask, color)
        if rng.random() < style.decoy_marked:
            lines = _empty(window, np.uint8)
            for scale in (0.85, 0.45):
                rings = [(ring - ring.mean(0)) * scale + ring.mean(0) for ring in footprint.rings]
                cv2.polylines(lines, [_sixteenths(ring, window) for ring in rings], True, 1, 1, shift=4)
            albedo[lines.astype(bool) & mask] = 205

    def plant(self) -> None:
        """Plant single trees, groves with the outline of a building, and trees that overhang a roof."""
        rng, style = self.rng, self.style
        open_ground = ~self.road & (self.roof_m == 0) & ~self.decoy
        spots = np.flatnonzero(open_ground)
        if len(spots) == 0:
            return
        for spot in spots[rng.integers(len(spots), size=self.count(style.trees, self.city.greenery))]:
            self._tree(self._center(spot), rng.uniform(*style.tree_height_m), rng.uniform(3, 8))
        least, most = np.log(style.side_px)
        for _ in range(self.count(style.groves, self.city.greenery)):
            width, depth = np.exp(rng.uniform(least, most, 2))
            turn = self.axis + rng.normal(0, 0.1)
            outline = move(Footprint((box(width, depth),)), turn, tuple(self._center(spots[rng.integers(len(spots))])))
            window = window_around(outline.rings, self.size, MARGIN_PX)
            inside = _positions(fill(outline.rings, window) & open_ground[window], window) + 0.5
            if len(inside) < style.visible_px:
                continue
            height = rng.uniform(*style.tree_height_m)
            for xy in inside[rng.integers(len(inside), size=len(inside) // 25)]:
                self._tree(xy, height * rng.uniform(0.85, 1.1), rng.uniform(3.5, 5.5))
        for building in self.buildings:
            if rng.random() < style.overhang:
                near = ndimage.binary_dilation(building.mask, iterations=2) & (self.roof_m[building.window] == 0)
                edge = _positions(near, building.window)
                if len(edge):
                    height = max(building.height_m * rng.uniform(0.9, 1.4), rng.uniform(*style.tree_height_m))
                    self._tree(edge[rng.integers(len(edge))] + 0.5, min(height, 18.0), rng.uniform(4, 8))

    def _center(self, spot: int) -> np.ndarray:
        """The center xy of a pixel, given its place in the raveled scene."""
        return np.array(divmod(int(spot), self.size))[::-1] + 0.5

    def _tree(self, xy: np.ndarray, height_m: float, radius_px: float) -> None:
        """Add a rounded crown around `xy` where it is higher than the canopy so far."""
        x0, y0 = np.maximum(np.floor(xy - radius_px).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(xy + radius_px).astype(int), self.size)
        y, x = np.mgrid[y0:y1, x0:x1] + 0.5
        reach = ((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / radius_px**2
        crown = np.where(reach < 1, height_m * (1 - 0.45 * reach), 0).astype(np.float32)
        self.canopy_m[y0:y1, x0:x1] = np.maximum(self.canopy_m[y0:y1, x0:x1], crown)
