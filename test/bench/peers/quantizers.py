"""PyTorch's training step of quantizers, driven over standard input and output as training.py is:
{"do": "prepare", "name", "threads"}, then {"do": "time"}. 32 x 1,024 vectors of 64, forward and backward."""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
from block import time_block
import torch
from torch import nn
from models import EmaVQ, LFQ, ResidualVQ

out = sys.stdout
sys.stdout = sys.stderr
job = {}


class FSQ(nn.Module):
    """Mentzer et al. 2023, appendix A.1, between linear layers."""

    def __init__(self, levels, dim):
        super().__init__()
        l = torch.tensor(levels)
        self.into, self.back = nn.Linear(dim, len(levels)), nn.Linear(len(levels), dim)
        offset, half = torch.where(l % 2 == 0, 0.5, 0.0), (l - 1) * (1 - 1e-3) / 2
        self.register_buffer('offset', offset)
        self.register_buffer('half_range', half)
        self.register_buffer('shift', torch.tan(offset / half))
        self.register_buffer('width', l // 2)
        self.register_buffer('basis', torch.cumprod(torch.tensor([1] + levels[:-1]), 0))

    def forward(self, z):
        b = torch.tanh(self.into(z) + self.shift) * self.half_range - self.offset
        r = torch.round(b)
        self.indices = ((r.detach() + self.width) * self.basis).sum(-1).int()
        return self.back((b + (r - b).detach()) / self.width), 0.0, None


MAKERS = {'vq': lambda: EmaVQ(1024, 64), 'residual-vq': lambda: ResidualVQ(8, 1024, 64), 'lfq10': lambda: LFQ(10, 64), 'fsq': lambda: FSQ([8, 5, 5, 5], 64)}


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__}
    if m['do'] == 'prepare':
        if m['name'] not in MAKERS:
            return {'missing': m['name']}
        torch.set_num_threads(m['threads'])
        model, x = MAKERS[m['name']](), torch.randn(32, 1024, 64, requires_grad=True)

        def step():
            q, loss, _ = model(x)
            (q.sum() + loss).backward()
        job['step'] = step
        step(), step()
        return {'ready': True}
    return {'seconds': time_block(job['step'], m)}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
