"""Which Python `make env` takes, what it builds the attention op for, and what it says where it cannot.

Nothing is installed or compiled here.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LOGIN_NODE, GPU_NODE, CPU_TORCH = "2.15.0 13.2 False", "2.15.0 13.2 True", "2.15.0+cpu none False"

PYTHON = '#!/bin/bash\ncase "$2" in *torch*) echo "{facts}" ;; *) echo /nowhere ;; esac\n'
#: Stands in for the build: writes what it was asked for, and fails if CUDA was and may not be.
UV = """#!/bin/bash
echo "cuda=$FORCE_CUDA cpu=$FORCE_CPU list=$TORCH_CUDA_ARCH_LIST" >>"$(dirname "$0")/../built"
[ "$FORCE_CUDA" != 1 ] || {cuda_works}
"""
NVCC = "#!/bin/bash\necho Cuda compilation tools, release 12.4, V12.4.99\n"


def install(folder, interpreters, *wanted):
    """Run install.sh where PATH holds nothing but stand-ins for interpreters, name -> version, that cannot make environments."""
    for name, version in interpreters.items():
        file = folder / name
        file.write_text(f'#!/bin/bash\ncase "$2" in *version_info*) echo {version} ;; *) exit 1 ;; esac\n')
        file.chmod(0o755)
    for tool in ("bash", "dirname", "ls"):
        (folder / tool).symlink_to(shutil.which(tool))
    return subprocess.run(
        ["bash", REQUIREMENTS / "install.sh", folder / "venv", *wanted],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": str(folder)},
    )


@pytest.mark.parametrize(
    "interpreters,taken",
    [
        ({"python3.11": "3.11", "python3.14": "3.14"}, "python3.11 (Python 3.11)"),
        ({"python3.10": "3.10", "python3.14": "3.14", "python3": "3.10"}, "python3.14 (Python 3.14)"),
        ({"python3": "3.13"}, "python3 (Python 3.13)"),
        ({"python3": "3.10", "python": "3.12"}, "python (Python 3.12)"),
    ],
)
def test_the_python_that_an_environment_is_made_with(tmp_path, interpreters, taken):
    result = install(tmp_path, interpreters)
    assert result.returncode == 1 and f"{taken} cannot make virtual environments" in result.stderr


@pytest.mark.parametrize(
    "interpreters,said",
    [
        ({}, "3.11 to 3.14 are supported. Found: none."),
        ({"python3.10": "3.10", "python3": "3.15"}, "3.11 to 3.14 are supported. Found: python3=3.15."),
    ],
)
def test_no_python_that_would_do_is_an_error_that_lists_those_found(tmp_path, interpreters, said):
    result = install(tmp_path, interpreters)
    assert result.returncode == 1 and f"no usable Python found; {said}" in result.stderr


@pytest.mark.parametrize("version", ["3.10", "3.15", "3.1"])
def test_a_python_that_was_asked_for_and_is_not_supported_is_refused(tmp_path, version):
    result = install(tmp_path, {"chosen": version, "python3.11": "3.11"}, tmp_path / "chosen")
    assert result.returncode == 1 and f"chosen is Python {version}; 3.11 to 3.14 are supported" in result.stderr


class Machine:
    """An environment of which torch, nvcc and the build are stand-ins."""

    def __init__(self, root, facts, nvcc=True, cuda_works=True):
        self.venv, self.cuda = root / "venv", root / "cuda"
        for folder in (self.venv / "bin", self.cuda / "bin"):
            folder.mkdir(parents=True)
        self._write(self.venv / "bin/python", PYTHON.format(facts=facts))
        self._write(self.venv / "bin/uv", UV.format(cuda_works=str(cuda_works).lower()))
        if nvcc:
            self._write(self.cuda / "bin/nvcc", NVCC)

    @staticmethod
    def _write(path, text):
        path.write_text(text)
        path.chmod(0o755)

    def build_op(self, **environment):
        code = '. "$REQ/common.sh"; . "$REQ/attention_op.sh"; build_op'
        kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_CUDA", "TORCH_CUDA_ARCH_LIST")}
        paths = {"VENV": str(self.venv), "REQ": str(REQUIREMENTS), "CUDA_HOME": str(self.cuda)}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env=kept | paths | environment,
        )

    @property
    def built(self):
        """What was asked of each build."""
        record = self.venv / "built"
        return record.read_text().splitlines() if record.exists() else []

    @property
    def stamp(self):
        stamp = self.venv / ".msdeform-built"
        return stamp.read_text().strip() if stamp.exists() else None


@pytest.mark.parametrize(
    "facts,asked,built,stamp",
    [
        (LOGIN_NODE, {"FORCE_CUDA": "1"}, "cuda=1 cpu=0 list=8.0;9.0+PTX", "cuda 8.0;9.0+PTX torch-2.15.0"),
        (LOGIN_NODE, {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "7.5"}, "cuda=1 cpu=0 list=7.5", "cuda 7.5 torch-2.15.0"),
        (LOGIN_NODE, {}, "cuda=0 cpu=1 list=", "cpu torch-2.15.0"),
        (LOGIN_NODE, {"FORCE_CUDA": "0"}, "cuda=0 cpu=1 list=", "cpu torch-2.15.0"),
        (GPU_NODE, {}, "cuda=1 cpu=0 list=", "cuda visible-cards torch-2.15.0"),
        (GPU_NODE, {"FORCE_CUDA": "1"}, "cuda=1 cpu=0 list=", "cuda visible-cards torch-2.15.0"),
        (CPU_TORCH, {}, "cuda=0 cpu=1 list=", "cpu torch-2.15.0+cpu"),
    ],
)
def test_the_op_is_built_for_what_is_there_or_asked_for(tmp_path, facts, asked, built, stamp):
    machine = Machine(tmp_path, facts)
    result = machine.build_op(**asked)
    assert result.returncode == 0, result.stderr
    assert (machine.built, machine.stamp) == ([built], stamp)


@pytest.mark.parametrize(
    "nvcc,cuda_works,facts,message",
    [
        (True, False, LOGIN_NODE, r"the CUDA build failed.*is 12.4, torch 2.15.0 is built for CUDA 13.2.*=8.0;9.0\+PTX"),
        (False, True, LOGIN_NODE, r"FORCE_CUDA=1 needs CUDA's compiler nvcc, and there is none \(looked in .*cuda/bin\)"),
        (False, True, GPU_NODE, r"FORCE_CUDA=1 needs CUDA's compiler nvcc"),
        (True, True, CPU_TORCH, r"needs a torch that is built for CUDA; .* has torch 2.15.0\+cpu"),
    ],
)
def test_cuda_that_was_asked_for_and_cannot_be_built_is_an_error(tmp_path, nvcc, cuda_works, facts, message):
    machine = Machine(tmp_path, facts, nvcc, cuda_works)
    result = machine.build_op(FORCE_CUDA="1")
    assert result.returncode == 1
    assert not any("cpu=1" in line for line in machine.built) and machine.stamp is None
    assert re.search(message, result.stderr.replace("\n[env]        ", " "), re.S), result.stderr


def test_cuda_that_nobody_asked_for_falls_back_with_the_versions(tmp_path):
    machine = Machine(tmp_path, GPU_NODE, cuda_works=False)
    result = machine.build_op()
    assert result.returncode == 0
    assert "WARNING: the CUDA build failed" in result.stdout and "is 12.4, torch is built for CUDA 13.2" in result.stdout
    assert machine.stamp == "cpu torch-2.15.0"


@pytest.mark.parametrize(
    "stamp,facts,asked,rebuilds",
    [
        ("cpu torch-2.15.0", LOGIN_NODE, {}, False),
        ("cpu torch-2.14.0", LOGIN_NODE, {}, True),
        ("cpu torch-2.15.0", LOGIN_NODE, {"FORCE_CUDA": "1"}, True),
        ("cuda 8.0;9.0+PTX torch-2.15.0", LOGIN_NODE, {"FORCE_CUDA": "1"}, False),
        # A CUDA build holds the CPU's op: it is not replaced by less.
        ("cuda 8.0;9.0+PTX torch-2.15.0", LOGIN_NODE, {}, False),
        ("cuda 8.0;9.0+PTX torch-2.15.0", GPU_NODE, {}, False),
        ("cuda 8.0;9.0+PTX torch-2.14.0", LOGIN_NODE, {}, True),
        ("cuda 8.0;9.0+PTX torch-2.15.0", LOGIN_NODE, {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "7.5"}, True),
    ],
)
def test_the_op_is_built_again_only_for_another_torch_or_more_than_it_has(tmp_path, stamp, facts, asked, rebuilds):
    machine = Machine(tmp_path, facts)
    (machine.venv / ".msdeform-built").write_text(stamp)
    assert machine.build_op(**asked).returncode == 0
    assert bool(machine.built) == rebuilds


def test_an_environment_that_stands_is_looked_at_again_when_cuda_is_asked_for(tmp_path):
    """Else `FORCE_CUDA=1 make env` after `make env` would do nothing, and say nothing."""
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / ".complete").touch()
    commands = [
        subprocess.run(
            ["make", "--dry-run", "env", f"VENV={venv}"],
            cwd=REQUIREMENTS.parent,
            text=True,
            timeout=60,
            capture_output=True,
            env=os.environ | {"FORCE_CUDA": value},
        ).stdout
        for value in ("0", "1")
    ]
    assert ["install.sh" in command for command in commands] == [False, True]


def fat_binary(*entries):
    """An extension's bytes with device code (kind, architecture, content), between other things."""
    body = b"".join(
        struct.pack("<HHIQIIHHI", kind, 0, 64, len(content), 0, 0, 0, 8, architecture) + bytes(32) + content
        for kind, architecture, content in entries
    )
    return b"\x7fELF host code" + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body + b"more"


@pytest.mark.parametrize(
    "architectures,code,said",
    [
        ("8.0;9.0+PTX", 0, "op_kernel for sm_80, sm_90, PTX of sm_90"),
        ("8.0 9.0a", 0, "op_kernel for sm_80, sm_90, PTX of sm_90"),
        ("8.0+PTX", 1, "missing: PTX of sm_80"),
        ("7.5;8.6", 1, "missing: sm_75, sm_86"),
    ],
)
def test_the_cards_that_an_extension_has_kernels_for(tmp_path, architectures, code, said):
    file = tmp_path / "_C.so"
    file.write_bytes(fat_binary((2, 80, b"..op_kernel.."), (2, 90, b"op_kernel"), (1, 90, b"ptx"), (2, 86, b"another")))
    result = subprocess.run(
        [sys.executable, REQUIREMENTS / "cuda_kernels.py", file, "op_kernel", architectures],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, said in result.stdout) == (code, True), result.stdout + result.stderr


NVCC_HERE = shutil.which("nvcc", path=f"{os.environ.get('CUDA_HOME', '/usr/local/cuda')}/bin:{os.environ['PATH']}")
KERNEL = """
__global__ void op_kernel(float *x) { x[threadIdx.x] *= 2; }
void launch(float *x) { op_kernel<<<1, 32>>>(x); }
"""


@pytest.mark.slow
@pytest.mark.skipif(not NVCC_HERE, reason="needs CUDA's compiler nvcc, and there is none")
def test_kernels_that_nvcc_has_compiled_are_found(tmp_path):
    """What `make cuda-op` looks for in the attention op, which takes minutes to compile, here in one line of CUDA."""
    source, file = tmp_path / "op.cu", tmp_path / "_C.so"
    source.write_text(KERNEL)
    targets = ["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=[sm_90,compute_90]"]
    command = [NVCC_HERE, "-shared", "-Xcompiler", "-fPIC", *targets, "-o", file, source]
    subprocess.run(command, check=True, capture_output=True, timeout=600)

    def looked_for(kernel, architectures):
        command = [sys.executable, REQUIREMENTS / "cuda_kernels.py", file, kernel, architectures]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    default = re.search(r'^DEFAULT_ARCHITECTURES="(.*)"$', (REQUIREMENTS / "attention_op.sh").read_text(), re.M)[1]
    assert "op_kernel for sm_80, sm_90, PTX of sm_90" in looked_for("op_kernel", default).stdout
    assert [looked_for("op_kernel", each).returncode for each in (default, "8.6", "8.0+PTX")] == [0, 1, 1]
    assert looked_for("another_kernel", "8.0").returncode == 1
