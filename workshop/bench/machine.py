"""What a benchmark ran on and with: without it, its numbers say nothing."""

import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

TOOLS = ("torch", "onnxruntime", "onnx", "numpy")
COMPILERS = ("c++", "g++", "clang++", "cl")


def processor() -> str:
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of what computes."""
    return {"python": platform.python_version()} | {tool: version(tool) for tool in TOOLS}


def listed(versions: Mapping[str, str]) -> str:
    """Versions in words."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def has_compiler() -> bool:
    """Whether there is a C++ compiler for torch.compile."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def load() -> float | None:
    """How many processes wanted the processor in the last minute, on average; None where nobody tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
