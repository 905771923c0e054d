"""Checkpoints that PyTorch itself wrote, and what it reads from them.

    python torch-checkpoints.py                        the fixtures in torch/, with torch/expected.json
    python torch-checkpoints.py random FOLDER SEED N   N checkpoints of random trees, and FOLDER/expected.json; with one more word, FOLDER/resnet too
    python torch-checkpoints.py resnet FOLDER          torchvision's ResNet-18 in both forms, and the SHA-256 of every tensor
    python torch-checkpoints.py corpus FOLDER          small files for the fuzzers of packages/core/test/fuzz-io

Written with PyTorch 2.13 and NumPy 2. Trees are described in JSON: containers and values that JSON lacks are objects of one key
with a $; of tensors the bytes are given that JavaScript has, float32 for the smaller floats.
"""

import base64
import collections
import hashlib
import io
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

# The fixtures' folder beside this file would pass for a package named torch where there is none.
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np
import torch

warnings.filterwarnings("ignore")

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e8m0fnu: "F8_E8M0",
    torch.uint8: "U8", torch.int8: "I8", torch.uint16: "U16", torch.int16: "I16", torch.uint32: "U32",
    torch.int32: "I32", torch.uint64: "U64", torch.int64: "I64", torch.bool: "BOOL",
    torch.complex64: "C64", torch.complex128: "C128",
}
NUMPY_NAMES = {"f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128", "b1": "BOOL"}


def raw(tensor):
    """The bytes of a tensor in row-major order."""
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1).clone(memory_format=torch.contiguous_format)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


def tensor_of(dtype, shape, data):
    return {"$tensor": [dtype, list(shape), base64.b64encode(data).decode()]}


def describe(o):
    if isinstance(o, torch.Tensor):
        if not (o.dtype.is_floating_point and o.dtype.itemsize < 4):
            return tensor_of(NAMES[o.dtype], o.shape, raw(o))
        wide = o.detach().to(torch.float32)
        # NaNs of small floats are NaNs; their payloads mean nothing in PyTorch, which widens them in several ways.
        return tensor_of(NAMES[o.dtype], o.shape, raw(torch.where(wide.isnan(), torch.tensor(float("nan")), wide)))
    if isinstance(o, torch.UntypedStorage):
        return tensor_of("U8", [o.nbytes()], bytes(o))
    if isinstance(o, torch.dtype | torch.device):
        return str(o)
    if isinstance(o, np.ndarray):
        kind = o.dtype.str[1:]
        name = NUMPY_NAMES.get(kind) or kind[0].upper() + str(8 * int(kind[1:]))
        array = o.astype(o.dtype.newbyteorder("<"))
        return tensor_of(name, o.shape, (array.astype("<f4") if name == "F16" else array).tobytes())
    if isinstance(o, np.generic):
        return describe(o.item())
    if o is None or isinstance(o, bool | str):
        return o
    if isinstance(o, int):
        return o if abs(o) < 2**53 else {"$int": str(o)}
    if isinstance(o, float):
        return o if np.isfinite(o) else {"$float": {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(o)]}
    if isinstance(o, complex):
        return {"$dict": [["real", o.real], ["imag", o.imag]]}
    if isinstance(o, bytes | bytearray):
        return {"$bytes": o.hex()}
    if isinstance(o, set | frozenset):
        return {"$set": [describe(v) for v in o]}
    if isinstance(o, slice):
        return {"$dict": [["start", o.start], ["stop", o.stop], ["step", o.step]]}
    if isinstance(o, dict):
        return {"$dict": [[describe(k), describe(v)] for k, v in o.items()]}
    return [describe(v) for v in o]


def all_types():
    g = torch.Generator().manual_seed(1)
    values = torch.randn(3, 4, generator=g) * 4
    trees = {}
    for dtype in NAMES:
        if dtype == torch.float8_e8m0fnu:
            tensor = torch.arange(256, dtype=torch.uint8).view(dtype)
        elif dtype.is_floating_point and dtype.itemsize == 1:
            tensor = torch.arange(256, dtype=torch.uint8).view(dtype)
        elif dtype.is_complex:
            tensor = torch.complex(values.double(), values.double() + 1).to(dtype)
        elif dtype == torch.bool:
            tensor = values > 0
        elif dtype.is_floating_point:
            tensor = torch.cat([values.flatten(), torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-7])]).to(dtype)
        else:
            info = torch.iinfo(dtype)
            tensor = torch.tensor([info.min, info.max // 3, info.max], dtype=dtype)
        trees[str(dtype).removeprefix("torch.")] = tensor
    return trees


def views():
    base = torch.arange(24.0).reshape(2, 3, 4)
    tied = torch.randn(3, 2, generator=torch.Generator().manual_seed(2))
    return {
        "transposed": base.permute(2, 0, 1), "columns": base[:, :, 1], "steps": base.flatten()[1::3],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 5), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
        "empty_view": base[:0, 1], "encoder.weight": tied, "decoder.weight": tied, "decoder.bias": tied[1],
        "conj": torch.tensor([1 + 2j, -3j]).conj(), "imag": torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        "parameter": torch.nn.Parameter(tied.clone()), "storage": torch.arange(3, dtype=torch.int16).untyped_storage(),
        "wide": torch.arange(6.0).to(torch.complex128).reshape(2, 3).t(), "halves": torch.arange(6).half().reshape(2, 3).t(),
        "bytes": torch.arange(6, dtype=torch.uint8).reshape(2, 3).t(),
    }


def mixed():
    attributed = torch.nn.Parameter(torch.ones(2))
    attributed.note = "kept by PyTorch"
    noted = torch.ones(1)
    noted.note = 3
    state = collections.OrderedDict(a=torch.arange(2), b=torch.arange(3.0))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return {
        "model": state, "epoch": 17, "best_acc": np.float64(0.875), "loss": np.float32(1.5), "seen": np.int64(2**60), "done": np.bool_(True),
        "phase": np.complex64(1 + 2j), "label": np.str_("kätzchen"),
        "history": np.arange(6, dtype="<f4").reshape(2, 3), "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">i4"), "flags": np.array([True, False]), "half": np.arange(3, dtype="f2"),
        "nothing": np.zeros((0, 2)), "zero_d": np.array(5, dtype="u1"),
        "by_number": {0: torch.zeros(1), 7: "seven", -1: None, 2.5: True, (1, "a"): [], None: (), False: 1.0},
        "defaults": collections.defaultdict(list, {"x": [1, 2]}), "counts": collections.Counter("abca"),
        "size": torch.Size([2, 3]), "device": torch.device("cuda", 1), "dtype": torch.bfloat16, "numpy_type": "float32",
        "numbers": [0, 1, 255, 256, 65535, 65536, -1, 2**31, -(2**31), 2**53 - 1, 2**53, -(2**63), 2**100, 0.1, 1e300, float("nan"), -float("inf")],
        "texts": ["", "ünï\ncode\\ '\"", "日本語", "\U0001f600", "x" * 300], "raw": b"\x00\xff\n", "empty_raw": b"", "changing": bytearray(b"ab\x80"),
        "sets": [{1, "a"}, frozenset([2.5])], "complex": 1.5 - 2j, "slice": slice(1, None, 2),
        "attributed": attributed, "noted": noted, "nested": [[[[]]], ({},)], "__proto__": 1, "constructor": "text",
    }


def module_state():
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam([{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}])
    for _ in range(2):
        optimizer.zero_grad()
        model[2](model[1](model[0](torch.randn(2, 2, 4, 4))).mean((2, 3))).square().sum().backward()
        optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return model, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "epoch": 2}


class Evil:
    def __reduce__(self):
        return os.system, ("touch VQ_WAS_HERE",)


# Made without a class statement, so that no source of it is saved along, with the path of this file.
Net = type("Net", (torch.nn.Module,), {"__module__": "__main__"})


class Script(torch.nn.Module):
    def forward(self, x):
        return x + 1


def big_endian(path, little, tree):
    """The same archive as a big-endian machine writes it."""
    widths = {}

    def note(id):
        widths[id[2]] = (id[1].dtype if id[1] is not torch.UntypedStorage else torch.uint8).itemsize
        return torch.storage.TypedStorage(wrap_storage=torch.UntypedStorage(id[4] * widths[id[2]]), dtype=torch.float32, _internal=True)

    with zipfile.ZipFile(little) as source, zipfile.ZipFile(path, "w") as target:
        pickled = pickle.Unpickler(io.BytesIO(source.read([n for n in source.namelist() if n.endswith("data.pkl")][0])))
        pickled.persistent_load = note
        pickled.load()
        for name in source.namelist():
            data = source.read(name)
            key = name.rsplit("/", 1)[1]
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name and key in widths:
                data = np.frombuffer(data, f"V{widths[key]}").tobytes() if widths[key] == 1 else np.frombuffer(data, f"<u{widths[key]}").astype(f">u{widths[key]}").tobytes()
            target.writestr(name, data)


def deflated(path, stored):
    """What somebody gets who unpacks a checkpoint and zips it again."""
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


def legacy_view(path):
    """The legacy form with a view of a storage, as versions before 0.4 wrote them."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, o):
            if isinstance(o, str) and o.startswith("storage "):
                _, view = o.split(" ")
                return ("storage", torch.FloatStorage, "7", "cpu", 6, None if view == "all" else (view, 2, 3))

    class Rebuilt:
        def __init__(self, storage, size):
            self.args = (storage, 0, (size,), (1,))

        def __reduce__(self):
            return torch._utils._rebuild_tensor, self.args

    with open(path, "wb") as f:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(value, f, 2)
        Pickler(f, 2).dump({"all": Rebuilt("storage all", 6), "part": Rebuilt("storage 8", 3)})
        pickle.dump(["7"], f, 2)
        f.write(struct.pack("<q6f", 6, *range(6)))


def tar_form(path):
    """The form before 0.1.10, written after torch.serialization's reader of it."""
    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(2, storages, 2)
    for key, kind, data in ((11, torch.FloatStorage, struct.pack("<q6f", 6, *range(6))), (12, torch.LongStorage, struct.pack("<q2q", 2, 5, -6))):
        pickle.dump((key, "cpu", kind), storages, 2)
        storages.write(data)
    pickle.dump([(13, 11, 2, 3)], storages, 2)
    pickle.dump(3, tensors, 2)
    for key, storage, shape, stride, offset in ((21, 11, (3, 2), (1, 3), 0), (22, 12, (2,), (1,), 0), (23, 13, (2,), (1,), 1)):
        pickle.dump((key, storage, torch.FloatTensor), tensors, 2)
        tensors.write(struct.pack(f"<ii{2 * len(shape) + 1}q", len(shape), 0, *shape, *stride, offset))

    class Pickler(pickle.Pickler):
        def persistent_id(self, o):
            return int(o[1:]) if isinstance(o, str) and o.startswith("#") else None

    tree = io.BytesIO()
    Pickler(tree, 2).dump(collections.OrderedDict(weight="#21", steps="#22", view="#23", epoch=3))
    tarfile.RECORDSIZE = tarfile.BLOCKSIZE  # no more padding than there must be
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("sys_info", pickle.dumps({}, 2)), ("pickle", tree.getvalue()), ("tensors", tensors.getvalue()), ("storages", storages.getvalue())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def old_python(path):
    """A plain pickle as Python 2 wrote them: byte strings in quotes, an array in them."""
    array = np.arange(3, dtype="<i2")
    quoted = "".join(f"\\x{b:02x}" for b in array.tobytes())
    text = (
        "(dp0\nS'data'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        "(I1\n(I3\ntp8\ncnumpy\ndtype\np9\n(S'i2'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        f"S'{quoted}'\np15\ntp16\nbsS'labels'\np17\n(lp18\nI1\naL22L\naF2.5\nasVn\\u00e9\nI01\nsS'caf\\xc3\\xa9'\nS\"it's\"\ns."
    )
    Path(path).write_bytes(text.encode("latin1"))
    return {"data": array, "labels": [1, 22, 2.5], "né": True, "café": "it's"}


def save(path, tree, zip=True, protocol=2):
    torch.save(tree, path, _use_new_zipfile_serialization=zip, pickle_protocol=protocol)


def fixtures(folder):
    folder.mkdir(exist_ok=True)
    expected = {}

    def add(name, tree, **options):
        save(folder / name, tree, **options)
        expected[name] = describe(tree)

    add("types.pt", all_types())
    add("types-legacy.pt", {k: v for k, v in all_types().items() if k in ("bool", "int64", "float16", "uint16", "complex128")}, zip=False)
    add("views.pt", views())
    add("views-legacy.pt", {k: v for k, v in views().items() if k not in ("imag",)}, zip=False)
    for protocol in (2, 4):
        add(f"mixed-{protocol}.pt", mixed(), protocol=protocol)
    for protocol in (1, 3, 5):
        add(f"mixed-legacy-{protocol}.pt", mixed(), zip=False, protocol=protocol)
    model, tree = module_state()
    add("training.pt", tree)
    add("tensor.pt", torch.arange(3))
    add("list-legacy.pt", [torch.arange(2), (1, torch.zeros(1, 1))], zip=False)
    torch.serialization.set_crc32_options(False)
    add("unsummed.pt", {"a": torch.arange(100.0), "b": torch.arange(100.0)[3:5]})
    torch.serialization.set_crc32_options(True)
    tree = {k: v for k, v in all_types().items() if k not in ("complex64", "complex128") and v.dtype.itemsize in (1, 2, 4, 8)}
    tree = {k: v for k, v in tree.items() if not k.startswith("uint") or k == "uint8"}
    save(folder / "tmp.pt", tree)
    big_endian(folder / "big-endian.pt", folder / "tmp.pt", tree)
    expected["big-endian.pt"] = describe(torch.load(folder / "big-endian.pt"))
    assert expected["big-endian.pt"] == describe(tree)
    deflated(folder / "deflated.pt", folder / "views.pt")
    expected["deflated.pt"] = expected["views.pt"]
    legacy_view(folder / "view-legacy.pt")
    expected["view-legacy.pt"] = describe(torch.load(folder / "view-legacy.pt"))
    tar_form(folder / "tar.pt")
    expected["tar.pt"] = describe(torch.load(folder / "tar.pt", weights_only=False))
    (folder / "tmp.pt").unlink()

    refused = folder / "refused"
    refused.mkdir(exist_ok=True)
    torch.save({"weights": torch.zeros(1), "payload": Evil()}, refused / "system.pt")
    save(refused / "system-legacy.pt", [Evil()], zip=False)
    save(refused / "module.pt", torch.nn.Sequential(torch.nn.Linear(2, 1)))
    save(refused / "module-legacy.pt", Net(), zip=False)
    torch.jit.save(torch.jit.script(Script()), folder / "tmp.pt")
    with zipfile.ZipFile(folder / "tmp.pt") as source, zipfile.ZipFile(refused / "script.pt", "w") as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):  # it has the path of this file
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    (folder / "tmp.pt").unlink()
    save(refused / "sparse.pt", torch.eye(3).to_sparse())
    save(refused / "sparse-csr.pt", {"a": torch.eye(3).to_sparse_csr()})
    save(refused / "quantized.pt", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))
    save(refused / "meta.pt", {"a": torch.zeros(3, device="meta")})
    save(refused / "nested.pt", torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]))
    save(refused / "complex32.pt", {"a": torch.zeros(2, dtype=torch.complex32)})
    save(refused / "objects.pt", {"a": np.array([{}, None], dtype=object)})
    save(refused / "records.pt", {"a": np.zeros(2, dtype=[("x", "f4"), ("y", "i4")])})
    save(refused / "lambda.pt", {"a": torch.nn.functional.relu})
    (refused / "pickled-tensor.pt").write_bytes(pickle.dumps({"a": torch.zeros(1)}))

    plain = {k: v for k, v in mixed().items() if not isinstance(v, torch.Tensor | torch.dtype | torch.device | torch.Size) and k not in ("model", "by_number")}
    for protocol in (0, 2, 3, 4, 5):
        (folder / f"plain-{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol))
        expected[f"plain-{protocol}.pkl"] = describe(plain)
    expected["python-2.pkl"] = describe(old_python(folder / "python-2.pkl"))
    arrays = npz_arrays()
    np.savez(folder / "arrays.npz", **arrays)
    np.savez_compressed(folder / "arrays-deflated.npz", **arrays)
    for name in ("arrays.npz", "arrays-deflated.npz"):
        expected[name] = describe(arrays)
    write(folder / "expected.json", expected)


def npz_arrays():
    r = np.random.default_rng(4)
    arrays = {kind: (r.standard_normal((2, 3)) * 50).astype(kind) for kind in "f2 f4 f8 c8 c16 i1 i2 i4 i8 >f4 >i8 >c16".split()}
    arrays |= {kind: r.integers(0, 200, (3,)).astype(kind) for kind in "u1 u2 u4 u8 >u2".split()}
    return arrays | {
        "bool": r.random(5) > 0.5, "fortran": np.asfortranarray(r.standard_normal((3, 2, 2))), "scalar": np.array(2.5), "empty": np.zeros((0, 4)),
        "folder/näme": np.arange(2), "zeros": np.zeros(300, "f4"),
    }


def random_tree(r, depth=0):
    kind = r.random()
    if depth < 4 and kind < 0.35:
        return {random_key(r): random_tree(r, depth + 1) for _ in range(r.randrange(5))}
    if depth < 4 and kind < 0.5:
        items = [random_tree(r, depth + 1) for _ in range(r.randrange(4))]
        return items if r.random() < 0.5 else tuple(items)
    if kind < 0.8:
        return random_tensor(r)
    return r.choice([
        None, True, False, r.randrange(-300, 300), r.randrange(-(2**70), 2**70), r.gauss(0, 1e3), "".join(chr(r.randrange(1, 0x2FF)) for _ in range(r.randrange(6))),
        bytes(r.randrange(256) for _ in range(r.randrange(5))), np.float32(r.random()), np.int64(r.randrange(2**62)),
        np.array([r.random() for _ in range(r.randrange(4))]), r.choice(list(NAMES)), {r.randrange(5), "a"}, complex(r.random(), 1),
    ])


def random_key(r):
    return r.choice([r.randrange(9), f"key{r.randrange(100)}", f"layer.{r.randrange(5)}.weight", ""])


def random_tensor(r):
    dtype = r.choice(list(NAMES))
    shape = [r.randrange(4) for _ in range(r.randrange(4))]
    count = int(np.prod(shape, dtype=int)) + r.randrange(4)
    data = bytes(r.randrange(2 if dtype == torch.bool else 256) for _ in range(count * dtype.itemsize))
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    extra = count - int(np.prod(shape, dtype=int))
    tensor = flat[extra:].reshape(shape)
    if r.random() < 0.5:
        tensor = tensor.permute(r.sample(range(len(shape)), len(shape)))
    if r.random() < 0.2 and tensor.dim() > 0:
        tensor = tensor[::2]
    if r.random() < 0.1 and dtype.is_complex:
        tensor = tensor.conj()
    if r.random() < 0.2 and dtype.is_floating_point and dtype.itemsize > 1:
        tensor = torch.nn.Parameter(tensor, requires_grad=r.random() < 0.5)
    return tensor


def random_files(folder, seed, count):
    r = random.Random(seed)
    expected = {}
    for i in range(count):
        tree = random_tree(r)
        if r.random() < 0.5 and isinstance(tree, dict) and tree:
            tree["again"] = next(iter(tree.values()))
        zip = r.random() < 0.6
        name = f"{i}.pt"
        save(folder / name, tree, zip=zip, protocol=r.choice([2, 2, 3, 4, 5]))
        expected[name] = describe(tree)
    write(folder / "expected.json", expected)


def resnet(folder):
    for name in ("torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "torchvision::qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):
        try:
            torch.library.define(name.split("(")[0], "(" + name.split("(", 1)[1])
        except RuntimeError:
            pass  # torchvision has its own operators
    try:
        from torchvision.models import resnet18
    except ImportError:
        return
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    state = resnet18().state_dict()
    save(folder / "resnet.pt", state)
    save(folder / "resnet-legacy.pt", state, zip=False)
    write(folder / "expected.json", {k: [NAMES[v.dtype], list(v.shape), hashlib.sha256(raw(v)).hexdigest()] for k, v in state.items()})


def corpus(folder):
    base = torch.arange(6.0).reshape(2, 3)
    trees = {
        "views": {"a": base.t(), "b": base[1], "c": torch.tensor(1.0).expand(2, 2)},
        "types": {"f8": torch.zeros(2, dtype=torch.float8_e5m2), "u": torch.ones(2, dtype=torch.uint16), "b": torch.tensor([True]), "c": torch.tensor([1j]).conj()},
        "state": {"state": {0: {"step": torch.tensor(1.0)}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}], "p": torch.nn.Parameter(base[0])},
        "values": {"n": np.float32(0.5), "a": np.arange(3), "s": torch.Size([1]), "d": torch.half, "dev": torch.device("cpu"), "raw": b"ab", "set": {1}, "z": torch.zeros(0, 2)},
    }
    for kind in ("pickle", "npz", "torch-zip", "torch-legacy", "torch-tar"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i, (name, tree) in enumerate(trees.items()):
        save(folder / "torch-zip" / f"{name}.pt", tree, protocol=2 + i % 3)
        save(folder / "torch-legacy" / f"{name}.pt", tree, zip=False, protocol=1 + i)
    save(folder / "torch-zip" / "bad-system.pt", {"a": Evil()})
    legacy_view(folder / "torch-legacy" / "view.pt")
    tar_form(folder / "torch-tar" / "tar.pt")
    plain = {k: v for k, v in mixed().items() if k in ("history", "fortran", "swapped", "half", "loss", "phase", "label", "defaults", "counts", "raw", "changing", "sets", "complex", "slice")}
    plain["numbers"] = [1, -1, 300, 2**40, 2**70, 0.5, None, True]
    for protocol in (0, 2, 4, 5):
        (folder / "pickle" / f"plain-{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol))
    old_python(folder / "pickle" / "python-2.pkl")
    (folder / "pickle" / "bad-system.pkl").write_bytes(pickle.dumps(Evil()))
    arrays = {"a": np.arange(6).reshape(2, 3), "b/c": np.asfortranarray(np.ones((2, 2), ">f4")), "z": np.zeros(())}
    np.savez(folder / "npz" / "stored.npz", **arrays)
    np.savez_compressed(folder / "npz" / "deflated.npz", **arrays)


def write(path, expected):
    """Trees that several files have are written once."""
    trees = {}
    files = {name: trees.setdefault(json.dumps(tree, allow_nan=False), len(trees)) for name, tree in expected.items()}
    path.write_text(json.dumps({"files": files, "trees": [json.loads(tree) for tree in trees]}) + "\n")


if __name__ == "__main__":
    mode, *args = sys.argv[1:] or ["fixtures"]
    if mode == "fixtures":
        fixtures(Path(__file__).parent / "torch")
    elif mode == "random":
        random_files(Path(args[0]), int(args[1]), int(args[2]))
        if args[3:]:
            resnet(Path(args[0]) / "resnet")
    elif mode == "corpus":
        corpus(Path(args[0]))
    elif mode == "resnet":
        resnet(Path(args[0]))
    else:
        sys.exit(__doc__)
