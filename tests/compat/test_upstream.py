"""detectron2 and Mask2Former, as installed here, are usable; and builds that need nothing are left alone."""

import importlib
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from imrsf_d2.compat import upstream
from imrsf_d2.compat.msdeform import CPU_OP, PLAIN_OP

upstream.prepare()


def run_python(code: str, path: str = "") -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter: what is imported there is nobody else's. `path` goes before everything installed."""
    search = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": search},
    )


def test_prepare_twice_changes_nothing():
    import mask2former.maskformer_model as model
    import mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn as op

    before = (model.SetCriterion, op.MSDeformAttnFunction, op.ms_deform_attn_core_pytorch)
    upstream.prepare()
    upstream.prepare()
    after = (model.SetCriterion, op.MSDeformAttnFunction, op.ms_deform_attn_core_pytorch)
    assert all(a is b for a, b in zip(before, after))


def test_op_can_be_forced_to_plain_and_back():
    best = upstream.verify_op("cpu")
    try:
        upstream.prepare("plain")
        assert upstream.verify_op("cpu") == PLAIN_OP
    finally:
        upstream.prepare("auto")
    assert upstream.verify_op("cpu") == best


def test_unknown_op_is_an_error():
    with pytest.raises(ValueError, match="'fast'.*'auto', 'plain'"):
        upstream.prepare("fast")


@pytest.mark.parametrize("package", ["detectron2", "mask2former"])
def test_missing_package_is_an_error_with_the_remedy(package):
    result = run_python(f"""
        import importlib.util as util
        real = util.find_spec
        util.find_spec = lambda name, *a: None if name == {package!r} else real(name, *a)
        from imrsf_d2.compat import upstream
        upstream.prepare()
    """)
    assert result.returncode == 1
    assert f"UpstreamError: {package} is not installed" in result.stderr
    assert "make env" in result.stderr


def test_healthy_source_build_is_untouched():
    """With the source-built extension and a GPU, neither the op, nor the slow path, nor the criterion is replaced."""
    result = run_python("""
        import sys, types, torch
        torch.cuda.is_available = lambda: True
        extension = types.ModuleType("MultiScaleDeformableAttention")
        extension.ms_deform_attn_forward = extension.ms_deform_attn_backward = lambda *args: None
        sys.modules["MultiScaleDeformableAttention"] = extension
        sys.modules["detectron2._C"] = types.ModuleType("detectron2._C")
        import detectron2
        detectron2._C = sys.modules["detectron2._C"]
        import mask2former.modeling.criterion as criterion

        class SetCriterion(criterion.SetCriterion):
            def __init__(self, num_classes, matcher, weight_dict, eos_coef, losses, num_points, **kwargs): ...

        criterion.SetCriterion = SetCriterion
        import mask2former.maskformer_model as model
        model.SetCriterion = SetCriterion
        import mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn as op
        from mask2former.modeling.pixel_decoder.ops.functions import ms_deform_attn_func as source

        from imrsf_d2.compat import upstream
        upstream.prepare()
        assert op.MSDeformAttnFunction is source.MSDeformAttnFunction, op.MSDeformAttnFunction
        assert op.ms_deform_attn_core_pytorch is source.ms_deform_attn_core_pytorch
        assert model.SetCriterion is SetCriterion
        import detectron2.evaluation.fast_eval_api as fast
        assert fast.__file__ and fast.COCOeval_opt.__module__ == "detectron2.evaluation.fast_eval_api"
    """)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def uncompiled_source(tmp_path):
    """A folder with Mask2Former as its source is before `make.sh`: at import it insists on the extension."""
    installed = Path(find_spec("mask2former").origin).parent
    shutil.copytree(installed, tmp_path / "mask2former", ignore=shutil.ignore_patterns("__pycache__"))
    function = tmp_path / "mask2former/modeling/pixel_decoder/ops/functions/ms_deform_attn_func.py"
    text = function.read_text()
    if "    raise ModuleNotFoundError(info_string)" not in text:  # as in the source; a copy has changed it
        assert text.count("    MSDA = None") == 1
        function.write_text(text.replace("    MSDA = None", "    raise ModuleNotFoundError(info_string)"))
    return tmp_path


def test_source_without_its_compiled_op_is_used_with_another(uncompiled_source):
    result = run_python(
        """
        import importlib.util, logging, sys
        import pytest
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        with pytest.raises(ModuleNotFoundError, match="Please compile MultiScaleDeformableAttention"):
            import mask2former  # as it is
        from imrsf_d2.compat import environment
        from imrsf_d2.compat import upstream
        report = environment.examine()
        assert report.ok, report
        lines = dict(report.lines)
        assert "source in" in lines["mask2former"], lines
        assert lines["MSDeformAttn op"].startswith("compiled cpu"), lines
        # It is still absent for everybody else.
        assert importlib.util.find_spec("MultiScaleDeformableAttention") is None and not upstream.has_source_extension()
    """,
        str(uncompiled_source),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("MSDeformAttn on ") == 1
    assert "MSDeformAttn on cpu: compiled cpu, of torch-ms-deform-attn." in result.stdout


def test_an_extension_that_is_there_has_no_stand_in(tmp_path, monkeypatch):
    """Not even one that cannot be loaded: somebody compiled it, and would wonder why it does not run."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{upstream._EXTENSION}.py").write_text("raise ImportError('undefined symbol: at::Tensor')")
    with upstream.stand_in_for_absent_extension(), pytest.raises(ImportError, match="undefined symbol"):
        importlib.import_module(upstream._EXTENSION)
    compiled = SimpleNamespace()
    monkeypatch.setitem(sys.modules, upstream._EXTENSION, compiled)
    with upstream.stand_in_for_absent_extension():
        assert sys.modules[upstream._EXTENSION] is compiled


@pytest.fixture
def source_module(monkeypatch):
    """Mask2Former's module of the attention layer, as a source build has it; its op fails wherever it is called."""

    class MSDeformAttnFunction:
        @staticmethod
        def apply(*args):
            raise RuntimeError("no kernel image is available")

    upstream.prepare()
    monkeypatch.setattr(upstream, "has_source_extension", lambda: True)
    real = sys.modules[upstream._OP_MODULE]
    return SimpleNamespace(MSDeformAttnFunction=MSDeformAttnFunction, ms_deform_attn_core_pytorch=real._imrsf_original[1])


def test_source_build_without_a_gpu_uses_another_op(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    upstream.install_op(source_module)
    assert source_module.MSDeformAttnFunction.choice(torch.device("cpu"))[0] in (CPU_OP, PLAIN_OP)


def test_source_build_forced_to_plain_is_put_back(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = (source_module.MSDeformAttnFunction, source_module.ms_deform_attn_core_pytorch)
    upstream.install_op(source_module, force_plain=True)
    assert source_module.MSDeformAttnFunction.choice(torch.device("cpu"))[0] == PLAIN_OP
    upstream.install_op(source_module)
    assert (source_module.MSDeformAttnFunction, source_module.ms_deform_attn_core_pytorch) == before


def test_broken_source_build_is_found_by_verify_op(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    upstream.install_op(source_module)
    monkeypatch.setitem(sys.modules, upstream._OP_MODULE, source_module)
    monkeypatch.setattr(upstream, "compare_with_plain", lambda function, plain, device: function())  # no GPU needed
    with pytest.raises(upstream.UpstreamError, match=r"\(cuda\) fails on cuda: no kernel image.*IMRSF_MSDEFORM_OP=plain"):
        upstream.verify_op("cuda")
