"""Writes preprocess.safetensors beside this file: what the processors of transformers (on Pillow) make of the photos of
`../shared/data/photos` beside the repository, as bytes [H, W, 3] under `<processor>.<photo>`, and of a small image of noise
[H, W, 3] (`noise`) with each of Pillow's filters (`<filter>.<H>x<W>`), cropped (`crop.<H>x<W>`) and normalised (`normalised`).

`preprocess.py FILE SIZE` writes the photos at another size into another file."""
import sys
from pathlib import Path
import numpy as np
import torch
try:
    _ops = torch.library.Library('torchvision', 'DEF')
    for _op in ('nms', 'qnms'):
        _ops.define(_op + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError:
    pass
from PIL import Image
from safetensors.numpy import save_file
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

folder = Path(__file__).resolve().parents[2].parent / 'shared' / 'data' / 'photos'


def photos(size):
    plain = {'do_rescale': False, 'do_normalize': False}
    processors = {
        'vit': ViTImageProcessorPil(size={'height': size, 'width': size}, **plain),
        'clip': CLIPImageProcessorPil(size={'shortest_edge': size}, crop_size={'height': size, 'width': size}, **plain),
        'dinov2': BitImageProcessorPil(size={'shortest_edge': size + size // 7}, crop_size={'height': size, 'width': size}, resample=1, **plain),
        'convnext': ConvNextImageProcessorPil(size={'shortest_edge': size}, crop_pct=0.875, **plain),
    }
    result = {}
    for path in sorted(folder.iterdir()):
        image = Image.open(path).convert('RGB')
        for name, processor in processors.items():
            y = processor(images=image, return_tensors='np')['pixel_values'][0]
            result[f'{name}.{path.name}'] = np.ascontiguousarray(y.transpose(1, 2, 0)).astype(np.uint8)
    return result


if len(sys.argv) > 2:
    save_file(photos(int(sys.argv[2])), sys.argv[1])
else:
    result = photos(24)
    noise = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    result['noise'] = noise
    names = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming']
    for number, name in enumerate(names):
        for h, w in ((8, 9), (17, 5), (40, 31), (3, 50)):
            result[f'{name}.{h}x{w}'] = np.array(Image.fromarray(noise).resize((w, h), resample=number))
    for h, w in ((8, 9), (20, 10), (30, 40), (5, 24)):
        crop = ViTImageProcessorPil(do_resize=False, do_center_crop=True, crop_size={'height': h, 'width': w}, do_rescale=False, do_normalize=False)
        y = crop(images=Image.fromarray(noise), return_tensors='np')['pixel_values'][0]
        result[f'crop.{h}x{w}'] = np.ascontiguousarray(y.transpose(1, 2, 0)).astype(np.uint8)
    y = CLIPImageProcessorPil(size={'shortest_edge': 9}, crop_size=8)(images=Image.fromarray(noise), return_tensors='np')['pixel_values'][0]
    result['normalised'] = np.ascontiguousarray(y.transpose(1, 2, 0)).astype(np.float32)
    save_file(result, Path(__file__).with_suffix('.safetensors'))
