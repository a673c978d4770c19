"""The number format of the network: the one that the processor is built for."""

import os
from pathlib import Path

import torch

#: Where Linux lists what a processor can do.
CPUINFO = Path("/proc/cpuinfo")


def choose_precision(device):
    """Name of the number format in which ``device`` (a ``torch.device``) runs the network fastest.

    On CUDA float16, for the tensor cores. On a CPU bfloat16 where its convolutions are faster than those of float32:
    with AMX (7 times), and with the dot products of AVX-512 on AMD's processors, which halve the time of an iteration;
    on Intel's they are slower than float32.
    """
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if device.type == "cpu" and _is_built_for_bfloat16() else "float32"


def _is_built_for_bfloat16():
    flags, name = _processor()
    # The user's limit on what oneDNN, which computes torch's convolutions on a CPU, may use of the processor.
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    unlimited = limit in ("DEFAULT", "ALL") or "AMX" in limit
    if "amx_bf16" in flags and unlimited:
        return True
    return "avx512_bf16" in flags and "AMD" in name and (unlimited or limit.endswith(("_BF16", "_FP16")))


def _processor():
    """``(flags, name)`` of the processor; of an unknown one, nothing."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return {flag for flag, there in found.items() if there is True}, found.get("cpu_name", "")
    try:
        lines = (line.partition(":") for line in CPUINFO.read_text().splitlines())
    except OSError:
        return set(), ""
    found = {key.strip(): value.strip() for key, _, value in lines}  # the last processor stands for all
    return set(found.get("flags", "").split()), found.get("vendor_id", "")
