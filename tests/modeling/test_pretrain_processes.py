"""Pre-training in several processes, whose batches may lack sensors, equals that in one."""

import pytest
import torch

from tests.modeling.conftest import SUBSETS
from tests.modeling.pretraining import NAMES, build_pretraining, losses_and_gradients, make_samples, masks_of
from tests.processes import run_in_processes


def step_of_half(path):
    """Losses and averaged gradients of this process' half of the batch."""
    from detectron2.engine import create_ddp_model
    from detectron2.utils import comm

    results = {}
    for case in CASES:
        name, contrastive = case
        wrapped = create_ddp_model(build_pretraining(contrastive), broadcast_buffers=False, device_ids=None)
        losses, gradients = losses_and_gradients(wrapped, halves(name)[comm.get_rank()])
        results[case] = comm.reduce_dict({k: v.detach() for k, v in losses.items()}), gradients
    if comm.is_main_process():
        torch.save(results, path)


def halves(name):
    """The samples of each process."""
    samples = make_samples(HALVES[name], "partial")
    return samples[: len(samples) // 2], samples[len(samples) // 2 :]


#: Batches of which each process has one half.
HALVES = {
    "mixed": SUBSETS,
    "all sensors": [NAMES] * 6,
    "a sensor in one process only": [("sar",), ("sar",), ("rgb",), NAMES],
    "nothing in one process": [(), (), NAMES, ("rgb", "landuse")],
}
CASES = [(name, contrastive) for name in HALVES for contrastive in (True, False)]


def test_processes_with_all_sensors_hide_different_numbers_of_patches_of_each():
    hidden = [
        sum((p & ~v).sum(dim=1) for p, v in zip(*masks_of(build_pretraining(), half))) for half in halves("all sensors")
    ]
    assert all(first != second for first, second in zip(*hidden)) and torch.stack(hidden).all()


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    run_in_processes(step_of_half, tmp_path / "two.pth")
    two = torch.load(tmp_path / "two.pth")
    for case in CASES:
        name, contrastive = case
        losses, gradients = losses_and_gradients(build_pretraining(contrastive), make_samples(HALVES[name], "partial"))
        for key, loss in losses.items():
            assert two[case][0][key].item() == pytest.approx(loss.item(), rel=1e-5), (case, key)
        for key, gradient in gradients.items():
            # Of the wrapped model, whose names have one more part.
            torch.testing.assert_close(
                two[case][1][f"module.{key}"],
                gradient,
                rtol=1e-5,
                atol=1e-6,
                msg=lambda text, case=case, key=key: f"{case}: {key}: {text}",
            )
