"""Oracles of quantizers without a learned codebook, in float64 from the papers' equations: lattice.py [OUT].

FSQ   Mentzer et al. 2023, arXiv 2309.15505, appendix A.1; symmetric: Parker et al. 2024, arXiv 2411.19842, section 3.2
LFQ   Yu et al. 2023, arXiv 2310.05737, equations 3, 4 and 6, against all 2^bits codes; spherical: Zhao et al. 2024, 2406.07548
LQ    Hsu et al. 2023, arXiv 2305.18378
Gumbel softmax in evaluation: Jang et al. 2016, arXiv 1611.01144, with the divergence from the uniform distribution

Writes inputs, values, codes, losses and gradients, and ten steps of Adam through FSQ and LFQ, to lattice.safetensors beside
this file. Inputs are float32 numbers whose codes no rounding of float32 can change: none lies within 1e-4 of two."""
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file

out = {}
torch.set_default_dtype(torch.float64)


def straight(z, q):
    return z + (q - z).detach()


def bounded(z, levels, symmetric):
    l = torch.tensor(levels, dtype=torch.float64)
    if symmetric:
        return (l - 1) * (torch.tanh(z) + 1) / 2
    half = (l - 1) * (1 - 1e-3) / 2
    offset = torch.where(l % 2 == 0, 0.5, 0.0)
    return torch.tanh(z + torch.tan(offset / half)) * half - offset


def fsq(z, levels, symmetric=False):
    """quantized, codes, distance from the nearest place where a level changes"""
    l = torch.tensor(levels)
    b = bounded(z, levels, symmetric)
    r = torch.round(b)
    level = r.detach().long() + (0 if symmetric else l // 2)
    q = straight(b, r)
    q = 2 * q / (l - 1) - 1 if symmetric else q / (l // 2)
    basis = torch.cumprod(torch.tensor([1] + levels[:-1]), 0)
    return q, (level * basis).sum(-1), (0.5 - (b - r).abs()).min().item()


def all_codes(bits):
    return 2.0 * ((torch.arange(2 ** bits)[:, None] >> torch.arange(bits - 1, -1, -1)) & 1) - 1


def entropy(p):
    return -torch.special.xlogy(p, p).sum(-1)


def lfq(z, spherical=False, t=100.0, gamma=1.0, weight=0.1, beta=0.25):
    """quantized, codes, losses; the distribution over all codes is there in full"""
    bits = z.shape[-1]
    u = z / z.norm(dim=-1, keepdim=True) if spherical else z
    codes = all_codes(bits) / (bits ** 0.5 if spherical else 1)
    q = torch.where(u > 0, 1.0, -1.0) / (bits ** 0.5 if spherical else 1)
    p = (-t * ((u[:, None] - codes) ** 2).sum(-1)).softmax(-1)
    losses = {
        'commitment': beta * ((u - q.detach()) ** 2).mean(),
        'entropy': weight * entropy(p).mean(),
        'diversity': -weight * gamma * entropy(p.mean(0)),
    }
    index = ((u > 0) * 2 ** torch.arange(bits - 1, -1, -1)).sum(-1)
    return straight(u, q), index, losses, z.abs().min().item()


def latent(z, values, beta=0.1, gamma=0.1):
    level = torch.stack([(z[:, d, None] - v).abs().argmin(-1) for d, v in enumerate(values)], 1)
    q = torch.stack([v[level[:, d]] for d, v in enumerate(values)], 1)
    basis = torch.cumprod(torch.tensor([1] + [len(v) for v in values[:-1]]), 0)
    losses = {'commitment': beta * ((z - q.detach()) ** 2).mean(), 'quantization': gamma * ((z.detach() - q) ** 2).mean()}
    return straight(z, q.detach()), (level * basis).sum(-1), losses


def draw(shape, seed, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=g) * scale).float().double()


def keep(name, **tensors):
    for key, t in tensors.items():
        t = torch.as_tensor(t).detach()
        out[f'{name}.{key}'] = (t.int() if t.dtype == torch.int64 else t).contiguous().clone()


def found(make):
    """The first seed whose result keeps its distance."""
    for seed in range(1000):
        result = make(seed)
        if result is not None:
            return result
    raise SystemExit('no seed will do')


def case_fsq(name, levels, symmetric):
    def make(seed):
        z, w = draw((60, len(levels)), seed), draw((60, len(levels)), seed + 5000)
        z.requires_grad_()
        q, index, margin = fsq(z, levels, symmetric)
        if margin < 1e-4:
            return None
        (q * w).sum().backward()
        keep(name, z=z, w=w, quantized=q, indices=index, dz=z.grad, levels=torch.tensor(levels))
        return True
    found(make)


for levels in ([8, 5, 5, 5], [2, 3], [7, 4, 16]):
    for symmetric in (False, True):
        case_fsq(f'fsq-{"x".join(map(str, levels))}-{"symmetric" if symmetric else "original"}', levels, symmetric)


def case_lfq(name, bits, n, scale, **options):
    z, w = draw((n, bits), bits, scale), draw((n, bits), bits + 100)
    z.requires_grad_()
    q, index, losses, margin = lfq(z, **options)
    assert margin > 1e-6
    grads = {}
    for key, loss in losses.items():
        grads[f'dz_{key}'] = torch.autograd.grad(loss, z, retain_graph=True)[0]
    grads['dz'] = torch.autograd.grad((q * w).sum(), z)[0]
    keep(name, z=z, w=w, quantized=q, indices=index, **losses, **grads)


case_lfq('lfq-6', 6, 50, 0.3, t=2.0)
case_lfq('lfq-1', 1, 9, 0.3, t=1.0, gamma=0.5)
case_lfq('lfq-7-sharp', 7, 70, 0.02, t=100.0, gamma=2.5, weight=0.3, beta=1.0)
case_lfq('lfq-10', 10, 40, 0.5, t=0.5)
case_lfq('lfq-5-spherical', 5, 33, 1.0, t=3.0, spherical=True)

z, w = draw((40, 3), 7, 0.3), draw((40, 3), 8)
values = [draw((l,), 20 + l, 0.3) for l in (5, 2, 4)]
for t in (z, *values):
    t.requires_grad_()
q, index, losses = latent(z, values)
((q * w).sum() + sum(losses.values())).backward()
keep('latent', z=z, w=w, quantized=q, indices=index, dz=z.grad, **losses)
for d, v in enumerate(values):
    keep('latent', **{f'values{d}': v, f'dvalues{d}': v.grad})

for name in ('linear', 'distance'):
    z, codes, weight, bias = draw((30, 4), 9), draw((7, 4), 10), draw((7, 4), 11), draw((7,), 12)
    logits = z @ weight.t() + bias if name == 'linear' else -((z[:, None] - codes) ** 2).sum(-1)
    p = logits.softmax(-1)
    kl = 5e-4 * (torch.special.xlogy(p, p * 7)).sum(-1).mean()
    keep(f'gumbel-{name}', z=z, codes=codes, weight=weight, bias=bias, indices=logits.argmax(-1), kl=kl,
         quantized=codes[logits.argmax(-1)])


def trace(name, inner, quantize):
    """x [32, 6] → linear → quantizer → linear: ten steps of Adam, learning rate 0.02."""
    def make(seed):
        x = draw((10, 32, 6), seed)
        start = [draw((inner, 6), seed + 1, 0.4), draw((inner,), seed + 2, 0.1), draw((6, inner), seed + 3, 0.4), draw((6,), seed + 4, 0.1)]
        parameters = [p.clone().requires_grad_() for p in start]
        optimizer = torch.optim.Adam(parameters, 0.02)
        all_losses, indices = [], []
        for batch in x:
            into, into_bias, back, back_bias = parameters
            q, index, losses, margin = quantize(batch @ into.t() + into_bias)
            if margin < 1e-4:
                return None
            error = ((q @ back.t() + back_bias - batch) ** 2).mean()
            optimizer.zero_grad()
            loss = error + sum(losses.values())
            loss.backward()
            optimizer.step()
            all_losses.append([loss.item(), error.item(), *(l.item() for l in losses.values())])
            indices.append(index)
        for key, before, after in zip(('in.weight', 'in.bias', 'out.weight', 'out.bias'), start, parameters):
            keep(name, **{f'start.{key}': before, f'end.{key}': after})
        keep(name, x=x, indices=torch.stack(indices), losses=torch.tensor(all_losses))
        return True
    found(make)


def with_fsq(z):
    q, index, margin = fsq(z, [8, 5, 5])
    return q, index, {}, margin


trace('trace-fsq', 3, with_fsq)
trace('trace-lfq', 6, lambda z: lfq(z, t=1.0))

save_file(out, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix('.safetensors'))
