"""Named tensors in .safetensors files, and in checkpoints of PyTorch, without unpickling them.

A checkpoint that `torch.save` wrote, as those of PyTorch Lightning (.ckpt, .pt, .pth), is an
archive of a pickle and of the numbers of its tensors, or, before PyTorch 1.6, these one after
another. The pickle is read as data (`files.pickled`). `torch.load(weights_only=True)` would not
do: it refuses Lightning's checkpoints for the classes of their settings, allocates what a file
claims before it is compared with what it holds, and was itself once made to run code
(CVE-2025-32434).
"""

import io
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import check_file, read_head, system_errors_told
from unrender.files.arrays import READING_ERRORS
from unrender.files.memory import check_memory
from unrender.files.pickled import (
    REMEDY,
    Opaque,
    Storage,
    StoredTensor,
    read_pickle,
)
from unrender.files.quiet import quiet

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What a checkpoint before PyTorch 1.6 begins with, as two pickles."""
Stream = io.RawIOBase | io.BufferedIOBase
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Endings of the files that are read."""
STATE = "state_dict"
"""Key of the tensors in a checkpoint of Lightning."""


class TensorFile(ABC):
    """The named tensors of an open file, of which those that are asked for are read."""

    label: str

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""

    @abstractmethod
    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Some of the tensors, one by one, contiguous and in their own types.

        Raises InputError if the file is damaged.
        """

    def finite(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """The same; InputError also for what is not finite in single precision, or complex."""
        for name, tensor in self.read(names):
            if tensor.is_complex() or not bool(tensor.float().isfinite().all()):
                raise InputError(
                    f"{self.label}: `{name}` holds NaN, infinity or complex numbers; copy the "
                    "file again"
                )
            yield name, tensor


@contextmanager
def open_tensors(path: Path) -> Generator[TensorFile]:
    """The tensors of a .safetensors file or of a checkpoint that torch.save wrote.

    Raises InputError for other files, for damaged ones, and for pickles that ask for code.
    """
    check_file(path)
    with ExitStack() as stack:
        stack.enter_context(system_errors_told())
        if path.suffix == ".safetensors":
            yield stack.enter_context(_open_safetensors(path))
        elif read_head(path, 4) == b"PK\x03\x04":
            yield stack.enter_context(_open_archive(path))
        elif read_head(path, 2) == b"\x80\x02":
            yield stack.enter_context(_open_legacy(path))
        else:
            raise InputError(
                f"{path}: is neither .safetensors nor a whole checkpoint of torch.save; it may "
                "be truncated: copy it again"
            )


@dataclass(frozen=True)
class _Safetensors(TensorFile):
    label: str
    file: Any

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        names = list(self.file.keys())
        return {name: tuple(self.file.get_slice(name).get_shape()) for name in names}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        for name in names:
            yield name, self.file.get_tensor(name)


@contextmanager
def _open_safetensors(path: Path) -> Generator[TensorFile]:
    try:
        with safe_open(path, framework="pt") as file:
            yield _Safetensors(str(path), file)
    except SafetensorError as error:
        raise InputError(
            f"{path}: cannot be read as .safetensors ({one_line(error)[:120]}); copy it again"
        ) from error


@dataclass(frozen=True)
class _Pickled(TensorFile):
    path: Path
    label: str
    tensors: dict[str, StoredTensor]
    stored: "_Numbers"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        wanted = sorted(names, key=lambda name: self.tensors[name].storage.key)
        last, numbers = None, torch.empty(0)
        for name in wanted:
            tensor = self.tensors[name]
            if tensor.storage != last:  # Several tensors may be parts of one storage.
                with _reading(self.path):
                    last, numbers = tensor.storage, self.stored.numbers(tensor.storage)
            window = numbers.as_strided(tensor.shape, tensor.stride, tensor.offset)
            yield name, window.clone(memory_format=torch.contiguous_format)


class _Numbers(ABC):
    """Where the numbers of storages are, by their keys."""

    def __init__(self, path: Path):
        self.label, self.total = str(path), path.stat().st_size
        self.swapped = False

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Bytes under a key; None if there are none."""

    @abstractmethod
    def open(self, key: str) -> Stream: ...

    def check(self, storages: Iterable[Storage]) -> None:
        """InputError unless the file holds what all storages claim, before any is read."""
        every, largest = 0, 0
        for storage in storages:
            held, claimed = self.size(storage.key) or 0, _bytes(storage)
            every, largest = every + claimed, max(largest, claimed)
            if held < claimed or every > self.total:
                raise InputError(
                    f"{self.label}: claims {claimed:,} bytes of numbers where it has "
                    f"{min(held, self.total):,}; it may be truncated: copy it again"
                )
        check_memory(self.label, largest, "use a machine with more")

    def numbers(self, storage: Storage) -> Tensor:
        """All numbers of a storage, flat."""
        if not storage.size:
            return torch.empty(0, dtype=storage.dtype)
        size = _bytes(storage)
        held, done = bytearray(size), 0
        with self.open(storage.key) as stream, memoryview(held) as view:
            while done < size:
                count = stream.readinto(view[done:])
                if not count:
                    raise EOFError("its numbers end early")
                done += count
        if self.swapped:
            width = storage.dtype.itemsize
            held = bytearray(np.frombuffer(held, f"u{width}").byteswap().tobytes())
        return torch.frombuffer(held, dtype=storage.dtype)


def _bytes(storage: Storage) -> int:
    return storage.size * storage.dtype.itemsize


class _Members(_Numbers):
    """Members of an archive, `NAME/data/KEY`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        super().__init__(path)
        self.archive = archive
        self.members = {info.filename: info for info in archive.infolist()}
        roots = [name for name in self.members if name.split("/")[1:] == ["data.pkl"]]
        if len(roots) != 1:
            raise InputError(f"{path}: is an archive, but not one of torch.save; {REMEDY}")
        self.root = roots[0].removesuffix("data.pkl")
        for info in self.members.values():
            # torch.save never compresses; a small file that is would fill the memory.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > info.compress_size:
                raise InputError(
                    f"{path}: has compressed members, which torch.save never writes; {REMEDY}"
                )
        order = self.members.get(f"{self.root}byteorder")
        if order is not None and order.file_size <= 16:
            self.swapped = archive.read(order).strip() == b"big"

    def size(self, key: str) -> int | None:
        info = self.members.get(f"{self.root}data/{key}")
        return None if info is None else info.file_size

    def open(self, key: str) -> Stream:
        return cast(io.BufferedIOBase, self.archive.open(f"{self.root}data/{key}"))


@contextmanager
def _open_archive(path: Path) -> Generator[TensorFile]:
    with ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = _Members(path, archive)
            with archive.open(f"{members.root}data.pkl") as stream:
                content = read_pickle(str(path), stream)
            found = _pickled(path, content, members)
        yield found


class _Sections(_Numbers):
    """Parts of a file, each of numbers after their count."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.path = path
        self.places: dict[str, tuple[int, int]] = {}

    def add(self, key: str, place: int, size: int) -> None:
        self.places[key] = (place, size)

    def size(self, key: str) -> int | None:
        return self.places[key][1] if key in self.places else None

    def open(self, key: str) -> Stream:
        stream = self.path.open("rb", buffering=0)
        stream.seek(self.places[key][0])
        return stream


@contextmanager
def _open_legacy(path: Path) -> Generator[TensorFile]:
    """Pickles of magic, protocol, machine, content and keys, then count and numbers of each."""
    label = str(path)
    with _reading(path), path.open("rb") as stream:
        if read_pickle(label, stream) != MAGIC or read_pickle(label, stream) != PROTOCOL:
            raise InputError(f"{path}: is a pickle, but not one of torch.save; {REMEDY}")
        machine = read_pickle(label, stream)
        storages: dict[str, Storage] = {}
        content, keys = read_pickle(label, stream, storages), read_pickle(label, stream)
        sections = _Sections(path)
        if isinstance(machine, dict):
            sections.swapped = cast(Any, machine).get("little_endian") is False
        widths = {key: each.dtype.itemsize for key, each in storages.items()}
        total = path.stat().st_size
        for key in cast(list[Any], keys) if isinstance(keys, list) else []:
            (count,) = struct.unpack("<q", stream.read(8))
            place, size = stream.tell(), count * widths.get(str(key), 0)
            if count < 0 or str(key) not in widths or place + size > total:
                raise InputError(f"{path}: is damaged or truncated; copy it again")
            sections.add(str(key), place, size)
            stream.seek(size, 1)
        found = _pickled(path, content, sections)
    yield found


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        with quiet():
            yield
    except InputError:
        raise
    except (*READING_ERRORS, struct.error, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint of torch.save ({one_line(error)[:100]}); "
            "it may be truncated: copy it again"
        ) from error


def _pickled(path: Path, content: Any, stored: _Numbers) -> TensorFile:
    tensors = _tensors(path, content)
    stored.check(_storages(tensors))
    return _Pickled(path, str(path), tensors, stored)


def _tensors(path: Path, content: Any) -> dict[str, StoredTensor]:
    """The tensors by name: those of Lightning's state_dict, or those at the top."""
    found = cast(dict[Any, Any], content) if isinstance(content, dict) else {}
    inner = found.get(STATE)
    if isinstance(inner, dict):
        found = cast(dict[Any, Any], inner)
        for name, value in found.items():
            if isinstance(value, Opaque):
                raise InputError(
                    f"{path}: `{name}` is no tensor but {value.name}, and is not made; {REMEDY}"
                )
    tensors = {
        name: value
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, StoredTensor)
    }
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name; {REMEDY}")
    return tensors


def _storages(tensors: Mapping[str, StoredTensor]) -> list[Storage]:
    return list({tensor.storage: None for tensor in tensors.values()})
