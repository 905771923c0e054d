"""torchvision's encoders and DeepLabV3, and transformers' BERT, driven over standard input and output as training.py is.

{"do": "prepare", "name", "batch", "threads", "folder"} builds a model without its last layer, writes its random weights
(`<name>.pth`), a batch (`<name>.f32`, NHWC) and what it makes of that (`<name>.out.f32`) into a folder; {"do": "time", "train"} times
a block of calls in both memory formats (see block.py) and answers the better's seconds. BERT is a folder as transformers
saves it, its batch ids (`<name>.i32`)."""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
from pathlib import Path
from block import time_block
import torch
# torchvision's compiled operators are not needed, but looked up at import.
try:
    _ops = torch.library.Library('torchvision', 'DEF')
    for _op in ('nms', 'qnms'):
        _ops.define(_op + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError:
    pass
import torchvision
from torchvision.models import resnet50, vit_b_16
from torchvision.models.segmentation import deeplabv3_resnet50

out = sys.stdout
sys.stdout = sys.stderr
FORMATS = (torch.contiguous_format, torch.channels_last)
job = {}


def build(name):
    torch.manual_seed(0)
    if name == 'deeplabv3':
        return deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=False)
    if name == 'resnet50':
        model = resnet50(weights=None)
        model.fc = torch.nn.Identity()
        return model
    model = vit_b_16(weights=None)
    model.heads = torch.nn.Identity()
    return model


def prepare_bert(m):
    from transformers import BertConfig, BertModel
    torch.manual_seed(0)
    model = BertModel(BertConfig()).eval()
    x = torch.randint(0, 30000, (m['batch'], 128))
    path = Path(m['folder']) / m['name']
    model.save_pretrained(path)
    with torch.inference_mode():
        y = model(x).pooler_output
    x.int().numpy().tofile(f'{path}.i32')
    y.numpy().tofile(f'{path}.out.f32')
    job.update(model=model, x=x)
    return {'ready': True}


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__, 'torchvision': torchvision.__version__}
    if m['do'] == 'prepare':
        torch.set_num_threads(m['threads'])
        if m['name'] == 'bert-base':
            return prepare_bert(m)
        model, x = build(m['name']).eval(), torch.randn(m['batch'], 3, 224, 224)
        path = Path(m['folder']) / m['name']
        torch.save(model.state_dict(), f'{path}.pth')
        with torch.inference_mode():
            y = model(x)
        # Segmentation answers with a dictionary, logits with channels first.
        y = y['out'].permute(0, 2, 3, 1).contiguous() if isinstance(y, dict) else y
        x.permute(0, 2, 3, 1).contiguous().numpy().tofile(f'{path}.f32')
        y.numpy().tofile(f'{path}.out.f32')
        job.update(model=model, x=x)
        return {'ready': True}
    if m['do'] == 'time':
        best = None
        images = job['x'].dim() == 4
        for fmt in FORMATS if images else FORMATS[:1]:
            model, x = job['model'], job['x']
            if images:
                model, x = model.to(memory_format=fmt), x.to(memory_format=fmt)

            def forward():
                with torch.inference_mode():
                    model.eval()
                    model(x)

            def both():
                model.train()
                y = model(x)
                (y if images else y.last_hidden_state).square().mean().backward()
                model.zero_grad()
            seconds = time_block(both if m['train'] else forward, m)
            best = seconds if best is None else min(best, seconds)
        return {'seconds': best}
    return {'error': f"unknown request {m['do']}"}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
