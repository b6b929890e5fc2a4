"""Compiles the Triton kernels ahead of time for one architecture, without a GPU.

``python tests/ops/compiled.py 90`` prints one JSON line a kernel: its registers, its spills in
bytes, its shared memory in bytes. The tiles are those of the launches.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from seattn.ops import dense, dense_kernels, kernels, silu_kernels

MAP, VECTOR, MASK = "*bf16", "*fp32", "*u8"
POINTERS = {
    "x": MAP, "y": MAP, "dx": MAP, "grad": MAP, "masked": MAP, "shortcut": MAP, "mask": MASK,
}  # fmt: skip
# (kernel, pointers that are None, values of the flags, values in a tile)
CASES = [
    ("moments_kernel", [], {}, 4096),
    ("affine_act_kernel", ["shortcut", "shortcut_scale", "mask"], {"RELU": True}, 4096),
    ("affine_act_kernel", ["shortcut_scale"], {"RELU": True}, 4096),
    ("affine_act_kernel", [], {"RELU": True}, 4096),
    (
        "affine_act_reduce_kernel",
        ["mask", "masked", "shortcut", "d_shortcut"],
        {"RELU": True},
        2048,
    ),
    ("affine_act_reduce_kernel", ["shortcut", "d_shortcut"], {"RELU": True}, 2048),
    ("affine_act_reduce_kernel", [], {"RELU": True}, 2048),
    ("affine_act_apply_kernel", ["shift"], {}, 4096),
    ("affine_act_apply_kernel", ["shift", "slope"], {}, 4096),
    ("affine_act_apply_kernel", [], {}, 4096),
    ("silu_sums_kernel", ["grad"], {}, 2048),
    ("silu_sums_kernel", [], {}, 2048),
    ("silu_gate_kernel", [], {}, 4096),
    ("silu_gate_apply_kernel", ["slope"], {}, 4096),
    ("silu_gate_apply_kernel", [], {}, 4096),
]
MAPS = [(3136, 256), (49, 2048), (12544, 64)]  # pixels and channels in a ResNet-50


def passes():
    """The kernels of `seattn.ops.kernels` and `silu_kernels`."""
    for name, absent, flags, size in CASES:
        for pixels, channels in MAPS:
            kernel = getattr(silu_kernels if name.startswith("silu") else kernels, name)
            constants = {**flags, **kernels._tile(pixels, channels, size)}
            yield kernel, absent, constants, POINTERS, {}


def dense_layers():
    """The kernels of `seattn.ops.dense_kernels`: both ends of a bottleneck, the stem, the gate."""
    half = dict.fromkeys(("x", "weight", "bias", "shortcut", "y"), MAP)
    half |= dict.fromkeys(("reduce", "reduce_bias", "expand", "expand_bias"), MAP)
    for bm, bn, bk, warps, stages in dense.LAUNCHES:
        for absent in ([], ["scale", "shortcut"]):
            constants = {
                "STRIDE": 1, "RELU": True, "SPAN": dense_kernels.span(3136, bm), "WHOLE": True,
                "EXACT": False, "BM": bm, "BN": bn, "BK": bk,
            }  # fmt: skip
            options = {"num_warps": warps, "num_stages": stages}
            yield dense_kernels.pointwise_kernel, absent, constants, half, options
    windows = {"SIDE": 7, "STRIDE": 2, "PADDING": 3}
    for k in (1, 3):
        constants = {"K": k, **windows, "RELU": True, "EXACT": False, "BM": 128, "BN": 64, "BK": 32}
        options = {"num_warps": 8, "num_stages": 2}
        yield dense_kernels.gathered_kernel, [], constants, half, options
    windows = {"SIDE": 3, "STRIDE": 2, "PADDING": 1}
    yield dense_kernels.max_pool_kernel, [], {**windows, "BM": 32, "BC": 64}, half, {}
    yield dense_kernels.squeeze_kernel, [], {"BP": 32, "BC": 128}, half, {}
    constants = {"SPLITS": 16, "EXACT": False, "BR": 128, "BK": 64, "BC": 128}
    options = {"num_warps": 8, "num_stages": 2}
    yield dense_kernels.excite_kernel, [], constants, half, options


def source(kernel, absent, constants, pointers):
    constants = constants | {f"{stem}_ptr": None for stem in absent}
    signature = {}
    for argument in kernel.arg_names:
        stem = argument.removesuffix("_ptr")
        is_pointer = stem != argument
        signature[argument] = pointers.get(stem, VECTOR) if is_pointer else "i32"
        if argument in constants:
            signature[argument] = "constexpr"
    # As at a launch: pointers and channels are multiples of 16.
    channels = ("C", "K", "R")
    aligned = [
        a for a, kind in signature.items() if kind[0] == "*" or (a in channels and kind == "i32")
    ]
    index = kernel.arg_names.index
    return ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(index(a),): value for a, value in constants.items()},
        attrs={(index(a),): [["tt.divisibility", 16]] for a in aligned},
    )


def assemble(ptx, capability):
    """What ptxas says: registers a thread and bytes spilled."""
    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    names = ("ptxas-blackwell", "ptxas") if capability >= 90 else ("ptxas", "ptxas-blackwell")
    architecture = re.search(r"\.target (\w+)", ptx).group(1)
    problems = []
    for name in names:
        if not (folder / name).exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "kernel.ptx"
            file.write_text(ptx)
            command = [folder / name, "-v", f"--gpu-name={architecture}", file, "-o", "/dev/null"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            text = done.stdout + done.stderr
            spills = sum(int(b) for b in re.findall(r"(\d+) bytes spill", text))
            return int(re.search(r"Used (\d+) registers", text).group(1)), spills
        problems.append(done.stderr)
    raise RuntimeError(f"no ptxas in {folder} took the kernel: {problems}")


def main(capability):
    target = GPUTarget("cuda", capability, 32)
    for kernel, absent, constants, pointers, options in (*passes(), *dense_layers()):
        made = source(kernel, absent, constants, pointers)
        compiled = triton.compile(made, target=target, options=options)
        ptx = compiled.asm["ptx"]
        registers, spills = assemble(ptx, capability)
        wide = r"ld\.global[\w.:]*\.v4\.b32|cp\.async\.cg\.shared\.global[^;]*(0x10|16)"
        row = {
            "kernel": kernel.__name__, "without": absent, "constants": constants,
            "registers": registers, "spills": spills, "shared": compiled.metadata.shared,
            "loads of 16 bytes": bool(re.search(wide, ptx)),
        }  # fmt: skip
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
