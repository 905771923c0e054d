"""Writes the small valid files under corpus/ beside this script; files named bad-… there once broke a reader or must be refused."""
import io
import json
import struct
import zipfile
from pathlib import Path
import numpy as np
import torch
from numpy.lib import format as npy
from safetensors.torch import save_file

corpus = Path(__file__).with_name('corpus')


def folder(name):
    path = corpus / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def raw(path, tensors, metadata=None):
    """safetensors of types that PyTorch lacks: (name, type, shape, bytes)."""
    header, data = {}, b''
    if metadata:
        header['__metadata__'] = metadata
    for name, dtype, shape, values in tensors:
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)


files = folder('safetensors')
generator = torch.Generator().manual_seed(0)
save_file({
    'weight': torch.randn(4, 3, generator=generator),
    'half': torch.randn(5, generator=generator).half(),
    'brain': torch.randn(2, 2, generator=generator).bfloat16(),
    'steps': torch.tensor(12),
    'flags': torch.tensor([True, False, True]),
    'double': torch.randn(2, generator=generator).double(),
    'complex': torch.randn(2, generator=generator, dtype=torch.complex64),
    'e5m2': torch.randn(3, generator=generator).to(torch.float8_e5m2),
}, files / 'torch.safetensors', {'format': 'pt'})
raw(files / 'small.safetensors', [
    ('f4', 'F4', [2, 3], bytes([0x10, 0x32, 0xf4])),
    ('f6', 'F6_E2M3', [4], bytes([1, 2, 3])),
    ('f6b', 'F6_E3M2', [1, 8], bytes(range(6))),
    ('e8m0', 'F8_E8M0', [3], bytes([0, 127, 255])),
    ('fnuz', 'F8_E4M3FNUZ', [2], bytes([0x80, 0x7f])),
    ('u16', 'U16', [1], bytes([1, 2])),
    ('u64', 'U64', [1], bytes([255] * 8)),
], {'a "quoted" name': 'é\u2028'})
raw(files / 'empty.safetensors', [])
raw(files / 'odd-names.safetensors', [
    ('__proto__', 'U8', [1], b'\1'), ('constructor', 'I8', [0, 9], b''), ('', 'U8', [], b'\2'), ('1', 'U8', [1, 1], b'\3'),
])
one = b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
for name, text, data in [
    ('twice', b'{' + one + b',' + one + b'}', b'\1'),
    ('minus-zero', one.replace(b'[0,', b'[-0,').join([b'{', b'}']), b'\1'),
    ('deep', b'{"a":' + b'[' * 4000, b''),
    ('deep-shape', b'{"a":{"shape":' + b'[' * 4000, b''),
    ('flags', b'{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}', b'\2'),
    ('huge', b'{"a":{"dtype":"U8","shape":[1000000000000000],"data_offsets":[0,1000000000000000]}}', b'\1'),
    ('overlap', b'{' + one + b',' + one.replace(b'"a"', b'"b"') + b'}', b'\1'),
]:
    (files / f'bad-{name}.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + data)

files = folder('safetensors-index')
index = {'metadata': {'total_size': 76}, 'weight_map': {
    'weight': 'torch.safetensors', 'half': 'torch.safetensors', 'f4': 'small.safetensors', 'u64': 'small.safetensors',
    '__proto__': 'odd-names.safetensors',
}}
(files / 'two.index').write_text(json.dumps(index, indent=2))
(files / 'none.index').write_text('{"weight_map": {}}')
(files / 'bad-outside.index').write_text('{"weight_map": {"weight": "../torch.safetensors"}}')
(files / 'bad-absent.index').write_text('{"weight_map": {"weight": "small.safetensors"}}')
(files / 'bad-twice.index').write_text('{"weight_map": {"f4": "small.safetensors", "f4": "small.safetensors"}}')
(files / 'bad-no-map.index').write_text('{"metadata": {"total_size": 76}}')

files = folder('npy')
random = np.random.default_rng(0)
for i, (dtype, shape, columns) in enumerate([
    ('<f4', (3, 4), False), ('>f8', (2, 3), True), ('<f2', (5,), False), ('|u1', (), False), ('|b1', (2, 2), True),
    ('>c16', (2,), False), ('<i8', (0, 3), False), ('>u2', (2, 1, 3), True),
]):
    array = random.normal(size=shape).astype(dtype)
    with open(files / f'{i}-{dtype[1:]}.npy', 'wb') as file:
        npy.write_array(file, np.asfortranarray(array) if columns else array, version=[(1, 0), (2, 0), (3, 0)][i % 3])
for name, value in [('strings', np.array(['a', 'b'])), ('structure', np.zeros(2, dtype=[('x', '<f4')])),
                    ('dates', np.array(['2020-01-01'], dtype='datetime64[D]')), ('objects', np.array([None]))]:
    np.save(files / f'bad-{name}.npy', value, allow_pickle=True)

files = folder('vecs')
for name, code, size in [('fvecs', '<f4', 4), ('ivecs', '<i4', 4), ('bvecs', '|u1', 1)]:
    rows = random.integers(0, 9, size=(5, 3)).astype(code)
    (files / f'five.{name}').write_bytes(b''.join(struct.pack('<i', 3) + row.tobytes() for row in rows))
(files / 'bad-dimension.fvecs').write_bytes(struct.pack('<if', 1, 0.5) + struct.pack('<if', 2, 0.5))
(files / 'bad-huge.fvecs').write_bytes(struct.pack('<if', 2**31 - 1, 0.5))
(files / 'bad-negative.bvecs').write_bytes(struct.pack('<i', -4) * 2)

# Every type of elements, and lies that a reader must not believe.
random = np.random.default_rng(1)
for name in ['|i1', '<i2', '>i4', '<u4', '>u8', '<c8']:
    np.save(folder('npy') / f'8-{name[1:]}.npy', random.integers(0, 99, size=(2, 3)).astype(name))

files = folder('safetensors')
gap = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}'
for name, text, data in [('gap', gap, b'\1\2\3'), ('more', b'{' + one + b'}', b'\1\2')]:
    (files / f'bad-{name}.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + data)

files = folder('npz')
packed = bytearray((files / 'deflated.npz').read_bytes())
stored = bytearray((files / 'stored.npz').read_bytes())


def spoilt(bytes, field, width, change):
    """The same number in the first member's two headers (`field` counts in the local one) becomes another."""
    made = bytearray(bytes)
    for at in [field, made.index(b'PK\1\2') + field + 2]:
        number = int.from_bytes(made[at:at + width], 'little')
        # ZIP64 has it elsewhere.
        if number != 2**32 - 1:
            made[at:at + width] = change(number).to_bytes(width, 'little')
    return made


(files / 'bad-sum.npz').write_bytes(spoilt(stored, 14, 4, lambda n: n ^ 1))
(files / 'bad-sum-deflated.npz').write_bytes(spoilt(packed, 14, 4, lambda n: n ^ 1))
(files / 'bad-shorter.npz').write_bytes(spoilt(packed, 22, 4, lambda n: n - 1))
(files / 'bad-longer.npz').write_bytes(spoilt(packed, 22, 4, lambda n: n + 1))
# One member's bytes hold another member.
with zipfile.ZipFile(io.BytesIO(), 'w') as whole:
    value = io.BytesIO()
    np.save(value, np.zeros(3, np.uint8))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, 'w') as archive:
        archive.writestr(zipfile.ZipInfo('b.npy'), value.getvalue())
    local = inner.getvalue()[:inner.getvalue().index(b'PK\1\2')]
    value = io.BytesIO()
    np.save(value, np.frombuffer(local, np.uint8))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, 'w') as archive:
        archive.writestr(zipfile.ZipInfo('a.npy'), value.getvalue())
    bytes_of = outer.getvalue()
    start, end = bytes_of.index(b'PK\1\2', len(value.getvalue())), bytes_of.rindex(b'PK\5\6')
    second = bytearray(inner.getvalue()[len(local):inner.getvalue().rindex(b'PK\5\6')])
    second[42:46] = struct.pack('<I', bytes_of.index(local))
    both = bytes_of[start:end] + second
    tail = bytearray(bytes_of[end:])
    tail[8:16] = struct.pack('<HHI', 2, 2, len(both))
    (files / 'bad-inside.npz').write_bytes(bytes_of[:start] + both + tail)

# A storage that is shorter than its tensors were told, with another behind it.
two = io.BytesIO()
torch.save([torch.zeros(4), torch.ones(4)], two)
short = io.BytesIO()
with zipfile.ZipFile(two) as archive, zipfile.ZipFile(short, 'w') as made:
    for member in archive.infolist():
        made.writestr(zipfile.ZipInfo(member.filename), archive.read(member)[:8 if member.filename.endswith('data/0') else None])
(folder('torch-zip') / 'bad-short.pt').write_bytes(short.getvalue())
old = io.BytesIO()
torch.save([torch.zeros(4)], old, _use_new_zipfile_serialization=False)
count = old.getvalue().rindex(struct.pack('<q', 4))
(folder('torch-legacy') / 'bad-count.pt').write_bytes(old.getvalue()[:count] + struct.pack('<q', 3) + old.getvalue()[count + 8:])

torch.save({'half': torch.arange(3).half(), 'brain': torch.arange(2).bfloat16()}, folder('torch-zip') / 'half.pt')
torch.save([torch.arange(3).half()], folder('torch-legacy') / 'half.pt', _use_new_zipfile_serialization=False)
files = folder('pickle')
for name, text in [('cycle', b']q\0h\0a.'), ('key', b'}]Ns.')]:
    (files / f'bad-{name}.pkl').write_bytes(text)
