"""precision="auto": the format that the processor is built for, told by its features."""

import pytest
import torch

from nstlib.transfer import precision
from nstlib.transfer.precision import choose_precision

CPU = torch.device("cpu")
INTEL, AMD = "Intel(R) Xeon(R) Platinum 8481C", "AMD EPYC 9004"


@pytest.fixture(autouse=True)
def unlimited(monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)


def processor(monkeypatch, name, *flags):
    """A torch that describes this one."""
    capabilities = {"cpu_name": name, "avx2": True, "amx_bf16": False, "avx512_bf16": False, "l2_cache_size": 2**20}
    found = capabilities | dict.fromkeys(flags, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)


@pytest.mark.parametrize(
    ("name", "flags", "best"),
    [
        (INTEL, ("amx_bf16", "avx512_bf16"), "bfloat16"),
        (INTEL, ("avx512_bf16",), "float32"),
        (AMD, ("avx512_bf16",), "bfloat16"),
        (AMD, (), "float32"),
    ],
)
def test_of_a_processor_by_what_torch_says_of_it(monkeypatch, name, flags, best):
    processor(monkeypatch, name, *flags)
    assert choose_precision(CPU) == choose_precision(CPU) == best


@pytest.mark.parametrize(
    ("lines", "best"),
    [
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", "bfloat16"),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16\n", "float32"),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\n", "bfloat16"),
        ("Features\t: fp asimd bf16\n", "float32"),
        (None, "float32"),
    ],
)
def test_of_a_processor_by_what_linux_says_where_torch_does_not(monkeypatch, tmp_path, lines, best):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    if lines is not None:
        (tmp_path / "cpuinfo").write_text(lines)
    assert choose_precision(CPU) == best


@pytest.mark.parametrize(
    ("limit", "with_amx", "with_dot_products"),
    [
        ("AVX2", "float32", "float32"),
        ("AVX512_CORE", "float32", "float32"),
        ("avx512_core_bf16", "float32", "bfloat16"),
        ("AVX512_CORE_AMX", "bfloat16", "bfloat16"),
        ("DEFAULT", "bfloat16", "bfloat16"),
    ],
)
def test_what_the_user_forbids_onednn_does_not_count(monkeypatch, limit, with_amx, with_dot_products):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    processor(monkeypatch, INTEL, "amx_bf16", "avx512_bf16")
    assert choose_precision(CPU) == with_amx
    processor(monkeypatch, AMD, "avx512_bf16")
    assert choose_precision(CPU) == with_dot_products


@pytest.mark.parametrize(("kind", "best"), [("cuda", "float16"), ("mps", "float32")])
def test_of_a_gpu(monkeypatch, kind, best):
    processor(monkeypatch, INTEL, "amx_bf16")
    assert choose_precision(torch.device(kind)) == best
