"""PyTorch's training step of models.py, driven over standard input and output as quantize.py is.

{"do": "prepare", "name", "batch", "threads", "weights", "data", "shape"} builds the model in both memory formats from a
safetensors file and a file of raw float32 images (NHWC) or int32 tokens; {"do": "time"} times a block of steps in each (see
block.py) and answers the better's seconds; {"do": "losses", "steps"} starts again from the weights and answers that many losses.
"""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
import numpy as np
from block import time_block
import torch
from safetensors.torch import load_file
import torch.nn.functional as F
from models import IGPT, IgptVQVAE, SeedVQVAE

out = sys.stdout
sys.stdout = sys.stderr
NAMES = {'igpt-vqvae': IgptVQVAE, 'vqvae': SeedVQVAE, 'rqvae': lambda: SeedVQVAE(levels=4), 'igpt': IGPT}
FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
job = {}


def stepper(m, fmt, dropout=None):
    model = NAMES[m['name']](**({} if dropout is None or m['name'] != 'igpt' else {'dropout': dropout}))
    model.load_state_dict(load_file(m['weights']))
    if m['name'] == 'igpt':
        ids = torch.from_numpy(np.fromfile(m['data'], np.int32).reshape(m['shape'])).long()
        return step_of(model, m, lambda: F.cross_entropy(model(ids[:, :-1]).reshape(-1, model.vocab), ids[:, 1:].reshape(-1)))
    model = model.to(memory_format=fmt)
    x = torch.from_numpy(np.fromfile(m['data'], np.float32).reshape(m['shape'])).permute(0, 3, 1, 2).contiguous(memory_format=fmt)
    return step_of(model, m, lambda: model(x))


def step_of(model, m, loss_of):
    opt = torch.optim.Adam(model.parameters(), m['rate'])

    def step():
        loss = loss_of()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        return loss.item()
    return step


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__}
    if m['do'] == 'prepare':
        torch.set_num_threads(m['threads'])
        job.update(m=m, steps={k: stepper(m, f) for k, f in FORMATS.items() if m['name'] != 'igpt' or k == 'contiguous'}, seconds={})
        for k, s in job['steps'].items():
            s(), s()
        return {'ready': True}
    if m['do'] == 'time':
        for k, s in job['steps'].items():
            job['seconds'][k] = time_block(s, m)
        best = min(job['seconds'], key=job['seconds'].get)
        return {'seconds': job['seconds'][best], 'format': best}
    if m['do'] == 'losses':
        s = stepper(job['m'], torch.contiguous_format, 0.0)
        return {'losses': [s() for _ in range(m['steps'])]}
    return {'error': f"unknown request {m['do']}"}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
