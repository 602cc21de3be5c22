"""On a GPU, pretended where there is none: no operation mixes devices, and the host waits for it once a forward pass."""

import pytest
import torch

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from imrsf_d2.modeling.sensor_batch import assemble_sensors
from imrsf_d2.modeling.tokens import sincos_position_embedding
from imrsf_d2.modeling.transfer import to_device
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images
from tests.modeling.pretraining import BATCH, build_pretraining, make_samples
from tests.pretended_gpu import GPU, OnGPU, PretendedGPU

COMPLETE = make_images(SUBSETS[-1:] * 2)
SIZE = tuple(COMPLETE.shape[-2:])
#: Samples that lack sensors, and some that lack patches of those that they have.
GAPS = torch.cat([make_images([SUBSETS[i] for i in (7, 0, 3, 7)]), make_images([SUBSETS[i] for i in (7, 5)], "partial")])


@pytest.fixture
def gpu():
    sincos_position_embedding.cache_clear()  # what is cached is of one device
    with PretendedGPU() as pretended:
        yield pretended
    sincos_position_embedding.cache_clear()


def leaves(output):
    """All tensors of nested dictionaries and lists, on the CPU."""
    if isinstance(output, torch.Tensor):
        return [output.inner if isinstance(output, OnGPU) else output]
    return [leaf for part in (output.values() if isinstance(output, dict) else output) for leaf in leaves(part)]


def loss_of(output):
    return sum(values.square().sum() for values in output.values())


@pytest.mark.parametrize(
    "images, ablation",
    [
        (COMPLETE, {}),
        (GAPS, {}),
        (GAPS, {"gather": "mean_bilstm"}),
        (GAPS, {"gather": "none", "readout": "modalities"}),
        (GAPS, {"masked_attention": False}),
    ],
    ids=["complete", "gaps", "mean", "modalities", "full attention"],
)
def test_the_host_waits_once_to_learn_which_patches_are_present(images, ablation, gpu):
    """In training, inference, and a sweep; with the results of the CPU, to the bit."""
    own, model = build(drop_path=0.3, **ablation), gpu.to_gpu(build(drop_path=0.3, **ablation))
    model(OnGPU(images))  # caches the positions

    def trained(model, images):
        torch.manual_seed(1)
        model.train().zero_grad()
        output = model(images)
        loss_of(output).backward()
        return {"maps": output, "gradients": [parameter.grad for parameter in model.parameters()]}

    def inferred(model, images):
        with torch.no_grad():
            output = model.eval().encode(images, streams=True, layers=[0])
        return [output.fusion, output.streams, output.present, output.importance, output.layers]

    def swept(model, images):
        with torch.no_grad():
            return model.eval().forward_subsets(images, SUBSETS[2:5])

    for run in (trained, inferred, swept):
        gpu.waits.clear()
        found = leaves(run(model, OnGPU(images)))
        passes = 1 if run is not swept or model.shares_streams else 3
        assert dict(gpu.waits) == {"layout.py copy to the CPU": passes}
        assert all(map(torch.equal, found, leaves(run(own, images))))


@pytest.mark.parametrize("subset", [None, ("sar", "landuse")], ids=["any subset", "a subset"])
@torch.no_grad()
def test_a_backbone_for_export_never_waits(subset, gpu):
    vit = build().eval()
    own, model = FixedBackbone(vit, SIZE, subset).eval(), gpu.to_gpu(FixedBackbone(build().eval(), SIZE, subset).eval())
    images = make_images([subset] * 2) if subset else GAPS
    bands = dict(zip(("sar", "rgb", "landuse"), images[:, :5].split([m.channels for m in MODALITIES], dim=1)))
    given = {name: bands[name] for name in subset or bands}
    validity = [] if subset else [images[:, 5:]]
    found = leaves(model({name: OnGPU(values) for name, values in given.items()}, *map(OnGPU, validity)))
    assert not gpu.waits
    assert all(map(torch.equal, found, leaves(own(given, *validity))))


def test_sensors_by_name_become_a_batch_without_waiting(gpu):
    modalities = ModalitySet(MODALITIES)
    sensors = {"sar": 9 * torch.randn(2, 1, *SIZE), "rgb": torch.randn(2, 3, *SIZE)}
    sensors["rgb"][0, 1, 2, 3] = torch.nan
    flags = torch.tensor([[True, False, True], [True, True, False]])
    on_gpu = {name: OnGPU(values) for name, values in sensors.items()}
    found = assemble_sensors(on_gpu, modalities, OnGPU(flags))
    assert not gpu.waits
    assert torch.equal(found.inner, assemble_sensors(sensors, modalities, flags))


@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_pretraining_waits_once_to_draw_what_is_visible(coverage, gpu):
    own, model = build_pretraining(), gpu.to_gpu(build_pretraining())
    samples = make_samples(BATCH, coverage)

    def losses(model):
        model.train().zero_grad()
        found = model(samples)
        sum(found.values()).backward()
        return [found, [parameter.grad for parameter in model.parameters()]]

    losses(model)  # caches the positions
    gpu.waits.clear()
    found = leaves(losses(model))
    assert dict(gpu.waits) == {"pretrain.py copy to the CPU": 1}
    assert all(map(torch.equal, found, leaves(losses(own))))

    with torch.no_grad():
        gpu.waits.clear()
        found = leaves([list(sample.values()) for sample in model.eval()(samples)])
        assert dict(gpu.waits) == {"pretrain.py copy to the CPU": 1}
        assert all(map(torch.equal, found, leaves([list(sample.values()) for sample in own.eval()(samples)])))


def test_tensors_of_any_type_and_size_arrive_in_one_copy(gpu):
    tensors = {
        "flags": torch.tensor([[True, False, True]]),
        0: torch.tensor(7),
        ("a", 1): torch.arange(5)[::2],
        "none": torch.empty(0, 3),
        "numbers": torch.randn(3, 5).T,
    }
    moved = to_device(tensors, GPU)
    assert not gpu.waits and list(moved) == list(tensors)
    for key, values in tensors.items():
        assert isinstance(moved[key], OnGPU) and moved[key].dtype == values.dtype
        assert torch.equal(moved[key].inner, values)


def test_a_pretended_gpu_notices_what_a_real_one_would(gpu):
    values = OnGPU(torch.arange(4.0))
    with pytest.raises(RuntimeError, match="on the CPU"):
        values + torch.ones(4)
    assert (values + torch.tensor(1.0)).inner.tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(TypeError, match="NumPy"):
        values.numpy()
    assert not gpu.waits
    for waits in (
        lambda: values[[0, 2]],
        lambda: values[values > 1],
        lambda: values[torch.tensor([1])],
        lambda: values.sum().item(),
        lambda: bool(values.any()),
        lambda: values.tolist(),
        lambda: values.unique(),
        lambda: torch.tensor([1.0], device=values.device),
        lambda: values.new_tensor([1.0]),
        lambda: torch.ones(3).to(values.device, non_blocking=True),
        lambda: torch.ones(3).pin_memory().to(values.device),
        lambda: values.copy_(torch.ones(4)),
        lambda: values.cpu(),
    ):
        gpu.waits.clear()
        waits()
        assert gpu.waits, waits.__code__
    gpu.waits.clear()
    (
        torch.ones(3).pin_memory().to(values.device, non_blocking=True),
        torch.arange(3, device=values.device),
        values.new_zeros(2),
    )
    assert values[1:3].device == values[torch.arange(2, device=GPU)].device == GPU and not gpu.waits
