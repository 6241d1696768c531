"""Kills of commands at random moments: what is left, and what the next start makes of it.

    python benchmarks/robustness_kills.py [--seed N] [--scale X] [--part PART]

Every command runs in a process forked from one that has imported the library, and is ended by
SIGKILL at a moment chosen evenly over the time that it takes. After each kill every file under
a final name is read, the command is started again, and temporary files are looked for. A fit
is continued, killed several times, until it ends; then its model is compared with that of a fit
that nobody killed. Steps are lost beyond the last checkpoint interval if the newest checkpoint
is older than that interval before the last logged step.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PHOTOGRAPHS = Path(__file__).parents[2] / "shared/data/dtu/scan65_400x300/image"
EVERY = 2
"""Steps between checkpoints."""
ONCE = ("process",)
"""Commands that do not replace what is there."""
LIMIT = 600.0
MARK = "figures: "
PARTS = ("box", "instant-ngp", "outputs", "process", "demo")


@dataclass
class Count:
    """What is counted."""

    kills: int = 0
    unreadable: list[str] = field(default_factory=list)
    lost: int = 0
    left: list[str] = field(default_factory=list)


def started(words: list[str], folder: Path) -> int:
    """A forked process in which a command runs; its number."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        os.chdir(folder)
        sys.argv = ["unrender", *words]
        from unrender.app import cli  # noqa: PLC0415

        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def ended(process: int, limit: float = LIMIT) -> int | None:
    """The exit code of a process; None if it does not end within the limit."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def _check(code: int | None, words: list[str]) -> None:
    if code:
        raise RuntimeError(f"unrender {' '.join(words)}: ended with {code}")


def killed(words: list[str], folder: Path, moment: float) -> bool:
    """Kill a command after some seconds; False if it had ended well before."""
    process = started(words, folder)
    code = ended(process, moment)
    if code is not None:
        _check(code, words)
        return False
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def whole(words: list[str], folder: Path) -> float:
    """Run a command to its end; the seconds that it took."""
    began = time.monotonic()
    code = ended(started(words, folder))
    _check(code, words)
    return time.monotonic() - began


def temporaries(folder: Path) -> Iterator[Path]:
    """Whatever stands below a folder under a name that begins with a dot."""
    return (path for path in folder.rglob(".*") if path.name != ".ipynb_checkpoints")


def unreadable(folder: Path) -> list[str]:
    """Files below a folder, under final names, that cannot be read to their end."""
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in inside):
            try:
                read(path)
            except Exception as error:
                found.append(f"{path.relative_to(folder)}: {type(error).__name__} {error}")
    return found


def read(path: Path) -> None:
    """Read a file to its end by its ending. Raises if that fails."""
    import imageio_ffmpeg  # noqa: PLC0415
    from PIL import Image, ImageSequence  # noqa: PLC0415

    from unrender.files.arrays import array_names, read_arrays, read_tensors  # noqa: PLC0415
    from unrender.shapes.files.shape import load_shape  # noqa: PLC0415
    from unrender.training.metrics import read_metrics  # noqa: PLC0415

    ending = path.suffix
    if ending == ".json":
        json.loads(path.read_text())
    elif ending == ".jsonl":
        read_metrics(path)
    elif ending == ".npz":
        read_arrays(path, tuple(array_names(path)))
    elif ending == ".safetensors":
        read_tensors(path, "")
    elif ending in (".png", ".gif", ".jpg"):
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()
    elif ending == ".mp4":
        count = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
        assert count > 0, "no frames"
    elif ending in (".obj", ".ply", ".glb"):
        load_shape(path)
    elif ending == ".html":
        assert "</html>" in path.read_text()[-200:], "is cut off"


def fits(count: Count, folder: Path, name: str, kills: int, chance: random.Random) -> None:
    """Kills of a fit that is continued each time; chains of fits until there were enough."""
    from unrender.training.run_folder import RunFolder  # noqa: PLC0415

    words = ["fit", *name.split(), "--data", str(folder / "views.npz"), "-q"]
    every = ["--checkpoint-every", str(EVERY), "--log-every", "1", "--hold-out", "0"]
    whole([*words, *every, "--out", "compiling"], folder)
    once = whole([*words, *every, "--out", "reference"], folder)
    truth = RunFolder.open(folder / "reference").load().model
    target, done = folder / "run", 0
    while done < kills:
        shutil.rmtree(target, ignore_errors=True)
        chain = 0
        while True:
            resumed = target.exists() and RunFolder.open(target).started
            again = [*words, *every, "--out", "run"]
            again = ["fit", "--resume", "run", "-q"] if resumed else again
            if chain == 5:  # So that every chain comes to its end.
                whole(again, folder)
                break
            began = time.monotonic()
            if not killed(again, folder, chance.uniform(0.02, 1.0) * once):
                if not resumed:  # The machine is less busy than it was.
                    once = min(once, time.monotonic() - began)
                break
            done, chain, count.kills = done + 1, chain + 1, count.kills + 1
            if not target.exists():
                continue
            count.unreadable += unreadable(folder)
            record = RunFolder.open(target)
            if record.started:
                step = record.load(training=True).state["step"]
                logged = max((int(entry["step"]) for entry in record.metrics), default=0)
                count.lost += max(0, logged - step - EVERY)
        count.left += [str(path) for path in temporaries(folder)]
        found = RunFolder.open(target).load().model
        if not all(bool((found[key] == truth[key]).all()) for key in truth):
            count.unreadable.append(f"{name}: the model is another one than without kills")
        print(f"  {name}: {done} kills, {once:.1f} s each", flush=True)


def outputs(
    count: Count, folder: Path, words: list[str], out: str, kills: int, chance: random.Random
) -> None:
    """Kills of a command that makes a file or folder anew."""
    target = folder / out
    whole(words, folder)
    if words[0] in ONCE:
        discard(target)
    once = whole(words, folder)
    for _ in range(kills):
        # Half of them replace what was there, where the command does that.
        if chance.random() < 0.5 or words[0] in ONCE:
            discard(target)
        count.kills += killed(words, folder, chance.uniform(0.02, 1.0) * once)
        count.unreadable += unreadable(folder)
        if words[0] in ONCE:
            discard(target)
        whole(words, folder)
        count.unreadable += unreadable(folder)
        count.left += [str(path) for path in temporaries(folder)]
    print(f"  {' '.join(words)}: {kills} kills, {once:.1f} s each", flush=True)


def discard(path: Path) -> None:
    """Remove a file or folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def demos(count: Count, folder: Path, kills: int, chance: random.Random) -> None:
    """Kills of the demo, which makes the next free folder each time."""
    words = ["demo", "--data", str(folder / "scene.npz"), "--minutes", "0.02", "--views", "20"]
    place = folder / "demos"
    place.mkdir()
    whole(words, place)
    once = whole(words, place)
    for _ in range(kills):
        count.kills += killed(words, place, chance.uniform(0.02, 1.0) * once)
        count.unreadable += unreadable(place)
    whole(words, place)
    count.left += [str(path) for path in temporaries(place)]
    print(f"  demo: {kills} kills, {once:.1f} s each", flush=True)


def run(part: str, seed: int, scale: float) -> Count:
    """The kills of one part, in a temporary folder."""
    from torch import set_num_threads  # noqa: PLC0415

    import unrender as ur  # noqa: PLC0415
    from unrender.app.cli import COMMANDS, load  # noqa: PLC0415

    set_num_threads(1)
    for name in COMMANDS:
        load(name)
    chance, count = random.Random(f"{seed} {part}"), Count()
    memory = Path("/dev/shm")  # Where there is one: a busy disk is no part of this.
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        folder = Path(scratch)
        data = ur.load("bricks", downscale=8)
        data.train[:24].save(folder / "views.npz")
        data.train[:40].save(folder / "scene.npz")

        def n(kills: int) -> int:
            return max(1, round(kills * scale))

        box = "box --steps 24 --rays 64 --device cpu --bins 16"
        if part == "box":
            fits(count, folder, box, n(60), chance)
        elif part == "instant-ngp":
            fits(count, folder, "instant-ngp-tiny --steps 24 --device cpu", n(25), chance)
        elif part == "demo":
            demos(count, folder, n(10), chance)
        elif part == "process":
            words = ["process", str(PHOTOGRAPHS), "--out", "scene", "--size", "400", "-q"]
            outputs(count, folder, words, "scene", n(12), chance)
        else:
            data_words = ["--data", str(folder / "views.npz"), "--hold-out", "0", "-q"]
            whole(["fit", *box.split(), *data_words, "--out", "model"], folder)
            for words, out, kills in (
                (["render", "model", "--frames", "3", "--out", "clip.mp4"], "clip.mp4", 20),
                (["render", "model", "--frames", "3", "--out", "clip.gif"], "clip.gif", 8),
                (["render", "model", "--frames", "3", "--out", "frames"], "frames", 8),
                (["export", "model", "--voxels", "16", "mesh.obj"], "mesh.obj", 10),
                (["export", "model", "--voxels", "16", "mesh.glb"], "mesh.glb", 8),
            ):
                outputs(count, folder, words, out, n(kills), chance)
    return count


def measure(seed: int = 0, scale: float = 1.0) -> "dict[str, dict[str, object]]":
    """The figures, from a process of one thread for each part, which can be forked."""
    from record import figure  # noqa: PLC0415

    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--seed", str(seed), "--scale", str(scale), "--part"]
    running = [
        subprocess.Popen([*words, part], env=environment, stdout=subprocess.PIPE, text=True)
        for part in PARTS
    ]
    found = Counter[str]()
    for part, process in zip(PARTS, running, strict=True):
        printed, _ = process.communicate()
        print(printed, end="", flush=True)
        lines = [line for line in printed.splitlines() if line.startswith(MARK)]
        if not lines:
            raise RuntimeError(f"the part {part} ended early")
        found.update(json.loads(lines[-1].removeprefix(MARK)))
    return {
        "kills": figure(float(found["kills"]), "", at_least=150.0 * min(1.0, scale)),
        "kills_unreadable": figure(float(found["unreadable"]), "", at_most=0.0),
        "kills_steps_lost": figure(float(found["lost"]), "", at_most=0.0),
        "kills_temporaries_left": figure(float(found["left"]), "", at_most=0.0),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the kills")
    parser.add_argument("--part", choices=PARTS, help="one part alone")
    arguments = parser.parse_args()
    if arguments.part is None:
        print(json.dumps(measure(arguments.seed, arguments.scale), indent=1))
        return
    count = run(arguments.part, arguments.seed, arguments.scale)
    for what in (*count.unreadable, *count.left):
        print(f"  fault: {what}")
    figures = {
        "kills": count.kills,
        "unreadable": len(count.unreadable),
        "lost": count.lost,
        "left": len(count.left),
    }
    print(MARK + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
