"""`unrender doctor`: whether everything works here."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

from unrender import __version__

PACKAGES = ("torch", "numpy", "numba", "safetensors", "pillow")
EXTRAS = (
    ("pycolmap", "unrender[sfm]", "unrender process: cameras of photos and videos"),
    ("xatlas", "unrender[texture]", "unrender export --texture"),
    ("diffusers", "unrender[latents]", "pose flows in latent space: --autoencoder"),
    ("torchdiffeq", "unrender[ode]", "the adaptive ODE solver of pose flows"),
    ("mitsuba", "unrender[mitsuba]", "the study of gradients: a second renderer"),
    ("triton", "triton", "fast kernels on NVIDIA GPUs"),
)
"""Optional packages, how they are installed, and what they enable."""
LEAST_GB = 2.0
"""Memory and disk that a fit needs, about."""


def doctor(kernels: bool = True) -> None:
    """Check the installation: versions, devices, kernels, optional parts, memory and disk.

    Every kernel runs once and is compared with its reference; the first time in an installation
    they are compiled, which takes a minute or two. Ends with a verdict, and with exit code 1 if
    something does not work.

    Args:
        kernels: Run the kernels.
    """
    import torch  # noqa: PLC0415

    from unrender.training.fit import pick_device  # noqa: PLC0415 - imports torch

    print(f"unrender {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in PACKAGES:
        print(f"  {name:12} {importlib.metadata.version(name)}")
    device = pick_device("auto")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"Device: {device} ({torch.get_num_threads()} threads; GPU: {gpu})")
    problems = _print_room()
    _print_caches()
    problems += _print_kernels() if kernels else []
    print("Optional parts")
    for name, install, purpose in EXTRAS:
        state = (
            "installed"
            if importlib.util.find_spec(name)
            else f"absent: pip install '{install}'"
        )
        print(f"  {name:12} {purpose} ({state})")
    ffmpeg = _ffmpeg()
    if ffmpeg is None:
        problems.append("no ffmpeg: videos can be neither read nor written")
    print(f"  {'ffmpeg':12} reading and writing videos ({ffmpeg or 'absent'})")
    if problems:
        print(f"Verdict: {'; '.join(problems)}.")
        raise SystemExit(1)
    print("Verdict: everything that is needed works. Next: unrender demo")


def _print_room() -> list[str]:
    """Free memory and disk; what is too little."""
    found: list[str] = []
    rooms = {"memory": _free_memory_gb(), "disk": shutil.disk_usage(Path.cwd()).free / 1e9}
    for name, free in rooms.items():
        print(f"Free {name}: {'unknown' if free is None else f'{free:.1f} GB'}")
        if free is not None and free < LEAST_GB:
            found.append(f"little {name} is free: {free:.1f} GB")
    return found


def _print_caches() -> None:
    """Where later runs find what was compiled and rendered; without, they do it again."""
    from unrender.data.builtin import cache_folder  # noqa: PLC0415 - imports torch
    from unrender.kernels.runtime.jit import machine_code_folder  # noqa: PLC0415

    scenes = cache_folder()
    print("Caches")
    print(f"  {'kernels':12} {machine_code_folder() or 'none: set NUMBA_CACHE_DIR'}")
    kept = scenes is not None and _can_be_written(scenes)
    print(f"  {'scenes':12} {scenes if kept else 'none: set UNRENDER_CACHE'}")


def _can_be_written(folder: Path) -> bool:
    """Whether it is a folder with room for files, or can be made."""
    there = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    return there.is_dir() and os.access(there, os.W_OK)


def _free_memory_gb() -> float | None:
    file = Path("/proc/meminfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1e6
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):
        return None


def _print_kernels() -> list[str]:
    """Run the kernels; what does not work."""
    import torch  # noqa: PLC0415

    from unrender.app.kernel_checks import run_checks  # noqa: PLC0415 - imports torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    found: list[str] = []
    for device in devices:
        print(f"Kernels on {device}, each run once and compared with its reference", flush=True)
        for result in run_checks(torch.device(device)):
            state = result.failure or "works"
            remark = f"; {result.remark}" if result.remark and not result.failure else ""
            print(f"  {result.name:38} {state} ({result.seconds:.1f} s{remark})", flush=True)
            if result.failure:
                found.append(f"the kernel {result.name} fails on {device}")
    return found


def _ffmpeg() -> str | None:
    from unrender.errors import InputError  # noqa: PLC0415
    from unrender.imaging.ffmpeg import program  # noqa: PLC0415 - imports torch

    try:
        return program()
    except InputError:
        return None
