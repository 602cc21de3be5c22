import pytest

from imrsf_d2.engine.configuration import load_config
from tests.tiny import DEMO_CONFIG, OVERRIDES


@pytest.fixture
def tiny_config(tiny_root, tmp_path, monkeypatch):
    """load_config of a tiny model on tiny data; takes further KEY VALUE overrides."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def load(*opts):
        return load_config(DEMO_CONFIG, [*OVERRIDES, "OUTPUT_DIR", str(tmp_path / "run"), *opts])

    return load
