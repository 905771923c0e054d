"""PyTorch's sampling from models.py's IGPT with its cache, as time_step.py igpt-sample does it, driven over standard input and output.

{"do": "prepare", "batch", "threads", "weights"} builds the model from a safetensors file; {"do": "time"} times a block of
generations, a whole context each (see block.py), and answers seconds per generation.
"""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
from block import time_block
import torch
from safetensors.torch import load_file
from models import IGPT

out = sys.stdout
sys.stdout = sys.stderr
job = {}


@torch.no_grad()
def generate(model, batch):
    caches = [[] for _ in model.blocks]
    ids = torch.zeros(batch, 1, dtype=torch.long)
    for p in range(model.context):
        ids = torch.multinomial(model(ids, caches, p)[:, -1].softmax(-1), 1)


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__}
    if m['do'] == 'prepare':
        torch.set_num_threads(m['threads'])
        model = IGPT().eval()
        model.load_state_dict(load_file(m['weights']))
        job['call'] = lambda: generate(model, m['batch'])
        job['call']()
        return {'ready': True}
    if m['do'] == 'time':
        return {'seconds': time_block(job['call'], m)}
    return {'error': f"unknown request {m['do']}"}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
