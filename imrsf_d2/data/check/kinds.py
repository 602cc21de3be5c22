"""Everything that a check can find, with how to go on."""

from __future__ import annotations

from imrsf_d2.data.check.findings import Kind

__all__ = [
    "ABSENT_CLASSES",
    "BANDS",
    "BLACK_BORDER",
    "CONFIG",
    "CONSTANT",
    "CONSTANT_FILE",
    "COORDINATES",
    "DATA_TYPES",
    "DECIBELS",
    "ELSEWHERE",
    "FEW_VALID",
    "LABEL_CODES",
    "LABEL_FILE",
    "MASKS",
    "NOT_LOADED",
    "NOT_TRAINED",
    "NO_CLASSES",
    "NO_DATA",
    "NO_DATA_TAGS",
    "NO_OBJECTS",
    "NO_SENSOR",
    "NO_STATISTICS",
    "ORPHANS",
    "OTHER_STATISTICS",
    "OVERLAP",
    "PADDING",
    "PIXEL_SIZES",
    "QUERIES",
    "SAMPLES",
    "SAME_PIXELS",
    "SENTINEL",
    "SHARED",
    "SIZE",
    "UNIT",
    "UNMARKED",
    "UNREADABLE",
    "VALUES",
]

# --- whole datasets
NOT_LOADED = Kind("not_loaded", "dataset", "that cannot be loaded", "Nothing else could be looked at in it.")
SAMPLES = Kind("samples", "problem", "with the tiles and annotations of a dataset")
CONFIG = Kind("config", "", "a config that does not fit the data")
NO_SENSOR = Kind(
    "no_sensor",
    "dataset",
    "without a single file of a sensor that the model has",
    "Check the folder and the names of the files (FILES of a dataset.yaml), or remove the modality.",
)
NOT_TRAINED = Kind(
    "not_trained",
    "dataset",
    "with a sensor that no training tile has",
    "The model cannot learn it: give some training tiles this sensor, or remove the modality.",
)

# --- files
UNREADABLE = Kind(
    "unreadable",
    "file",
    "that cannot be read",
    "Download or create them again. A sensor's file may also be deleted: training takes such a sensor for missing, everything "
    "else is an error.",
)
BANDS = Kind("bands", "file", "with other bands", "CHANNELS or BANDS of the modality must fit all files of the sensor.")
VALUES = Kind("values", "file", "whose values are not those of the modality")
SIZE = Kind(
    "size",
    "file",
    "of another size",
    "All files of a tile must have one pixel grid, unless INPUT.ALIGN True resamples them by their georeferences.",
)
ELSEWHERE = Kind(
    "elsewhere",
    "file",
    "in another place",
    "Their pixels would be taken for the same place. INPUT.ALIGN True resamples them; INPUT.IGNORE_PLACES True pairs the pixels "
    "nevertheless, if the georeferences are wrong.",
)
COORDINATES = Kind("crs", "file", "in another coordinate system", ELSEWHERE.remedy)

# --- values
SENTINEL = Kind(
    "sentinel",
    "file",
    "with a no-data value that they do not declare",
    "It is read as a measurement. `gdal_edit.py -a_nodata VALUE FILE` declares it; NODATA of the modality does for all files.",
)
DECIBELS = Kind(
    "decibels",
    "file",
    "in decibels",
    "The modality has TRANSFORM: db, which takes linear power, so nearly all of their pixels would be 'no echo'. All files of a "
    "sensor must have one unit.",
)
UNIT = Kind(
    "unit",
    "band",
    "in another unit than MEAN and STD",
    "The model would see a constant, or numbers far beyond those of other sensors. tools/compute_statistics.py measures MEAN and "
    "STD.",
)
CONSTANT = Kind(
    "constant",
    "band",
    "with one value in all files",
    "Nothing can be learned from it: choose other BANDS, or remove the modality.",
)
NO_DATA = Kind(
    "no_data",
    "file",
    "without a single valid pixel",
    "The sensor counts as missing there. If it should not, correct the no-data tag, or NODATA of the modality.",
    is_problem=False,
)
FEW_VALID = Kind("few_valid", "file", "with data in less than a tenth of the pixels", is_problem=False)
BLACK_BORDER = Kind(
    "black_border",
    "file",
    "with an edge of zeros that are read as data",
    "If this is where a scene ends, declare it: NODATA: 0 of the modality, or a no-data tag of 0.",
    is_problem=False,
)
CONSTANT_FILE = Kind("constant_file", "file", "with one value in all pixels of a band", is_problem=False)
OTHER_STATISTICS = Kind(
    "other_statistics",
    "band",
    "whose values MEAN and STD do not describe well",
    "tools/compute_statistics.py measures them.",
    is_problem=False,
)
NO_STATISTICS = Kind(
    "no_statistics", "sensor", "without MEAN and STD, which training needs", "{command} measures them.", is_problem=False
)
DATA_TYPES = Kind("data_types", "", "its files differ in their data types", "Are they all in one unit?", is_problem=False)
NO_DATA_TAGS = Kind(
    "no_data_tags",
    "",
    "its files differ in their no-data tags",
    "Files without a tag have no other mark of missing data than NaN, a mask, or NODATA of the modality.",
    is_problem=False,
)
PIXEL_SIZES = Kind(
    "pixel_sizes", "", "tiles differ in the size of their pixels on the ground", "Scores mix them.", is_problem=False
)

# --- labels
LABEL_FILE = Kind("label_file", "file", "that cannot be a label map")
LABEL_CODES = Kind(
    "label_codes",
    "code",
    "without a meaning in the label maps",
    "CODES and UNLABELED of a dataset.yaml say which numbers stand for a class and which for 'not labeled'.",
)
MASKS = Kind("masks", "", "label maps that do not mean what was probably meant")
NO_CLASSES = Kind("no_classes", "dataset", "on which nothing can be scored")
ABSENT_CLASSES = Kind(
    "absent_classes", "dataset", "with a class without a pixel, or with hardly any label", is_problem=False
)
NO_OBJECTS = Kind("no_objects", "dataset", "without objects of a class", is_problem=False)
UNMARKED = Kind(
    "unmarked",
    "tile",
    "with objects that mark no pixel of it",
    "They are ignored. Outlines are in pixels from the upper left corner of the tile.",
    is_problem=False,
)
QUERIES = Kind(
    "queries",
    "tile",
    "with more objects than the model can find in one",
    "Cut smaller tiles, or raise what limits it: MODEL.MASK_FORMER.NUM_OBJECT_QUERIES, and TEST.DETECTIONS_PER_IMAGE for scores.",
    is_problem=False,
)

# --- splits
SHARED = Kind(
    "shared",
    "tile",
    "with a file that a training tile has too",
    "A score on training data says nothing about other places: give each tile to one split.",
)
SAME_PIXELS = Kind(
    "same_pixels",
    "file",
    "with the same pixels as a file of a training tile",
    "A score on training data says nothing about other places: give each tile to one split.",
)
OVERLAP = Kind(
    "overlap",
    "tile",
    "with ground of a training tile",
    "A score on ground that the model has seen says nothing about other places: split by place, not tile by tile.",
)
ORPHANS = Kind(
    "orphans",
    "file",
    "beside those of the dataset that none of its tiles has",
    "Add their tiles to a split, or remove them.",
    is_problem=False,
)
PADDING = Kind("padding", "dataset", "with tiles smaller than INPUT.CROP.SIZE", is_problem=False)
