"""Compiles the Triton kernels ahead of time for one architecture, without a GPU.

``python tests/ops/compiled.py 90`` prints one JSON line a kernel: its registers, its spills in
bytes, its shared memory in bytes. The tiles are those of `seattn.ops.kernels`.
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

from seattn.ops import kernels, silu_kernels

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


def source(name, absent, flags, size, pixels, channels):
    kernel = getattr(silu_kernels if name.startswith("silu") else kernels, name)
    constants = {**flags, **kernels._tile(pixels, channels, size)}
    constants |= {f"{stem}_ptr": None for stem in absent}
    signature = {}
    for argument in kernel.arg_names:
        stem = argument.removesuffix("_ptr")
        is_pointer = stem != argument
        signature[argument] = POINTERS.get(stem, VECTOR) if is_pointer else "i32"
        if argument in constants:
            signature[argument] = "constexpr"
    # As at a launch: pointers and C are multiples of 16.
    aligned = [a for a, kind in signature.items() if kind.startswith("*") or a == "C"]
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
    for name, absent, flags, size in CASES:
        for pixels, channels in MAPS:
            made = source(name, absent, flags, size, pixels, channels)
            target = GPUTarget("cuda", capability, 32)
            compiled = triton.compile(made, target=target)
            registers, spills = assemble(compiled.asm["ptx"], capability)
            wide = bool(re.search(r"ld\.global[\w.:]*\.v4\.b32", compiled.asm["ptx"]))
            row = {
                "kernel": name, "without": absent, "map": [pixels, channels],
                "registers": registers, "spills": spills, "shared": compiled.metadata.shared,
                "loads of 16 bytes": wide,
            }  # fmt: skip
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
