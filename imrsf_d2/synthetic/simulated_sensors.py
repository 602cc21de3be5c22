"""Three sensors image a scene: an RGB photograph, a SAR image, and a normalized surface model (nDSM)."""

import cv2
import numpy as np

from imrsf_d2.synthetic.scene import PIXEL_M, Scene, smooth_noise
from imrsf_d2.synthetic.style import SensorStyle

TREE_COLORS = np.array([(52, 70, 40), (66, 82, 46), (84, 92, 50), (60, 74, 50)], np.float32)


def _shift(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The image moved by (dx, dy) px, interpolated bilinearly, its edges repeated."""
    move, size = np.array([[1, 0, dx], [0, 1, dy]], np.float32), image.shape[1::-1]
    return np.asarray(cv2.warpAffine(image, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def cast_shadow(height_m: np.ndarray, azimuth: float, elevation: float, most_px: int = 80) -> np.ndarray:
    """Where a light from `azimuth` (radians clockwise from north) at `elevation` (radians) does not reach.

    Returns:
        [H, W] float32 in [0, 1], 1 = in full shadow.
    """
    # Unit vector on the ground away from the light, in image axes: shadows fall that way.
    away = np.array([-np.sin(azimuth), np.cos(azimuth)])
    drop = np.tan(elevation) * PIXEL_M
    reach = np.zeros_like(height_m)
    steps = min(int(height_m.max() / drop) + 1, most_px)
    for step in range(1, steps + 1):
        reach = np.maximum(reach, _shift(height_m, *(away * step)) - step * drop)
    return np.clip((reach - height_m) / 0.5, 0, 1)


def render_rgb(
    rng: np.random.Generator,
    scene: Scene,
    style: SensorStyle,
    *,
    sun_azimuth: float,
    sharp: bool = True,
    nodata_corner: bool = False,
) -> np.ndarray:
    """A photograph from above.

    Args:
        sun_azimuth: radians clockwise from north.
        sharp: False for the coarser satellite.
        nodata_corner: leave one corner black.

    Returns:
        [S, S, 3] uint8; a valid pixel is never (0, 0, 0).
    """
    size = len(scene.albedo)
    surface = np.maximum(scene.roof_m, scene.canopy_m)
    tree = scene.canopy_m > scene.roof_m
    image = scene.albedo.copy()
    tint = TREE_COLORS[rng.integers(len(TREE_COLORS))]
    crowns = 1 + 0.25 * smooth_noise(rng, size, 3)
    image[tree] = (tint * crowns[..., None])[tree]

    light = np.array([np.sin(sun_azimuth), -np.cos(sun_azimuth)])
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(surface, (0, 0), 0.8))
    facing = -(slope_x * light[0] + slope_y * light[1])
    # Only the slopes of roofs and crowns are shaded, not the jumps at walls.
    inside = cv2.erode((surface > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) * 1.0
    strength = rng.uniform(*style.shadow)
    shade = 1 + np.clip(0.9 * facing, -0.35, 0.25) * inside * (strength / 0.6)
    dark = cast_shadow(surface, sun_azimuth, np.deg2rad(rng.uniform(35, 60)))
    shade = shade * (1 - strength * dark)

    grain = (
        rng.standard_normal((size, size)).astype(np.float32) * 0.5
        + smooth_noise(rng, size, 3) * 0.4
        + smooth_noise(rng, size, 9) * 0.6
    )
    image *= (shade * (1 + style.rgb_texture * grain))[..., None]
    blur = style.rgb_blur_px * (1.0 if sharp else 1.5)
    image = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0 else image
    haze = rng.uniform(*style.haze)
    image = image * (1 - haze) + haze * np.array((92, 98, 104), np.float32) * rng.uniform(0.85, 1.1)
    image *= rng.uniform(0.7, 1.25) * np.array((1.0, 1.06, 0.94), np.float32) * rng.uniform(0.96, 1.04, 3)
    image += rng.standard_normal(image.shape) * style.rgb_noise
    image = np.clip(np.rint(image), 1, 255).astype(np.uint8)
    if nodata_corner:
        x, y = np.mgrid[:size, :size][::-1] / size
        flip_x, flip_y = rng.integers(0, 2, 2)
        x, y = (1 - x if flip_x else x), (1 - y if flip_y else y)
        image[x / rng.uniform(0.3, 0.6) + y / rng.uniform(0.3, 0.6) < 1] = 0
    return image


def render_sar(rng: np.random.Generator, scene: Scene, style: SensorStyle) -> np.ndarray:
    """A multi-look SAR intensity image: bright walls that face the sensor, roofs laid over toward it, rough crowns.

    Returns:
        [S, S] float32, linear power within `style.sar_range`.
    """
    size = len(scene.roof_m)
    heading = rng.choice([0.0, np.pi]) + rng.normal(0, 0.15)  # seen from the west or from the east
    toward = np.array([-np.cos(heading), np.sin(heading)])  # from the scene to the sensor, in image axes
    incidence = np.deg2rad(rng.uniform(*style.sar_incidence_deg))
    surface = np.maximum(scene.roof_m, scene.canopy_m)
    tree = scene.canopy_m > scene.roof_m
    roof = (scene.roof_m > 0) & ~tree

    power = 0.17 * np.exp(0.35 * smooth_noise(rng, size, 20))
    power[scene.road] *= 0.5
    power[scene.decoy] *= 0.75
    gain = np.zeros((size, size), np.float32)
    for building in scene.buildings:
        window, mask = building.window, building.mask
        power[window][mask & roof[window]] = style.sar_roof * rng.lognormal(0, 0.5)
        gain[window][mask] = rng.lognormal(0, style.sar_wall_spread)  # metal reflects more than wood
    power[tree] = (style.sar_volume * np.exp(0.5 * smooth_noise(rng, size, 3)))[tree]
    # Ground and roofs that something higher hides from the radar return less.
    azimuth = np.arctan2(toward[0], -toward[1])
    power *= 1 - np.where(tree, 0.3, 0.6) * cast_shadow(surface, azimuth, np.pi / 2 - incidence)

    shift_px = np.minimum(surface / np.tan(incidence) / PIXEL_M, 40)
    image = _lay_over(power * np.cos(incidence), shift_px, toward)
    image += style.sar_wall * _walls(scene.roof_m, toward) * cv2.dilate(gain, np.ones((5, 5), np.uint8))
    image = _shift(image, *rng.uniform(-style.sar_shift_px, style.sar_shift_px, 2))

    cells = -(-size // style.sar_cell_px)
    coarse = cv2.resize(image, (cells, cells), interpolation=cv2.INTER_AREA)
    speckled = coarse * rng.gamma(style.sar_looks, 1 / style.sar_looks, coarse.shape)
    fine = cv2.resize(speckled.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(fine * rng.uniform(0.85, 1.2), *style.sar_range).astype(np.float32)


def _lay_over(power: np.ndarray, shift_px: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """The power [S, S] summed up after each pixel is moved `shift_px` toward the sensor; what leaves the tile is lost."""
    size = len(power)
    y, x = np.mgrid[:size, :size]
    x = np.rint(x + shift_px * toward[0]).astype(int)
    y = np.rint(y + shift_px * toward[1]).astype(int)
    kept = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    total = np.bincount(y[kept] * size + x[kept], weights=power[kept], minlength=size * size)
    return cv2.GaussianBlur(total.reshape(size, size).astype(np.float32), (0, 0), 0.6)


def _walls(roof_m: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """The double bounce [S, S] at the foot of walls: 0 to about 1, strongest where a wall faces the sensor squarely."""
    smooth = cv2.GaussianBlur((roof_m > 0).astype(np.float32), (0, 0), 1.0)
    slope_y, slope_x = np.gradient(smooth)
    facing = np.clip(-(slope_x * toward[0] + slope_y * toward[1]), 0, None) / 0.4
    length = np.hypot(slope_x, slope_y) / 0.4 + 1e-6
    # Taller walls return more; oblique ones reflect the pulse away, hence the power of the cosine.
    wall_m = np.minimum(cv2.dilate(roof_m, np.ones((5, 5), np.uint8)), 15)
    return facing * (facing / length) ** 2 * np.sqrt(wall_m / 15)


def render_dsm(rng: np.random.Generator, scene: Scene, style: SensorStyle) -> np.ndarray:
    """A height model above ground as from stereo matching: coarse, with wavy edges, without new and low objects.

    Returns:
        [S, S] float32 meters; exactly 0 on the ground.
    """
    size = len(scene.roof_m)
    surface = np.maximum(np.where(scene.surveyed, scene.roof_m, 0), scene.canopy_m).astype(np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x = x + style.dsm_warp_px * smooth_noise(rng, size, 8)
    y = y + style.dsm_warp_px * smooth_noise(rng, size, 8)
    surface = cv2.remap(surface, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cells = -(-size // style.dsm_cell_px)
    coarse = cv2.resize(surface, (cells, cells), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.6)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    fine += style.dsm_noise_m * smooth_noise(rng, size, 4) * np.minimum(fine / 3, 1)
    return np.where(fine < style.dsm_floor_m, 0, fine).astype(np.float32)
