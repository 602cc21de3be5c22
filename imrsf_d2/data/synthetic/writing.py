"""How every synthetic layout is written: files whole or absent, folders marked until complete, never over real data."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine
from tqdm import tqdm

from imrsf_d2.atomic import write_text

MARKER = "synthetic.json"


def write_raster(path: Path, image: np.ndarray, epsg: int, transform: Affine) -> None:
    """Write [H, W] or [H, W, C] as a GeoTIFF under a temporary name, then give it its own."""
    bands = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    temporary = path.with_name(f"{path.name}.tmp")
    with rasterio.open(temporary, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
                       dtype=bands.dtype, crs=f"EPSG:{epsg}", transform=transform, compress="deflate",
                       zlevel=1) as file:
        file.write(bands)
    os.replace(temporary, path)


def write_json(path: Path, content: dict) -> None:
    """Write compact JSON, whole or not at all."""
    write_text(path, json.dumps(content, separators=(",", ":")) + "\n")


def claim_folder(output: Path, parameters: dict, owned: Sequence[str], overwrite: bool) -> bool:
    """Decide whether `output` must be (re)written, and mark it as being written if so.

    Args:
        parameters: what the data follows from; JSON-able. Recorded in `synthetic.json`.
        owned: names below `output` that the layout writes; the only ones ever looked at or removed.

    Returns:
        False if the folder already holds exactly this data, complete.

    Raises:
        FileExistsError: if other data is there. Data without our marker is never removed, `overwrite` or not.
    """
    marker = output / MARKER
    parameters = json.loads(json.dumps(parameters))
    present = [name for name in owned if (output / name).exists()]
    if marker.exists():
        found = json.loads(marker.read_text())
        same = found.get("parameters") == parameters
        if same and found.get("complete") and present == list(owned):
            return False
        if not same and not overwrite:
            old = found.get("parameters", {})
            differing = sorted(key for key in {*old, *parameters} if old.get(key) != parameters.get(key))
            raise FileExistsError(f"{output} holds synthetic data made with other parameters (differing: "
                                  f"{', '.join(differing)}). Choose another --output, or replace it with --overwrite.")
        if not same:
            for name in present:
                (shutil.rmtree if (output / name).is_dir() else os.unlink)(output / name)
    elif present:
        raise FileExistsError(f"{output}/{present[0]} exists and was not written by this command (no {MARKER} beside "
                              "it), so it is left alone. Choose another --output; --overwrite does not replace it.")
    output.mkdir(parents=True, exist_ok=True)
    write_json(marker, {"complete": False, "parameters": parameters})
    return True


def mark_complete(output: Path, parameters: dict) -> None:
    """Record that everything is on disk; the last file written."""
    write_json(output / MARKER, {"complete": True, "parameters": parameters})


def run_jobs(job: Callable, items: list, num_workers: int, progress: bool) -> list:
    """`[job(item) for item in items]`, in order, on several processes if asked for.

    Args:
        job: a picklable function of one item whose result depends on nothing else.
        num_workers: 1 runs in this process; 0 takes all cores this process may use.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    num_workers = min(num_workers or cores, len(items) or 1)
    watch = lambda results: list(tqdm(results, total=len(items), unit="tile", disable=not progress))  # noqa: E731
    if num_workers == 1:
        return watch(map(job, items))
    # Spawned, not forked: the caller may hold threads (torch, OpenCV) that do not survive a fork.
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        return watch(pool.map(job, items, chunksize=4))
