"""Seeded damage to files: what disks, networks, editors and other programs do to them."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Files = dict[str, bytes]
"""Contents by path, relative to one folder."""

NUMBERS = (
    "0", "-0", "1", "-1", "nan", "NaN", "inf", "-inf", "Infinity", "1e39", "-1e39", "1e308",
    "-1e308", "1e999", "1e-46", "1e-320", "1e20", "3e15", "2147483648", "-2147483649",
    "4294967296", "18446744073709551616", "0.5", "1_000", "0x10", "1" * 5001, "1." + "0" * 4000,
    "٣", "1,5", "", "true", "null",
)  # fmt: skip
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-320, 1e15, 2e15, 1e20, 3.4e38, 1e39, -1e39, 1e300,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
INTEGERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1,
            2**40, 2**63 - 1, 2**63, 2**64 - 1, 10**9, 8000, 50000)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**30, 10**400, 1.5, 1e39, 1e308, float("nan"), float("inf"),
    -float("inf"), 1e-320, "", "x", "1", "nan", "../x", "/etc/passwd", "a" * 300, "a" * 5000,
    "\x1b[31mred", "a\nb\u2028c", "\x00", "p\udcffq", [], {}, [[]], [1, 2], {"a": 1}, [None],
    ["x"], [[1.0, 2.0], [3.0]],
)  # fmt: skip
DTYPES = (
    "<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "<i4", ">i4", "<i8", ">i8", "<u4", "<u8", "|u1",
    "|i1", "|b1", "<c8", "<c16", "<U1", "|S1", "|O", "<M8[s]", "|V4", "<f16",
)  # fmt: skip
DEEP = 3000


def mutate(files: Mapping[str, bytes], random: Random) -> Files:
    """The files with one to three mutations, most often of one file."""
    found = dict(files)
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        if not found:
            break
        name = random.choice(sorted(found))
        kind = random.random()
        if kind < 0.015:
            del found[name]
        elif kind < 0.025:
            found[name] = found[random.choice(sorted(found))]
        else:
            found[name] = _mutated(name, found[name], random)
    return found


def _mutated(name: str, content: bytes, random: Random) -> bytes:
    ending = name.rsplit(".", 1)[-1].lower()
    ways: list[Callable[[bytes, Random], bytes]] = [_cut, _flip, _edit, _splice]
    special = SPECIAL.get(ending, ())
    if _is_text(content):
        ways += [_number, _number, _word, _lines, _lines]
    else:
        ways += [_binary_number, _header_text]
    way = random.choice(special) if special and random.random() < 0.6 else random.choice(ways)
    try:
        return way(content, random)
    except (ValueError, KeyError, IndexError, struct.error, OverflowError, RecursionError):
        return _flip(content, random)
    except (zipfile.BadZipFile, zlib.error, OSError, SyntaxError, TypeError, RuntimeError):
        return _flip(content, random)


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:4096] and content[:4096].isascii()


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 16)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _edit(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    some = bytes(random.choice((0, 255, 10, random.randrange(256))) for _ in range(4))
    taken = random.choice((0, 1, 4))
    return content[:at] + some[: random.choice((0, 1, 4))] + content[at + taken :]


def _splice(content: bytes, random: Random) -> bytes:
    """A part moved, repeated or removed."""
    a, b = sorted(random.randrange(len(content) + 1) for _ in range(2))
    b = min(b, a + 4000)
    at = random.randrange(len(content) + 1)
    part = content[a:b]
    if random.random() < 0.3:
        return content[:a] + content[b:]
    return content[:at] + part * random.choice((1, 1, 2, 20)) + content[at:]


def _spans(content: bytes) -> list[tuple[int, int]]:
    """Where numbers stand in a text."""
    spans: list[tuple[int, int]] = []
    start = None
    for at, byte in enumerate(content + b" "):
        inside = byte in b"0123456789.+-eE"
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            if any(48 <= each <= 57 for each in content[start:at]):
                spans.append((start, at))
            start = None
    return spans


def _number(content: bytes, random: Random) -> bytes:
    a, b = random.choice(_spans(content[:20000]))
    return content[:a] + random.choice(NUMBERS).encode() + content[b:]


def _word(content: bytes, random: Random) -> bytes:
    words = content.split(b" ")
    at = random.randrange(len(words))
    kind = random.random()
    if kind < 0.3:
        del words[at]
    elif kind < 0.6:
        words.insert(at, random.choice(words))
    else:
        long = "a" * random.choice((1, 300, 5000))
        odd = ("\x1b[31m", "\x07", "\u202e", "\u2028", "../../x", "/dev/zero", "nan", long, "-")
        words[at] = random.choice(odd).encode()
    return b" ".join(words)


def _lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    kind = random.random()
    if kind < 0.35:
        del lines[at]
    elif kind < 0.7:
        lines.insert(random.randrange(len(lines) + 1), lines[at])
    elif kind < 0.8:
        lines[at] = b""
    elif kind < 0.9:
        return b"\r\n".join(lines)
    else:
        lines[at] = lines[at] * 50
    return b"\n".join(lines)


def _binary_number(content: bytes, random: Random) -> bytes:
    """A float or integer written over others, mostly where numbers are aligned."""
    order = random.choice("<<<>")
    if random.random() < 0.6:
        form = random.choice("dff")
        value = random.choice(FLOATS)
        if form == "f" and abs(value) > 3.4028e38 and abs(value) != float("inf"):
            value = 3.4e38
        packed = struct.pack(order + form, value)
    else:
        form = random.choice("BHIIQ")
        size = 8 * struct.calcsize(form)
        packed = struct.pack(order + form, random.choice(INTEGERS) & ((1 << size) - 1))
    step = random.choice((1, 4, len(packed)))
    at = random.randrange(max(1, len(content) // step)) * step
    return content[:at] + packed + content[at + len(packed) :]


def _header_text(content: bytes, random: Random) -> bytes:
    """A number in the text that a binary file begins with."""
    end = min(len(content), 600)
    return _number(content[:end], random) + content[end:]


# JSON


def _json(content: bytes, random: Random) -> bytes:
    tree = json.loads(content)
    tree = _changed(tree, random)
    text = json.dumps(tree)
    if random.random() < 0.03:
        text = text.replace("[", "[" * DEEP, 1)
    return text.encode("utf-8", "surrogatepass")


def _places(tree: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(pairs):
        found.append((tree, key))
        if isinstance(value, dict | list):
            _places(value, found)
    return found


def _changed(tree: Any, random: Random) -> Any:
    places = _places(tree, []) if isinstance(tree, dict | list) else []
    if not places or random.random() < 0.02:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    kind = random.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25:
        other, other_key = random.choice(places)
        if other_key in other if isinstance(other, dict) else other_key < len(other):
            holder[key] = json.loads(json.dumps(other[other_key]))
    elif kind < 0.32 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind < 0.37 and isinstance(holder, dict):
        holder["a" * random.choice((1, 400)) + "\x1b"] = holder.pop(key)
    elif kind < 0.6 and isinstance(holder[key], int | float):
        holder[key] = random.choice((*FLOATS, *INTEGERS))
    elif kind < 0.63:
        nested: Any = 1.0
        for _ in range(500):
            nested = [nested]
        holder[key] = nested
    else:
        holder[key] = random.choice(VALUES)
    return tree


def _json_lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    at = random.randrange(max(1, len(lines) - 1))
    lines[at] = _json(lines[at], random)
    return b"\n".join(lines)


# NumPy


def _npy_parts(content: bytes) -> tuple[str, bytes]:
    (size,) = struct.unpack_from("<H", content, 8)
    return content[10 : 10 + size].decode("latin-1"), content[10 + size :]


def _npy(content: bytes, random: Random) -> bytes:
    if content[:6] != b"\x93NUMPY":
        raise ValueError
    header, data = _npy_parts(content)
    described = header[header.index("'descr': '") + 10 :].split("'")[0]
    kind = random.random()
    if kind < 0.25:
        header = header.replace(described, random.choice(DTYPES))
    elif kind < 0.4 and described[0] in "<>":
        # The same numbers in the other byte order, as big-endian machines write them.
        size = int(described[2:])
        rows = [data[k : k + size][::-1] for k in range(0, len(data), size)]
        header, data = header.replace(described, ">" + described[1:]), b"".join(rows)
    elif kind < 0.6:
        shape = header[header.index("'shape': (") + 10 :].split(")")[0]
        other = random.choice(
            (
                "",
                "0,",
                "1,",
                "-1,",
                "0, 0",
                "4, 4",
                "99999999999,",
                "16,",
                "4, 17",
                "2, 2, 2",
                "3,",
            )
        )
        header = header.replace(f"({shape})", f"({other})")
    elif kind < 0.7:
        header = header.replace("False", random.choice(("True", "None", "[" * 200, "0")))
    elif kind < 0.95:
        return _npy_head(content, header, _floats(described, data, random))
    else:
        header = random.choice(("{", "", "(" * 100, "{'descr': '<f8'}", "{" + "a" * 300 + "}"))
    return _npy_head(content, header, data)


def _floats(described: str, data: bytes, random: Random) -> bytes:
    """One entry replaced by a number of the array's type."""
    code, size = described[1], int(described[2:])
    form = {("f", 4): "f", ("f", 8): "d", ("f", 2): "e"}.get((code, size))
    at = random.randrange(max(1, len(data) // size)) * size
    if form is None:
        whole = random.choice(INTEGERS) & ((1 << (8 * size)) - 1)
        return data[:at] + whole.to_bytes(size, "little") + data[at + size :]
    value = random.choice(FLOATS)
    try:
        packed = struct.pack("<" + form, value)
    except OverflowError:
        packed = struct.pack("<" + form, float("inf"))
    return data[:at] + packed + data[at + size :]


def _npy_head(content: bytes, header: str, data: bytes) -> bytes:
    text = header.rstrip().encode("latin-1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return content[:8] + struct.pack("<H", len(text)) + text + data


# Archives


def _npz(content: bytes, random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(sorted(members))
    kind = random.random()
    if kind < 0.7:
        members[name] = _npy(members[name], random)
    elif kind < 0.78:
        del members[name]
    elif kind < 0.86:
        members[name] = members[random.choice(sorted(members))]
    elif kind < 0.9:
        members[random.choice(("x.npy", "a\x1b[31m.npy", "b" * 3000 + ".npy", "../up.npy"))] = (
            members.pop(name)
        )
    elif kind < 0.95:
        members[name] = _flip(members[name], random)
    else:
        members[name] = members[name] + bytes(random.choice((1, 1000, 2_000_000)))
    stream = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for each, data in members.items():
            archive.writestr(zipfile.ZipInfo(each), data, method)
    made = stream.getvalue()
    return _zip_directory(made, random) if random.random() < 0.15 else made


def _zip_directory(content: bytes, random: Random) -> bytes:
    """A change within the archive's directory: methods, sizes, flags, names."""
    start = content.index(b"PK\x01\x02")
    return content[:start] + _flip(content[start:], random)


# Images


def _png(content: bytes, random: Random) -> bytes:
    """Chunks changed, with right checksums."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    place = random.randrange(len(chunks))
    kind, data = chunks[place]
    way = random.random()
    if way < 0.2:
        width, height = (random.choice((0, 1, 7, 9, 8000, 20000, 2**31)) for _ in range(2))
        head = chunks[0][1]
        sizes = struct.pack(">II", width, height) if random.random() < 0.5 else head[:8]
        depth, color = random.choice((1, 2, 4, 8, 16, 3)), random.choice((0, 2, 3, 4, 6, 5))
        chunks[0] = (chunks[0][0], sizes + bytes((depth, color)) + head[10:])
    elif way < 0.45:
        chunks[place] = (kind, _flip(data, random) if data else b"\1")
    elif way < 0.55:
        chunks[place] = (kind, _cut(data, random))
    elif way < 0.65:
        del chunks[place]
    elif way < 0.75:
        chunks.insert(random.randrange(len(chunks) + 1), chunks[place])
    else:
        odd = (
            (b"tRNS", b"\0\1"), (b"tRNS", bytes(6)), (b"tRNS", bytes(256)),
            (b"PLTE", b"\0\1\2"),
            (b"acTL", struct.pack(">II", random.choice((0, 1, 2, 2**31 - 1)), 0)),
            (b"fcTL", bytes(26)), (b"fdAT", bytes(4)), (b"gAMA", bytes(2)), (b"pHYs", b"\1"),
            (b"tEXt", b"a\0" + b"x" * 100),
            (b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))),
            (b"iCCP", b"a\0\0" + zlib.compress(b"x" * 50)), (b"eXIf", b"II*\0" + bytes(20)),
            (b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x06\0\0\0\0\0\0"),
            (b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"y")), (b"sRGB", b"\x09"), (b"XxXx", b""),
        )  # fmt: skip
        chunks.insert(random.randrange(1, len(chunks) + 1), random.choice(odd))
    packed = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
        for k, d in chunks
    ]
    return content[:8] + b"".join(packed)


# Headers before binary data


def _glb(content: bytes, random: Random) -> bytes:
    (size,) = struct.unpack_from("<I", content, 12)
    text, rest = content[20 : 20 + size], content[20 + size :]
    text = _json(text, random)
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + rest


def _safetensors(content: bytes, random: Random) -> bytes:
    (size,) = struct.unpack_from("<Q", content, 0)
    text = _json(content[8 : 8 + size], random)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


SPECIAL: dict[str, tuple[Callable[[bytes, Random], bytes], ...]] = {
    "json": (_json,),
    "gltf": (_json,),
    "jsonl": (_json_lines,),
    "npy": (_npy,),
    "npz": (_npz, _npz, _npz, _zip_directory),
    "png": (_png,),
    "glb": (_glb,),
    "safetensors": (_safetensors,),
}
"""Mutations that know a format, by the ending."""
