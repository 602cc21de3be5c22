"""Views of a sample: rows that equal what is read without the modalities that they leave out."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.views import batch_of_views, expand_views
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.modalities import ModalitySet
from tests.engine.test_loop import Mean


@pytest.fixture
def sample(dfc2023):
    return load_dfc2023(dfc2023, "train")[0]


def test_a_row_is_what_would_be_read_without_the_other_modalities(make_config, sample):
    settings = dict(INPUT__CROP__ENABLED=False, INPUT__DIHEDRAL=False, INPUT__SCALE_JITTER=[1.0, 1.0], INPUT__PHOTOMETRIC=[])
    cfg = make_config(INPUT__MODALITY_DROPOUT__VIEWS=["complete", "incomplete", "drawn"], **settings)
    complete_cfg = make_config(INPUT__MODALITY_DROPOUT__ENABLED=False, **settings)
    mapper, complete = build_mapper(cfg, is_train=True), build_mapper(complete_cfg, is_train=True)
    samples = [mapper({**sample, "draw": draw}) for draw in range(12)]
    rows = batch_of_views(cfg)(samples)
    assert len(rows) == 36 and batch_of_views(complete_cfg) is None
    left_out = set()
    for i, row in enumerate(rows):
        kept = samples[i % 12]["views"][i // 12]
        assert row["modalities"] == kept and row["instances"] is samples[i % 12]["instances"]
        without = {name: path if name in kept else None for name, path in sample["modalities"].items()}
        assert torch.equal(row["image"], complete({**sample, "modalities": without, "draw": 0})["image"])
        left_out |= set(sample["modalities"]) - set(kept)
    assert left_out == set(ModalitySet.from_config(cfg).names)
    assert all(row["modalities"] == ModalitySet.from_config(cfg).names for row in rows[:12])


def test_a_file_that_cannot_be_read_is_in_no_view(make_config, sample, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"not a raster")
    cfg = make_config(INPUT__MODALITY_DROPOUT__VIEWS=["complete", "incomplete"])
    mapper, modalities = build_mapper(cfg, is_train=True), ModalitySet.from_config(cfg)
    damaged = {**sample, "modalities": {**sample["modalities"], modalities.names[0]: str(broken)}}
    for draw in range(8):
        read = mapper({**damaged, "draw": draw})
        assert all(view and modalities.names[0] not in view for view in read["views"])
        assert all(row["modalities"] for row in expand_views([read], modalities))


def test_the_loop_trains_on_the_rows_of_a_micro_batch():
    seen = []

    class Watched(Mean):
        def forward(self, batch):
            seen.append(list(batch))
            return super().forward(batch)

    model = Watched()
    batch = list(torch.randn(4, 3))
    loop = TrainingLoop(
        model,
        [batch],
        torch.optim.SGD(model.parameters(), lr=0.1),
        accumulate=2,
        expand=lambda rows: [*rows, *(-row for row in rows)],
    )
    with EventStorage() as storage:
        loop.iter = storage.iter = 0
        loop.run_step()
    assert [len(rows) for rows in seen] == [4, 4]
    assert torch.equal(torch.stack(seen[1]), torch.stack([batch[2], batch[3], -batch[2], -batch[3]]))
