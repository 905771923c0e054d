"""Oracle of residual quantization with implicit neural codebooks, in float64: implicit.py [OUT].

Huijben et al. 2024, arXiv 2401.14732, section 3.2: codewords e_k = c_k + W [c_k, x] + b, then e <- e + U relu(V e) for each
block, x the sum of the codewords chosen before; each level takes the codeword nearest to what is left. The loss is the mean
over levels of the mean square of z less the sum so far, through the chosen codewords of all levels.

Writes weights, codewords, codes, losses and gradients to implicit.safetensors beside this file. Inputs are float32 numbers
whose codes no rounding of float32 can change: the two nearest codewords differ by over 1e-3 in squared distance."""
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
N, K, D, H, L, Q = 40, 9, 5, 7, 2, 3
BETA = 0.25
out = {}


def draw(shape, seed, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=g) * scale).float().double()


def weights(seed):
    """By the names that a state dictionary has, in PyTorch's layouts."""
    w = {f'levels.{q}.weight': draw((K, D), seed + q, 0.8 ** q) for q in range(Q)}
    for q in range(Q - 1):
        at = seed + 100 * (q + 1)
        w[f'networks.{q}.concat.weight'] = draw((D, 2 * D), at, 0.3)
        w[f'networks.{q}.concat.bias'] = draw((D,), at + 1, 0.1)
        for l in range(L):
            w[f'networks.{q}.blocks.{l}.up.weight'] = draw((H, D), at + 2 + l, 0.4)
            w[f'networks.{q}.blocks.{l}.down.weight'] = draw((D, H), at + 50 + l, 0.4)
    return w


def codewords(w, level, x):
    """[N, K, D] for sums x [N, D] of the levels before."""
    base = w[f'levels.{level}.weight']
    if level == 0:
        return base.expand(len(x), K, D)
    name = f'networks.{level - 1}.'
    pairs = torch.cat([base.expand(len(x), K, D), x[:, None].expand(len(x), K, D)], -1)
    e = pairs[..., :D] + pairs @ w[name + 'concat.weight'].T + w[name + 'concat.bias']
    for l in range(L):
        e = e + torch.relu(e @ w[f'{name}blocks.{l}.up.weight'].T) @ w[f'{name}blocks.{l}.down.weight'].T
    return e


def run(seed):
    w = {k: t.requires_grad_() for k, t in weights(seed).items()}
    z, weigh = draw((N, D), seed + 7000).requires_grad_(), draw((N, D), seed + 8000)
    x, margin, indices, codes, losses, commitment = torch.zeros(N, D), float('inf'), [], {}, [], []
    for level in range(Q):
        e = codewords(w, level, x)
        distance = ((z[:, None] - x[:, None] - e) ** 2).sum(-1)
        two = distance.topk(2, largest=False).values
        margin = min(margin, (two[:, 1] - two[:, 0]).min().item())
        chosen = distance.argmin(-1)
        indices.append(chosen)
        codes[f'codewords.{level}'] = e
        x = x + e[torch.arange(N), chosen]
        losses.append(((z.detach() - x) ** 2).mean())
        commitment.append(((z - x.detach()) ** 2).mean())
    if margin < 1e-3:
        return False
    loss, commit = sum(losses) / Q, BETA * sum(commitment) / Q
    grads = torch.autograd.grad(loss, list(w.values()), retain_graph=True)
    # 'learnable': also the gradient of what is computed from the quantized vectors, which goes straight through to z.
    value = (x * weigh).sum()
    learnable = torch.autograd.grad(loss + value, list(w.values()), retain_graph=True)
    dz = torch.autograd.grad(commit, z)[0] + weigh
    out.update({f'state.{k}': t.float() for k, t in w.items()})
    out.update({f'gradient.{k}': g for k, g in zip(w, grads)})
    out.update({f'learnable.{k}': g for k, g in zip(w, learnable)})
    out.update(codes, z=z, w=weigh, indices=torch.stack(indices, 1).int(), quantized=x, dz=dz, codebook=loss, commitment=commit)
    return True


for seed in range(10000):
    if run(seed * 10007):
        break
else:
    raise SystemExit('no seed will do')
out = {k: t.detach().contiguous().clone() for k, t in out.items()}
save_file(out, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix('.safetensors'))
