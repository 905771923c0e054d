"""PyTorch's side of ops.bench.mjs, driven over standard input and output as training.py is: the works of time_step.py one by one.

{"do": "prepare", "name", "threads"} builds the work; {"do": "time"} times a block of it (see block.py).
"""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
from block import time_block
import torch
import torch.nn.functional as F

out = sys.stdout
sys.stdout = sys.stderr
work = {}


def matmul():
    x, y = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return lambda: x @ y


def attention():
    q, k, v = (torch.randn(8, 8, 512, 64, requires_grad=True) for _ in range(3))

    def f():
        q.grad = k.grad = v.grad = None
        F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    return f


def rowwise(name):
    def make():
        x = torch.randn(16, 1024, 1024, requires_grad=True)
        g = torch.randn(16, 1024, 1024)
        ln, bn = torch.nn.LayerNorm(1024), torch.nn.BatchNorm1d(1024)
        op = {'layernorm': lambda: ln(x), 'softmax': lambda: x.softmax(-1), 'gelu': lambda: F.gelu(x),
              'batchnorm': lambda: bn(x.view(-1, 1024)).view_as(x)}[name]

        def f():
            x.grad = None
            op().backward(g)
        return f
    return make


def lstm():
    m, x = torch.nn.LSTM(256, 256, batch_first=True), torch.randn(32, 128, 256)

    def f():
        m(x)[0].square().mean().backward()
        m.zero_grad()
    return f


def adam():
    parameters = [torch.nn.Parameter(torch.randn(64)) for _ in range(100)]
    for p in parameters:
        p.grad = torch.randn(64)
    return torch.optim.Adam(parameters, 1e-3).step


MAKE = {'matmul': matmul, 'attention': attention, 'lstm': lstm, 'adam': adam,
        **{n: rowwise(n) for n in ('layernorm', 'softmax', 'gelu', 'batchnorm')}}


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__}
    if m['do'] == 'prepare':
        torch.set_num_threads(m['threads'])
        torch.manual_seed(0)
        work['call'] = MAKE[m['name']]()
        work['call'](), work['call']()
        return {'ready': True}
    if m['do'] == 'time':
        return {'seconds': time_block(work['call'], m)}
    return {'error': f"unknown request {m['do']}"}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
