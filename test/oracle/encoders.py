"""Writes the folder `encoders` beside this file: one folder per case with a tiny random checkpoint as transformers or
torchvision saves it, and `expected.safetensors`: images [B, H, W, C] under `images.<i>`, what the model makes of them in
evaluation under `hidden.<i>.<layer>` (feature maps channels last), `sequence.<i>`, `embedding.<i>`, `segmentation.<i>`.

`encoders.py FOLDER CASES.json` writes other cases instead: a list of {"name", "kind", "config", "sizes"}."""
import json
import sys
from pathlib import Path
import torch
# torchvision's compiled operators are not needed, but looked up at import.
try:
    _ops = torch.library.Library('torchvision', 'DEF')
    for _op in ('nms', 'qnms'):
        _ops.define(_op + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError:
    pass
import torchvision.models as tv
import transformers as hf
from safetensors.torch import save_file
from torch import nn

torch.set_num_threads(1)


def stir(model):
    """Random weights large enough that every one of them shows, and statistics of batches that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() > 1 and 'embed' not in name and 'token' not in name:
                p.copy_(noise * (1.5 / p[0].numel()) ** 0.5)
            else:
                p.add_(0.2 * noise)
        for name, b in model.named_buffers():
            if name.endswith('running_mean'):
                b.copy_(0.2 * torch.randn(b.shape, generator=generator))
            if name.endswith('running_var'):
                b.copy_(0.5 + torch.rand(b.shape, generator=generator))
    return model.eval()


def last(x):
    """Feature maps channels last."""
    return x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x.contiguous()


def hf_outputs(model, x, native):
    vision = isinstance(model, (hf.ViTModel, hf.CLIPVisionModel, hf.CLIPVisionModelWithProjection, hf.CLIPModel, hf.ViTForImageClassification))
    extra = {} if native or not vision else {'interpolate_pos_encoding': True}
    tower = model.vision_model if isinstance(model, (hf.CLIPModel, hf.CLIPVisionModelWithProjection)) else model
    tower = tower.vit if isinstance(model, hf.ViTForImageClassification) else tower
    y = tower(x, output_hidden_states=True, **extra)
    result = {f'hidden.{i}': last(h) for i, h in enumerate(y.hidden_states)}
    map_ = y.last_hidden_state.dim() == 4
    result['sequence'] = last(y.last_hidden_state).flatten(1, 2) if map_ else y.last_hidden_state
    pooled = y.pooler_output if y.pooler_output is not None else y.last_hidden_state[:, 0]
    if isinstance(model, (hf.CLIPModel, hf.CLIPVisionModelWithProjection)):
        pooled = model.visual_projection(pooled)
    result['embedding'] = pooled.flatten(1)
    return result


def resnet_outputs(m, x):
    h = [m.maxpool(m.relu(m.bn1(m.conv1(x))))]
    for layer in (m.layer1, m.layer2, m.layer3, m.layer4):
        h.append(layer(h[-1]))
    result = {f'hidden.{i}': last(y) for i, y in enumerate(h)}
    return result | {'sequence': last(h[-1]).flatten(1, 2), 'embedding': h[-1].mean((2, 3))}


def vit_outputs(m, x):
    y = m._process_input(x)
    y = torch.cat([m.class_token.expand(len(x), -1, -1), y], 1) + m.encoder.pos_embedding
    h = [y]
    for layer in m.encoder.layers:
        h.append(layer(h[-1]))
    sequence = m.encoder.ln(h[-1])
    return {f'hidden.{i}': y for i, y in enumerate(h)} | {'sequence': sequence, 'embedding': sequence[:, 0]}


class Backbone(nn.Module):
    """torchvision's ResNet as its segmentation models keep it: without the last layer."""

    def __init__(self, block, layers, **options):
        super().__init__()
        net = tv.ResNet(block, layers, **options)
        for name, child in net.named_children():
            if name not in ('avgpool', 'fc'):
                setattr(self, name, child)


class DeepLab(nn.Module):
    def __init__(self, block, layers, classes, rates, thin_by, **options):
        super().__init__()
        self.backbone = Backbone(block, layers, replace_stride_with_dilation=[False, True, True], **options)
        thin(self.backbone, thin_by)
        width = self.backbone.layer4[-1].bn3.num_features
        self.classifier = tv.segmentation.deeplabv3.DeepLabHead(width, classes, rates)
        # Of 256 channels, so that the fixture is small.
        self.classifier[0] = tv.segmentation.deeplabv3.ASPP(width, rates, 8)
        self.classifier[1] = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.classifier[2] = nn.BatchNorm2d(8)
        self.classifier[4] = nn.Conv2d(8, classes, 1)
        self.aux_classifier = nn.Conv2d(width, 2, 1)


def deeplab_outputs(m, x):
    result = resnet_outputs(m.backbone, x)
    map_ = result[max(k for k in result if k.startswith('hidden'))].permute(0, 3, 1, 2)
    logits = m.classifier(map_)
    result['segmentation'] = last(nn.functional.interpolate(logits, x.shape[-2:], mode='bilinear', align_corners=False))
    return result


def build(kind, config):
    """The model, and what it gives for images [B, C, H, W]."""
    torch.manual_seed(0)
    c = dict(config)
    blocks = {'basic': tv.resnet.BasicBlock, 'bottleneck': tv.resnet.Bottleneck}
    if kind == 'vit':
        pooling = c.pop('add_pooling_layer', True)
        return hf.ViTModel(hf.ViTConfig(**c), add_pooling_layer=pooling)
    if kind == 'vit-classifier':
        return hf.ViTForImageClassification(hf.ViTConfig(**c))
    if kind == 'dinov2':
        return hf.Dinov2Model(hf.Dinov2Config(**c))
    if kind == 'dinov2-registers':
        return hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**c))
    if kind == 'clip-vision':
        return hf.CLIPVisionModel(hf.CLIPVisionConfig(**c))
    if kind == 'clip-projection':
        return hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**c))
    if kind == 'clip':
        return hf.CLIPModel(hf.CLIPConfig(**c))
    if kind == 'resnet':
        return hf.ResNetModel(hf.ResNetConfig(**c))
    if kind == 'torchvision-vit':
        return tv.VisionTransformer(num_classes=3, **c)
    if kind == 'torchvision-resnet':
        m = tv.ResNet(blocks[c.pop('block')], c.pop('layers'), num_classes=3, **c)
        return m
    if kind == 'deeplab':
        return DeepLab(blocks[c.pop('block')], c.pop('layers'), c.pop('classes'), c.pop('rates'), **c)
    raise SystemExit(f'unknown kind: {kind}')


def outputs(kind, model, x, native):
    if kind == 'torchvision-vit':
        return vit_outputs(model, x)
    if kind == 'torchvision-resnet':
        return resnet_outputs(model, x)
    if kind == 'deeplab':
        return deeplab_outputs(model, x)
    return hf_outputs(model, x, native)


def thin(model, by):
    """A torchvision ResNet with 1/by of its channels: it has no option for that."""
    def channels(n):
        return n if n <= 3 else max(1, n // by)
    for parent in list(model.modules()):
        for name, m in list(parent.named_children()):
            if isinstance(m, nn.Conv2d):
                groups = m.groups
                setattr(parent, name, nn.Conv2d(channels(m.in_channels), channels(m.out_channels), m.kernel_size, m.stride, m.padding, m.dilation, groups, m.bias is not None))
            elif isinstance(m, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(channels(m.num_features)))
            elif isinstance(m, nn.Linear):
                setattr(parent, name, nn.Linear(channels(m.in_features), m.out_features))
    return model


def write(folder, case):
    kind, config, sizes = case['kind'], dict(case['config']), case['sizes']
    by = config.pop('thin', None)
    model = build(kind, config)
    if by:
        model = thin(model, by)
    model = stir(model)
    target = folder / case['name']
    target.mkdir(parents=True, exist_ok=True)
    if kind in ('torchvision-vit', 'torchvision-resnet', 'deeplab'):
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        if case.get('format') == 'pth':
            torch.save(state, target / 'model.pth')
        else:
            save_file(state, target / 'model.safetensors')
    elif case.get('format') == 'bin':
        model.config.save_pretrained(target)
        torch.save(model.state_dict(), target / 'pytorch_model.bin')
    elif case.get('format') == 'sharded':
        model.save_pretrained(target, max_shard_size='2KB')
    else:
        model.save_pretrained(target)
    tensors = {}
    native = sizes[0]
    generator = torch.Generator().manual_seed(1)
    for i, (h, w) in enumerate(sizes):
        channels = case.get('channels', 3)
        x = torch.randn(2 if i == 0 else 1, channels, h, w, generator=generator)
        with torch.inference_mode():
            y = outputs(kind, model, x, [h, w] == list(native))
        tensors[f'images.{i}'] = last(x)
        for key, value in y.items():
            key, _, layer = key.partition('.')
            tensors[f'{key}.{i}' + (f'.{layer}' if layer else '')] = value.clone().contiguous()
    save_file(tensors, target / 'expected.safetensors')


vit = {'hidden_size': 8, 'num_hidden_layers': 2, 'num_attention_heads': 2, 'intermediate_size': 12, 'image_size': 16, 'patch_size': 4}
clip = vit | {'projection_dim': 6}
text = {'hidden_size': 8, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 8, 'vocab_size': 20, 'max_position_embeddings': 8, 'bos_token_id': 1, 'eos_token_id': 2}
dino = {k: v for k, v in vit.items() if k != 'intermediate_size'} | {'mlp_ratio': 2, 'layerscale_value': 0.5}
cases = [
    {'name': 'vit', 'kind': 'vit', 'config': vit | {'layer_norm_eps': 1e-3}, 'sizes': [[16, 16], [24, 12]]},
    {'name': 'vit-oblong', 'kind': 'vit', 'config': vit | {'image_size': [12, 24], 'patch_size': [4, 6], 'num_channels': 1, 'qkv_bias': False, 'hidden_act': 'gelu_new', 'add_pooling_layer': False}, 'channels': 1, 'sizes': [[12, 24]], 'format': 'sharded'},
    {'name': 'vit-classifier', 'kind': 'vit-classifier', 'config': vit | {'num_labels': 3, 'hidden_act': 'relu'}, 'sizes': [[16, 16]], 'format': 'bin'},
    {'name': 'dinov2', 'kind': 'dinov2', 'config': dino, 'sizes': [[16, 16], [12, 20], [17, 23]]},
    {'name': 'dinov2-swiglu', 'kind': 'dinov2', 'config': dino | {'use_swiglu_ffn': True, 'use_mask_token': False, 'qkv_bias': False}, 'sizes': [[16, 16]]},
    {'name': 'dinov2-registers', 'kind': 'dinov2-registers', 'config': dino | {'num_register_tokens': 3}, 'sizes': [[16, 16], [24, 12], [8, 8]]},
    {'name': 'clip-vision', 'kind': 'clip-vision', 'config': clip, 'sizes': [[16, 16], [24, 12]]},
    {'name': 'clip-projection', 'kind': 'clip-projection', 'config': clip | {'hidden_act': 'gelu'}, 'sizes': [[16, 16]]},
    {'name': 'clip', 'kind': 'clip', 'config': {'vision_config': clip, 'text_config': text, 'projection_dim': 5}, 'sizes': [[16, 16]]},
    {'name': 'resnet-basic', 'kind': 'resnet', 'config': {'embedding_size': 6, 'hidden_sizes': [6, 8, 12], 'depths': [1, 2, 1], 'layer_type': 'basic', 'downsample_in_first_stage': True}, 'sizes': [[26, 19]]},
    {'name': 'resnet-bottleneck', 'kind': 'resnet', 'config': {'embedding_size': 6, 'hidden_sizes': [8, 16, 24, 32], 'depths': [1, 2, 1, 1], 'hidden_act': 'silu', 'downsample_in_bottleneck': True, 'num_channels': 2}, 'channels': 2, 'sizes': [[24, 32]]},
    {'name': 'torchvision-vit', 'kind': 'torchvision-vit', 'config': {'image_size': 8, 'patch_size': 4, 'num_layers': 1, 'num_heads': 2, 'hidden_dim': 16, 'mlp_dim': 8}, 'sizes': [[8, 8]], 'format': 'pth'},
    {'name': 'torchvision-resnet18', 'kind': 'torchvision-resnet', 'config': {'block': 'basic', 'layers': [1, 2, 1, 1], 'thin': 32}, 'sizes': [[36, 28]], 'format': 'pth'},
    {'name': 'torchvision-resnet50', 'kind': 'torchvision-resnet', 'config': {'block': 'bottleneck', 'layers': [2, 1, 1, 1], 'thin': 64}, 'sizes': [[36, 28]]},
    {'name': 'deeplab', 'kind': 'deeplab', 'config': {'block': 'bottleneck', 'layers': [1, 1, 1, 1], 'thin_by': 64, 'classes': 3, 'rates': [2, 3]}, 'sizes': [[24, 32]], 'format': 'pth'},
]

if __name__ == '__main__':
    if len(sys.argv) > 2:
        for case in json.loads(Path(sys.argv[2]).read_text()):
            write(Path(sys.argv[1]), case)
    else:
        for case in cases:
            write(Path(__file__).parent / 'encoders', case)
