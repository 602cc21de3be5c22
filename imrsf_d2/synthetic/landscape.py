"""One tile of a synthetic landscape at 10 m: terrain, parcels of seven land-cover classes, roads and water."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import ndtr

from imrsf_d2.synthetic.landscape_style import LandscapeStyle
from imrsf_d2.synthetic.regions import Region
from imrsf_d2.synthetic.scene import smooth_noise

PIXEL_M = 10.0
#: In the order of their class indices (as in `data/datasets/land_cover.csv`).
CLASSES = ("urban fabric", "green urban", "roads", "cropland", "pastures", "trees", "water")
URBAN, GREEN, ROADS, CROPLAND, PASTURES, TREES, WATER = range(len(CLASSES))
#: What covers the ground of a pixel, which is all that S1 and S2 can see.
COVERS = ("roof", "paved", "grass", "crop", "canopy", "water")
ROOF, PAVED, GRASS, CROP, CANOPY, OPEN_WATER = range(len(COVERS))


@dataclass(frozen=True)
class Landscape:
    """Geometry on the 10 m grid; a patch is the part of a parcel that has one class, or all the water.

    Attributes:
        label: [S, S] uint8 class.
        cover: [S, S] uint8 what covers the pixel: towns also have grass, and woods clearings.
        patch: [S, S] int patch index into the [P] arrays.
        patch_class: [P] uint8.
        stage: [P] uint8 growth stage of a crop: bare, sprouting, green, ripe, stubble.
        dryness: [P] float32 in [0, 1], from fresh to yellow grass.
        height_m: [S, S] float32 meters above sea level.
    """

    label: np.ndarray
    cover: np.ndarray
    patch: np.ndarray
    patch_class: np.ndarray
    stage: np.ndarray
    dryness: np.ndarray
    height_m: np.ndarray


def make_landscape(rng: np.random.Generator, size: int, region: Region, style: LandscapeStyle) -> Landscape:
    """Draw a landscape: terrain first, then the classes of the parcels, then the roads between them."""
    hills, water = _lay_terrain(rng, size, style)
    parcel, block = _divide(rng, size, style)
    parcel_class = _settle(rng, parcel, hills, region, style)
    label = parcel_class[parcel]
    label[water] = WATER
    road, bridge = _build_roads(rng, parcel, block, parcel_class, style)
    label[(road & ~water) | bridge] = ROADS
    label = absorb_slivers(label, style.mapping_unit_px)

    # All water is one patch; land on both sides of a parcel's road is one patch, too.
    key = np.where(label == WATER, 0, (parcel + 1) * len(CLASSES)) + label
    keys, patch = np.unique(key, return_inverse=True)
    patch, patch_class = patch.reshape(size, size), (keys % len(CLASSES)).astype(np.uint8)
    season = rng.dirichlet(style.stages)
    stage = rng.choice(len(season), len(keys), p=season).astype(np.uint8)
    dryness = np.clip(rng.beta(4 * region.dry, 4 * (1 - region.dry)) + rng.normal(0, 0.2, len(keys)), 0, 1)
    height_m = region.ground_m + region.relief_m * rng.lognormal(0, 0.3) * hills
    return Landscape(
        label,
        _cover(rng, patch, patch_class, style),
        patch,
        patch_class,
        stage,
        dryness.astype(np.float32),
        height_m.astype(np.float32),
    )


def _lay_terrain(rng: np.random.Generator, size: int, style: LandscapeStyle) -> tuple[np.ndarray, np.ndarray]:
    """Heights [S, S] in units of the typical hill, 0 in the valleys, and where water stands."""
    # The zero line of smooth noise winds like a river, and does not end within the tile.
    valley = np.abs(smooth_noise(rng, size, style.valley_px))
    bumps = 0.3 * smooth_noise(rng, size, style.valley_px / 2) + 0.08 * smooth_noise(rng, size, 12)
    hills = 0.7 * valley + bumps * np.clip(valley / 0.4, 0.15, 1)
    level = np.exp(rng.uniform(*np.log(style.water_level))) if rng.random() < style.wet else 0.0
    water = valley + 0.02 * smooth_noise(rng, size, 6) < level
    hills[water] = 0.3 * level
    return hills, water


def _scatter(rng: np.random.Generator, size: int, step: tuple[float, float]) -> np.ndarray:
    """Points [K, 2] about `step` apart, over a square that contains the tile however it is rotated."""
    ticks = [np.arange(-0.8 * size - 2 * s, 0.8 * size + 2 * s, s) for s in step]
    points = np.stack(np.meshgrid(*ticks), -1).reshape(-1, 2)
    return points + rng.uniform(-0.3, 0.3, points.shape) * step


def _divide(rng: np.random.Generator, size: int, style: LandscapeStyle) -> tuple[np.ndarray, np.ndarray]:
    """Parcels [S, S] and the block [K] that each of them lies in."""
    angle, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(*style.elongation))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2] * 2), -1)
    for axis in range(2):
        grid[..., axis] += style.wobble_px * smooth_noise(rng, size, 30)
    grid = grid.reshape(-1, 2) @ turn
    scale = np.array([stretch, 1 / stretch])
    # In the maximum metric, the cell of a point is nearly a rectangle along the axes: a field.
    field, block = (
        cKDTree(_scatter(rng, size, tuple(side * scale)) / scale).query(grid / scale, p=np.inf)[1]
        for side in (style.parcel_px, style.block_px)
    )
    keys, parcel = np.unique(block * (field.max() + 1) + field, return_inverse=True)
    return parcel.reshape(size, size), keys // (field.max() + 1)


def _settle(
    rng: np.random.Generator, parcel: np.ndarray, hills: np.ndarray, region: Region, style: LandscapeStyle
) -> np.ndarray:
    """The class [K] uint8 of each parcel: towns cluster, crops lie on flat ground, trees on steep or high ground."""
    size, area = len(parcel), np.bincount(parcel.ravel())

    def mean(field: np.ndarray) -> np.ndarray:
        return np.bincount(parcel.ravel(), weights=field.ravel()) / area

    slope = np.hypot(*np.gradient(hills)) * style.valley_px
    drives = np.stack(
        [np.ones_like(area, float), mean(smooth_noise(rng, size, 60)) + region.urban, mean(hills) - 0.5, mean(slope) - 1.0]
    )
    names, weights = zip(*style.affinity, strict=True)
    score = np.array(weights) @ drives + rng.gumbel(0, style.whim, (len(names), len(area)))
    score += np.stack([style.gregarious * mean(smooth_noise(rng, size, 40)) for _ in names])
    score[names.index("trees")] += region.wooded
    return np.array([CLASSES.index(name) for name in names], np.uint8)[score.argmax(0)]


def _build_roads(
    rng: np.random.Generator, parcel: np.ndarray, block: np.ndarray, parcel_class: np.ndarray, style: LandscapeStyle
) -> tuple[np.ndarray, np.ndarray]:
    """The roads [S, S] bool along the edges of blocks and parcels, and those among them that may cross water [S, S] bool."""
    y, x, pairs = _edges(parcel)
    between_blocks = block[pairs[:, 0]] != block[pairs[:, 1]]
    fate = np.where(between_blocks, _draw_per_pair(rng, block[pairs]), 1.0)
    in_town = (parcel_class[pairs] == URBAN).all(1)
    kinds = (
        (fate < style.lanes * style.main_roads, 3),
        (fate < style.lanes, 2),
        (in_town & (_draw_per_pair(rng, pairs) < style.streets), 1),
    )
    masks = []
    for chosen, width_px in kinds:
        mask = np.zeros(parcel.shape, np.uint8)
        mask[y[chosen], x[chosen]] = 1
        masks.append(cv2.dilate(mask, np.ones((width_px, width_px), np.uint8)))
    if rng.random() < style.motorways:
        _lay_motorway(rng, masks[0])
    return np.any(masks, axis=0), masks[0].astype(bool)


def _edges(parcel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns [E] of pixels whose lower or right neighbor is in another parcel, and both parcels [E, 2]."""
    found = []
    for axis in range(2):
        y, x = np.nonzero(np.diff(parcel, axis=axis))
        found.append(np.stack([y, x, parcel[y, x], parcel[y + (axis == 0), x + (axis == 1)]], -1))
    y, x, *pairs = np.concatenate(found).T
    return y, x, np.stack(pairs, -1)


def _draw_per_pair(rng: np.random.Generator, pairs: np.ndarray) -> np.ndarray:
    """Numbers [E] in [0, 1), one for each row of pairs [E, 2]; equal for equal pairs, in whichever order."""
    ends = np.sort(pairs, axis=1)
    kinds, kind = np.unique(ends[:, 0] * (ends.max(initial=0) + 1) + ends[:, 1], return_inverse=True)
    return rng.random(len(kinds))[kind]


def _lay_motorway(rng: np.random.Generator, mask: np.ndarray) -> None:
    """Draw a wide, gently bent line across the whole mask."""
    size = len(mask)
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * size
    along = np.linspace(-1, 1, 33)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    line = rng.uniform(0.25, 0.75, 2) * size + size * along[:, None] * ahead
    line = line + bend * along[:, None] ** 2 * ahead[::-1] * (1, -1)
    cv2.polylines(mask, [np.round(line * 16).astype(np.int32)], False, 1, int(rng.integers(3, 5)), shift=4)


def absorb_slivers(label: np.ndarray, least_px: int) -> np.ndarray:
    """Let larger patches grow over every patch below `least_px`; one that is enclosed by roads becomes road.

    Args:
        label: [S, S] uint8 class; roads may be of any size, and no patch grows across them.
    """
    unknown = len(CLASSES)
    small = np.zeros(label.shape, bool)
    for index in set(range(len(CLASSES))) - {ROADS}:
        parts, count = ndimage.label(label == index)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        sizes[0] = least_px
        small |= (sizes < least_px)[parts]
    grown = np.pad(np.where(small, unknown, label), 1, constant_values=ROADS)
    left = -1
    while left != (left := int((grown == unknown).sum())):
        for axis, step in ((0, 1), (1, 1), (0, -1), (1, -1)):
            beside = np.roll(grown, step, axis)
            taken = (grown == unknown) & (beside != unknown) & (beside != ROADS)
            grown[taken] = beside[taken]
    grown[grown == unknown] = ROADS
    return grown[1:-1, 1:-1].astype(np.uint8)


def _cover(rng: np.random.Generator, patch: np.ndarray, patch_class: np.ndarray, style: LandscapeStyle) -> np.ndarray:
    """What covers each pixel [S, S] uint8: a mix of its own in every patch, in clumps of the size of a house or a copse."""
    mixes = np.array([dict(style.mixes)[name] for name in CLASSES])
    shares = rng.gamma(style.purity * mixes[patch_class] + 1e-9)
    below = np.cumsum(shares / shares.sum(1, keepdims=True), axis=1)[:, :-1]
    size = len(patch)
    clumps = 0.75 * smooth_noise(rng, size, 3) + 0.5 * rng.standard_normal((size, size))
    # Uniform in [0, 1], so that the shares of the mix are shares of the area.
    rank = ndtr(clumps / clumps.std())
    return (rank[..., None] > below[patch]).sum(-1).astype(np.uint8)
