"""Robustness, calibration, late fusion and paired differences against numbers worked out by hand or by COCO."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from detectron2.structures import Instances

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError
from projects.study.contributions import calibration, match_at_all
from projects.study.lanes import Lanes
from projects.study.late_fusion import LateFusion, fuse_instances
from projects.study.paired import image_counts, over_runs, paired_difference
from projects.study.plan import Model, Run
from projects.study.robustness import MEASURES, robustness
from tests.evaluation.test_instance_evaluator import NAME, dataset, random_predictions  # noqa: F401 (a fixture)

SCORES = {("a", "b"): 0.8, ("a",): 0.5, ("b",): 0.3}


@pytest.mark.usefixtures("dataset")
def test_predictions_matched_at_all_thresholds_score_as_the_evaluator_says(tmp_path):
    evaluator = InstanceEvaluator(NAME, output_dir=str(tmp_path))
    for image_id, found in random_predictions().items():
        evaluator.process([{"image_id": image_id}], [{"instances": found}])
    scores = evaluator.evaluate()["segm"]
    results = json.loads((tmp_path / "coco_instances_results.json").read_text())
    contributions = match_at_all(NAME, results)
    found = {metric: float(contributions.scores(metric, np.ones((1, 3), dtype=int))[0]) for metric in ("AP", "AP50")}
    assert found == pytest.approx({metric: scores[metric] / 100 for metric in found}) and 0 < found["AP"] < found["AP50"]


class OneSensor(torch.nn.Module):
    """Predicts a label map of one value and one object, and remembers what it was given."""

    def __init__(self, value):
        super().__init__()
        self.value, self.seen = value, []

    def forward(self, samples):
        self.seen += [sample["image"] for sample in samples]
        found = Instances((4, 4))
        found.pred_masks = torch.zeros(1, 4, 4)
        found.pred_masks[0, int(self.value)] = 1
        found.scores, found.pred_classes = torch.tensor([self.value / 10]), torch.tensor([0])
        return [{"sem_seg": torch.full((2, 4, 4), self.value), "instances": found} for _ in samples]


@pytest.mark.parametrize("having, asked", [("ab", "ab"), ("a", "a"), ("b", "b"), ("", "ab")])
def test_late_fusion_asks_the_models_of_the_sensors_that_are_there(having, asked):
    modalities = ModalitySet([Modality("a", 2), Modality("b", 1)])
    image = torch.arange(5.0)[:, None, None].expand(5, 4, 4).clone()
    image[3:] = torch.tensor([float(name in having) for name in "ab"])[:, None, None]
    members = {"a": OneSensor(1.0), "b": OneSensor(2.0)}
    (output,) = LateFusion(members, modalities, 10)([{"image": image}])
    given = {name: [seen[:, 0, 0].tolist() for seen in member.seen] for name, member in members.items()}
    channels = {"a": [0.0, 1.0, float("a" in having)], "b": [2.0, float("b" in having)]}
    assert given == {name: [channels[name]] if name in asked else [] for name in "ab"}
    values = [members[name].value for name in asked]
    assert (output["sem_seg"] == sum(values) / len(values)).all()
    assert output["instances"].scores.tolist() == pytest.approx([value / 10 for value in sorted(values, reverse=True)])


def test_robustness_by_hand():
    found = robustness(list(SCORES), lambda subset: np.asarray(SCORES[subset]))
    assert tuple(found) == MEASURES
    assert [float(found[name]) for name in MEASURES[:5]] == pytest.approx([0.8, 0.4, 0.3, 0.4, 1.6 / 3])
    assert float(found["E, p = 0.1"]) == pytest.approx(0.81 * 0.8 + 0.09 * 0.5 + 0.09 * 0.3)


def test_the_expectation_is_the_mean_over_drawn_failures():
    names, rng = ("a", "b", "c"), np.random.default_rng(0)
    subsets = [s for size in (3, 2, 1) for s in itertools.combinations(names, size)]
    scores = {subset: rng.random() for subset in subsets}
    works = rng.random((200_000, 3)) >= 0.2
    drawn = [scores.get(tuple(itertools.compress(names, row)), 0.0) for row in works.tolist()]
    found = robustness(subsets, lambda subset: np.asarray(scores[subset]))
    assert float(found["E, p = 0.2"]) == pytest.approx(np.mean(drawn), abs=3e-3)


def test_each_resample_has_its_own_worst_subset():
    scores = {("a", "b"): np.ones(2), ("a",): np.array([0.1, 0.9]), ("b",): np.array([0.7, 0.2])}
    assert robustness(list(scores), scores.__getitem__)["worst"].tolist() == [0.1, 0.2]


def test_a_missing_subset_is_named():
    with pytest.raises(ValueError, match=r"expected all of \('a', 'b'\)"):
        robustness([("a", "b"), ("a",)], lambda subset: np.asarray(0.0))


def test_calibration_by_hand():
    confidence, right = np.array([0.95, 0.91, 0.55, 0.05, 0.04]), np.array([True, False, True, False, True])
    image = np.array([0, 0, 1, 1, 1])
    images = InstanceImages((1, 2), np.array([[1], [2]]), image, np.zeros(5, int), confidence, right)
    found = calibration(images, np.array([[1, 1], [2, 0], [0, 0]]))
    # Bins of 0.9 to 1 (mean score 0.93, half right), 0.5 to 0.6 and 0 to 0.1; the last prediction is below LEAST_SCORE.
    assert found.error[:2] == pytest.approx([(2 * abs(0.93 - 0.5) + abs(0.55 - 1) + 0.05) / 4, abs(0.93 - 0.5)])
    assert found.excess[:2] == pytest.approx([(0.95 + 0.91 + 0.55 + 0.05 - 2) / 4, 0.93 - 0.5])
    assert np.isnan(found.error[2])


def test_paired_runs_cancel_what_they_share():
    counts = image_counts(num_images=50, resamples=200)
    assert counts[0].tolist() == [1] * 50 and (counts.sum(axis=1) == 50).all() and len(counts) == 201
    difficulty = np.random.default_rng(0).random(50)
    shared = {seed: counts @ difficulty / 50 + seed for seed in (1, 2, 3)}  # images and seeds matter far more than models
    better = {seed: values + 0.01 for seed, values in shared.items()}
    found = paired_difference(better, shared)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == pytest.approx((0.01,) * 3)
    assert (found.runs, found.verdict) == (3, "better")
    two = paired_difference({seed: better[seed] for seed in (1, 2)}, shared)
    assert (two.runs, two.verdict) == (2, "") and np.isnan(two.estimate.low)
    assert paired_difference({9: better[1]}, shared) is None


def test_an_interval_over_runs_is_students_and_adds_the_variance_over_images():
    runs = np.array([0.1, 0.3, 0.5])
    alone = over_runs(np.repeat(runs[:, None], 11, axis=1))
    assert (alone.value, alone.high) == pytest.approx((0.3, 0.3 + 4.303 * 0.2 / np.sqrt(3)), abs=1e-4)  # t of 2 degrees
    images = np.random.default_rng(0).normal(scale=0.1, size=5000)
    shared = over_runs(np.concatenate([[0.2], 0.2 + images])[None].repeat(3, axis=0))
    assert shared.high == pytest.approx(0.2 + 1.96 * 0.1, abs=5e-3)
    assert np.isnan(over_runs(np.full((3, 11), np.nan)).value)
    # Where one run alone was resampled, its images stand for those of all.
    one = over_runs([np.array([0.2]), np.concatenate([[0.2], 0.2 + images]), np.array([0.2])])
    assert one.high == pytest.approx(shared.high)
    none = over_runs([runs[:1], runs[1:2], runs[2:]])
    assert none.value == pytest.approx(0.3) and np.isnan(none.low)


def test_a_difference_is_over_the_resamples_that_both_runs_have():
    seeds, images = (1, 2, 3), np.random.default_rng(0).normal(size=50)
    first = {seed: np.concatenate([[1.0], 1 + images]) for seed in seeds}
    second = {seed: np.concatenate([[0.5], images]) if seed == 1 else np.array([0.5]) for seed in seeds}
    found = paired_difference(first, second)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == pytest.approx((0.5,) * 3)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("of_images", [0.0, 0.5, 1.0])
def test_few_runs_rarely_show_a_difference_where_there_is_none(count, of_images):
    """`of_images`: how much the images matter, in standard errors of the mean over runs. A bootstrap of the runs has 9 to 26 %."""
    rng, clear, trials = np.random.default_rng([count, int(2 * of_images)]), 0, 2000
    scale = of_images / np.sqrt(count)
    for _ in range(trials):
        runs = rng.normal(size=(count, 1)) + scale * rng.normal()
        values = runs + np.concatenate([[0.0], scale * rng.normal(size=60)])
        estimate = over_runs(values)
        clear += not estimate.low <= 0 <= estimate.high
    assert clear / trials < 0.07


def boxes(*corners, scores, classes=None):
    masks = torch.zeros(len(corners), 10, 10)
    for mask, (top, left, bottom, right) in zip(masks, corners):
        mask[top:bottom, left:right] = 1
    classes = torch.tensor(classes or [0] * len(corners))
    return Instances((10, 10), pred_masks=masks, scores=torch.tensor(scores), pred_classes=classes)


def test_late_fusion_keeps_the_better_of_two_that_are_one_object():
    first = boxes((0, 0, 4, 4), (6, 6, 9, 9), scores=[0.6, 0.3])
    second = boxes((0, 0, 4, 5), (0, 0, 4, 4), (0, 6, 3, 9), scores=[0.9, 0.8, 0.2], classes=[0, 1, 0])
    fused = fuse_instances([first, second], most=3)
    assert fused.scores.tolist() == pytest.approx([0.9, 0.8, 0.3])  # the class makes the second another object
    assert fused.pred_masks[0].sum() == 20 and len(fuse_instances([first[:0], second[:0]], most=3)) == 0


def test_lanes_keep_order_go_on_after_a_failure_and_name_the_log(tmp_path):
    member, bad = Model("member", "", (), (1,)), Model("bad", "", (), (1,))
    fused, spoiled = Model("fused", "", (), (1,), members=(member,)), Model("spoiled", "", (), (1,), members=(bad,))
    order = tmp_path / "order"

    def command(run):
        code = f"open({str(order)!r}, 'a').write('{run.name} ' + __import__('os').environ['OMP_NUM_THREADS'] + '\\n')"
        return [sys.executable, "-c", f"{code}; raise SystemExit({int(run.model is bad)})"]

    runs = [Run(model, 1) for model in (fused, spoiled, bad, member)]
    with pytest.raises(InputError, match="2 runs are not finished, see .*bad-seed1.txt"):
        Lanes(2, command, lambda run: tmp_path / "logs" / f"{run.name}.txt").work(runs)
    done = order.read_text().splitlines()
    assert sorted(done) == ["bad-seed1 1", "fused-seed1 1", "member-seed1 1"]
    assert done.index("member-seed1 1") < done.index("fused-seed1 1")


def test_the_process_of_a_lane_is_one_that_the_tool_takes(tmp_path):
    from tests.test_configs import REPOSITORY

    command = [sys.executable, str(REPOSITORY / "tools/study.py"), "--output", str(tmp_path), "--only", "nothing-seed1"]
    result = subprocess.run([*command, "--lanes", "0", "--runs-only"], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2 and "--only names 'nothing-seed1'" in result.stderr
