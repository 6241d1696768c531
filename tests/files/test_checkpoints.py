"""Tensors of checkpoints are those that torch.save wrote, and no pickle runs any code."""

import argparse
import collections
import datetime
import io
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.files import pickled
from unrender.files.checkpoints import open_tensors
from unrender.files.pickled import Opaque, read_pickle

LEGACY = {"_use_new_zipfile_serialization": False}
FORMATS = pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])


class Callback:
    """An object of a class that the reader does not have."""

    def __init__(self) -> None:
        self.best = 0.5


def state() -> "collections.OrderedDict[str, Any]":
    """Tensors of all kinds that networks have."""
    base = torch.arange(24.0)
    found = collections.OrderedDict(
        part=base.view(4, 6)[:, 1:3],
        turned=base.view(4, 6).mT,
        whole=base,
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        brain=torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        double=torch.tensor([0.1], dtype=torch.float64),
        long=torch.tensor([[1], [-2]]),
        byte=torch.tensor([3], dtype=torch.uint8),
        truth=torch.tensor([True, False]),
        number=torch.tensor(3),
        empty=torch.zeros(0, 3),
        parameter=nn.Parameter(torch.ones(3)),
    )
    found.update(nn.Linear(2, 3).state_dict(prefix="layer."))
    return found


def lightning(tensors: Any) -> dict[str, Any]:
    return {
        "state_dict": tensors,
        "epoch": 3,
        "callbacks": {Callback: {"callback": Callback(), "score": torch.tensor(1.0)}},
        "hyper_parameters": argparse.Namespace(out=pathlib.PurePosixPath("out"), rate=1e-4),
        "optimizer_states": [{"state": {0: {"step": 5, "moment": torch.zeros(7)}}}],
        "when": datetime.datetime(2023, 3, 20),
        "counts": collections.defaultdict(list, {"a": [1]}),
        "sets": ({1, 2}, frozenset([3])),
    }


def read(path: Path) -> dict[str, Tensor]:
    with open_tensors(path) as file:
        shapes = dict(file.shapes)
        found = dict(file.read(shapes))
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == shapes
    return found


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert str(path) in line
    assert len(line) <= 300
    assert line.isprintable()
    return line


@FORMATS
@pytest.mark.parametrize("wrap", [lightning, dict], ids=["lightning", "plain"])
def test_tensors_are_those_that_torch_wrote(
    tmp_path: Path, options: dict[str, Any], wrap: Callable[[Any], Any]
) -> None:
    path, tensors = tmp_path / "x.ckpt", state()
    torch.save(wrap(tensors), path, **options)
    found = read(path)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
        assert found[name].is_contiguous()


def test_safetensors_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.rand(2, 3), "b": torch.rand(4).half()}
    save_file(tensors, path)
    found = read(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_every_protocol_of_pickle_is_read() -> None:
    content = {
        "a": [1, 2**40, -3, 2**70, 1.5, True, None],
        "b": ("x", b"y", (), [[]], {"c": {}}),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        written = io.BytesIO(pickle.dumps(content, protocol))
        found = read_pickle("x", written)
        # Before protocol 3, bytes are the result of a call.
        if protocol < 3:
            assert isinstance(found["b"][1], Opaque)
            found["b"] = (found["b"][0], b"y", *found["b"][2:])
        assert found == content


class Mischief:
    """An object whose pickle asks for a function to be called."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@FORMATS
@pytest.mark.parametrize("where", ["beside", "inside", "instead", "deep", "eval"])
def test_code_is_never_run(tmp_path: Path, options: dict[str, Any], where: str) -> None:
    mark = tmp_path / "ran"
    evil = Mischief(os.mkdir, str(mark))
    content: dict[str, Any] = {
        "beside": {"state_dict": state(), "more": evil},
        "inside": {"state_dict": state() | {"evil": evil}},
        "instead": {"state_dict": evil},
        "deep": {"state_dict": state(), "more": [({"x": [evil]},)]},
        "eval": {"state_dict": state(), "more": {1: Mischief(eval, f"open({str(mark)!r})")}},
    }
    path = tmp_path / "x.ckpt"
    torch.save(content[where], path, **options)
    assert "which is not done" in refusal(path)
    assert not mark.exists()
    if where == "instead" and not options:  # A canary: unpickled, it would run.
        with zipfile.ZipFile(path) as file:
            pickle.loads(file.read("x/data.pkl"))
        assert mark.exists()


ASKING = {
    "REDUCE": b"cposix\nsystem\n(S'true'\ntR.",
    "REDUCE of eval": b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x011\x85R.",
    "INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\nX\x01\x00\x00\x00x\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04\x8c\nsubprocess\x8c\x05Popen\x93)}\x92.",
    "nested module": b"\x80\x04\x8c\x07os.path\x8c\x04join\x93)R.",
    "named alone": b"cos\nsystem\n.",
    "through functools": b"cfunctools\npartial\n(cos\nsystem\nS'true'\ntR.",
    "import": b"c__builtin__\n__import__\n(S'os'\ntR.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent text": b"P../../x\n.",
    "persistent number": b"\x80\x02K\x01Q.",
    "persistent path": b"\x80\x02(X\x07\x00\x00\x00storageX\x01\x00\x00\x00xtQ.",
    "buffer": b"\x80\x05\x97.",
    "name of no text": b"\x80\x04K\x01K\x02\x93.",
}
"""Pickles that ask for code, or for what is outside of them."""


@pytest.mark.parametrize("name", ASKING)
def test_what_asks_for_code_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=r"^x: ") as caught:
        read_pickle("x", io.BytesIO(ASKING[name]))
    assert "\n" not in str(caught.value)


INERT = {
    "unknown call": b"cevil\nrun\n(S'true'\ntR.",
    "state": b"\x80\x02cevil\nRun\n)\x81}X\x01\x00\x00\x00aK\x01sb.",
    "attribute": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x02os\x8c\x06system\x86R.",
    "method of a result": b"cevil\nrun\n(tR(S'true'\ntR.",
}
"""Pickles that name what is not there: nothing is made of it."""


@pytest.mark.parametrize("name", INERT)
def test_what_is_unknown_stays_a_name(name: str) -> None:
    found = read_pickle("x", io.BytesIO(INERT[name]))
    assert isinstance(found, Opaque)
    assert found.made


DAMAGED = {
    "empty": b"",
    "no end": b"\x80\x02}",
    "empty stack": b"\x80\x02\x85.",
    "no mark": b"\x80\x02t.",
    "unknown memo": b"\x80\x02h\x05.",
    "cut text": b"\x80\x02X\xff\x00\x00\x00ab.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "huge number": b"L" + b"9" * 5000 + b"L\n.",
    "odd items": b"\x80\x02}(K\x01u.",
    "no instruction": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"^x: "):
        read_pickle("x", io.BytesIO(DAMAGED[name]))


def test_bombs_are_refused_before_they_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"\x80\x02)" + b"\x85" * 20_000 + b"K\x01s."
    with pytest.raises(InputError):  # No dictionary to set; and nothing deep is hashed.
        read_pickle("x", io.BytesIO(b"\x80\x02s" + deep))
    key = b"\x80\x02})" + b"\x85" * 20_000 + b"K\x01s."
    assert read_pickle("x", io.BytesIO(key)) == {}
    doubled = b"\x80\x02]q\x00" + b"(h\x00h\x00e" * 60 + b"."
    assert read_pickle("x", io.BytesIO(doubled)) is not None
    monkeypatch.setattr(pickled, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(InputError, match="instructions"):
        read_pickle("x", io.BytesIO(b"\x80\x02" + b"N0" * 1000 + b"N."))
    monkeypatch.setattr(pickled, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="1,000 bytes"):
        read_pickle("x", io.BytesIO(b"\x80\x02" + b"X\x00\x04\x00\x00" + b"a" * 1024 + b"."))


def tensor_pickle(offset: Any, shape: Any, stride: Any, size: Any = 4, key: str = "0") -> bytes:
    """A state_dict of one tensor, with any numbers, as torch.save would write it."""

    class Storage:
        pass

    class Tensor_:  # noqa: N801
        def __reduce__(self) -> Any:
            rebuild = torch._utils._rebuild_tensor_v2  # pyright: ignore
            return rebuild, (Storage(), offset, shape, stride, False, collections.OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, Storage):
                return ("storage", torch.FloatStorage, key, "cpu", size)
            return None

    stream = io.BytesIO()
    Pickler(stream, 2).dump({"a": Tensor_()})
    return stream.getvalue()


def archive(
    path: Path, content: bytes, numbers: bytes = bytes(16), how: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("x/data.pkl", content)
        file.writestr("x/data/0", numbers)
    return path


def test_the_parts_of_an_archive_are_what_they_should_be(tmp_path: Path) -> None:
    """The canary: this is read, and each of the changes below is refused."""
    path = archive(tmp_path / "x.ckpt", tensor_pickle(0, (2, 2), (2, 1)))
    assert torch.equal(read(path)["a"], torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("offset", "shape", "stride", "size"),
    [
        (1, (2, 2), (2, 1), 4),
        (0, (2, 2), (3, 1), 4),
        (0, (2, 2), (-2, 1), 4),
        (-1, (2, 2), (2, 1), 4),
        (0, (-2, 2), (2, 1), 4),
        (0, (2, 2), (2,), 4),
        (0, (2**40, 2), (0, 0), 4),
        (0, (2**62,) * 8, (0,) * 8, 4),
        (0, (1,) * 10, (1,) * 10, 4),
        (0, (2**70,), (1,), 4),
        (0, (2.0, 2), (2, 1), 4),
        (0, (True, 2), (2, 1), 4),
        (0, [2, 2], (2, 1), 4),
        (0, (2, 2), (2, 1), 5),
        (0, (2, 2), (2, 1), 2**60),
        (0, (2, 2), (2, 1), -4),
        (0, (2, 2), (2, 1), "4"),
    ],
)
def test_tensors_outside_of_their_storage_are_refused(
    tmp_path: Path, offset: Any, shape: Any, stride: Any, size: Any
) -> None:
    refusal(archive(tmp_path / "x.ckpt", tensor_pickle(offset, shape, stride, size)))


@pytest.mark.parametrize("key", ["1", "../x", "", "../data.pkl", "0\x00", "0/../0"])
def test_keys_lead_nowhere_else(tmp_path: Path, key: str) -> None:
    path = archive(tmp_path / "x.ckpt", tensor_pickle(0, (2, 2), (2, 1), key=key))
    assert "claims" in refusal(path)


def test_archives_that_grow_are_refused(tmp_path: Path) -> None:
    huge = tensor_pickle(0, (2**25,), (1,), 2**25)
    path = archive(tmp_path / "x.ckpt", huge, bytes(2**27), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "compressed" in refusal(path)


def test_a_directory_that_lies_of_sizes_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.ckpt", tensor_pickle(0, (2**25,), (1,), 2**25))
    whole = bytearray(path.read_bytes())
    place = whole.rindex(b"PK\x01\x02")  # The last entry of the directory: the numbers.
    whole[place + 20 : place + 28] = struct.pack("<LL", 2**27, 2**27)
    path.write_bytes(whole)
    refusal(path)


@FORMATS
def test_cut_files_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(lightning(state()), path, **options)
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        refusal(path)


@FORMATS
def test_changed_bytes_are_refused_or_change_numbers_alone(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(lightning(state()), path, **options)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        place = int(torch.randint(len(whole), (), generator=generator))
        changed = bytearray(whole)
        changed[place] ^= 1 << int(torch.randint(8, (), generator=generator))
        path.write_bytes(changed)
        with suppress(InputError):
            read(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    for content in (b"", b"text", b"\x80\x02K\x01.", b"\x89PNG"):
        path.write_bytes(content)
        refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/b.txt", "b")
    assert "not one of torch.save" in refusal(path)
    for content in ({}, 5, {"state_dict": {"a": 1}}, {"state_dict": [1]}, [torch.ones(1)]):
        torch.save(content, path)
        assert "no tensors by name" in refusal(path)
    torch.save({"state_dict": {"a": Callback()}}, path)
    assert "Callback" in refusal(path)
    refusal(tmp_path / "none.ckpt")
    (tmp_path / "x.safetensors").write_bytes(b"text")
    refusal(tmp_path / "x.safetensors")


def test_what_is_not_finite_is_refused_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"good": torch.ones(2), "bad": torch.tensor([1.0, torch.nan])}, path)
    with open_tensors(path) as file:
        assert len(dict(file.finite(["good"]))) == 1
        with pytest.raises(InputError, match="`bad` holds NaN"):
            dict(file.finite(["good", "bad"]))
    small = torch.ones(2).to(torch.float8_e4m3fn)
    path = tmp_path / "x.safetensors"
    save_file(
        {"a": small, "b": torch.tensor([1e300], dtype=torch.float64), "c": torch.ones(1) * 1j},
        path,
    )
    with open_tensors(path) as file:
        assert len(dict(file.finite(["a"]))) == 1
        for name in ("b", "c"):
            with pytest.raises(InputError, match=f"`{name}` holds"):
                dict(file.finite([name]))


def test_numbers_in_the_other_byte_order_are_turned(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    numbers = torch.tensor([1.0, 2.0, -3.0, 1e-3])
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", tensor_pickle(0, (2, 2), (2, 1)))
        file.writestr("x/byteorder", "big")
        file.writestr("x/data/0", struct.pack(">4f", *numbers.tolist()))
    assert torch.equal(read(path)["a"], numbers.view(2, 2))
