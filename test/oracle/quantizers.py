"""Writes quantizers.safetensors beside this file: ten training steps (Adam 1e-2) of x → x·A → quantizer → ·B in float64, for
every case below, from the papers' equations. Loss: mean((x − q·B)²) + the quantizer's. Kept: the batches and first weights,
and after or at each step the loss, the indices, the codes and A."""
import math
from pathlib import Path
import torch
from safetensors.torch import save_file

N, IN, D, K = 24, 6, 4, 8
f64 = torch.float64


class Through(torch.autograd.Function):
    """Gives q the values and z the gradient J(z, q)·g."""

    @staticmethod
    def forward(ctx, z, q, kind):
        ctx.save_for_backward(z, q)
        ctx.kind = kind
        return q.clone()

    @staticmethod
    def backward(ctx, g):
        z, q = ctx.saved_tensors
        if ctx.kind == 'ste':
            return g, None, None
        if ctx.kind == 'projection':
            u = (q - z) / (q - z).norm(dim=-1, keepdim=True)
            return (u * g).sum(-1, keepdim=True) * u, None, None
        zn, qn = z.norm(dim=-1, keepdim=True), q.norm(dim=-1, keepdim=True)
        e, b = z / zn, q / qn
        r = (e + b) / (e + b).norm(dim=-1, keepdim=True)
        rotated = g - 2 * r * (r * g).sum(-1, keepdim=True) + 2 * e * (b * g).sum(-1, keepdim=True)
        return qn / zn * rotated, None, None


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def squared(z, codes):
    return (z[:, None] - codes[None]).square().sum(-1)


class VQ:
    """Appendix A.1 or equation 3 of 1711.00937, by options."""

    def __init__(self, codes, update='ema', metric='l2', estimator='ste', decay=0.8, epsilon=1e-5, beta=0.25,
                 commitment='mse', diversity=0.0, temperature=1.0, orthogonal=0.0):
        self.__dict__.update(locals())
        codes = unit(codes) if metric == 'cosine' else codes
        self.codes = codes.clone().requires_grad_(update != 'ema')
        self.counts, self.sums = torch.ones(len(codes), dtype=f64), codes.clone()

    def parameters(self):
        return [self.codes] if self.update != 'ema' else []

    def book(self):
        return unit(self.codes) if self.metric == 'cosine' else self.codes

    def logits(self, z, codes, t):
        return (z @ codes.T if self.metric == 'cosine' else -squared(z, codes)) / t

    def __call__(self, z):
        codes = self.book()
        if self.metric == 'cosine':
            z = unit(z)
        index = squared(z, codes).argmin(-1)
        q = codes[index]
        fixed = codes.detach() if self.update == 'ema' else codes
        if self.commitment == 'mse':
            loss = self.beta * (z - q.detach()).square().mean()
        else:
            loss = self.beta * torch.nn.functional.cross_entropy(self.logits(z, fixed, 1.0), index)
        if self.update != 'ema':
            loss = loss + (z.detach() - q).square().mean()
        if self.diversity:
            p = self.logits(z, fixed, self.temperature).softmax(-1).mean(0)
            loss = loss + self.diversity * (math.log(len(codes)) + (p * p.log()).sum())
        if self.orthogonal:
            e = unit(codes)
            loss = loss + self.orthogonal * (e @ e.T - torch.eye(len(e), dtype=f64)).square().sum() / len(e) ** 2
        self.seen = z.detach(), index
        out = Through.apply(z, q.detach(), self.estimator)
        if self.update == 'learnable':
            out = out + q - q.detach()
        return out, index, loss

    @torch.no_grad()
    def learn(self):
        if self.update != 'ema':
            return
        z, index = self.seen
        hot = torch.nn.functional.one_hot(index, len(self.codes)).to(f64)
        g = self.decay
        self.counts = g * self.counts + (1 - g) * hot.sum(0)
        self.sums = g * self.sums + (1 - g) * hot.T @ z
        total = self.counts.sum()
        smooth = (self.counts + self.epsilon) / (total + len(self.codes) * self.epsilon) * total
        codes = self.sums / smooth[:, None]
        self.codes.copy_(unit(codes) if self.metric == 'cosine' else codes)


class Heads:
    """The parts of z each with a quantizer of their own, or all with the same one."""

    def __init__(self, parts, heads):
        self.parts, self.heads = parts, heads

    def parameters(self):
        return [p for part in self.parts for p in part.parameters()]

    def __call__(self, z):
        pieces = z.view(len(z), self.heads, -1)
        if len(self.parts) == 1:
            q, index, loss = self.parts[0](pieces.reshape(-1, pieces.shape[-1]))
            return q.view_as(z), index.view(len(z), self.heads), loss
        found = [part(pieces[:, h]) for h, part in enumerate(self.parts)]
        q, index, loss = zip(*found)
        return torch.stack(q, 1).reshape(z.shape), torch.stack(index, 1), sum(loss) / self.heads

    def learn(self):
        for part in self.parts:
            part.learn()

    @property
    def codes(self):
        return torch.cat([part.codes for part in self.parts])


class Residual:
    """2203.01941, equation 3, the loss as a mean over levels; straight through once, or at each level."""

    def __init__(self, levels, scope='sum', estimator='ste'):
        self.levels, self.scope, self.estimator = levels, scope, estimator

    def parameters(self):
        return [p for level in dict.fromkeys(self.levels) for p in level.parameters()]

    def __call__(self, z):
        rest, total, parts, indices, loss, self.seen = z, 0, 0, [], 0, []
        for level in self.levels:
            q, index, part = level(rest)
            self.seen.append(level.seen)
            code = level.codes[index]
            parts, total, loss = parts + q, total + code, loss + part
            rest = rest - code.detach()
            indices.append(index)
        out = parts if self.scope == 'level' else Through.apply(z, total.detach(), self.estimator)
        if self.scope == 'sum' and self.levels[0].update == 'learnable':
            out = out + total - total.detach()
        return out, torch.stack(indices, 1), loss / len(self.levels)

    def learn(self):
        if len(set(self.levels)) == len(self.levels):
            for level in self.levels:
                level.learn()
            return
        self.levels[0].seen = tuple(torch.cat(part) for part in zip(*self.seen))
        self.levels[0].learn()

    @property
    def codes(self):
        return torch.stack([level.codes for level in self.levels])


class Sim:
    """2411.02038, equation 5: the codes are C·W."""

    def __init__(self, codes, estimator='ste', beta=0.25):
        self.fixed, self.estimator, self.beta = codes, estimator, beta
        self.weight = torch.eye(codes.shape[1], dtype=f64).requires_grad_()

    def parameters(self):
        return [self.weight]

    @property
    def codes(self):
        return self.fixed @ self.weight

    def __call__(self, z):
        index = squared(z, self.codes).argmin(-1)
        q = self.codes[index]
        loss = (z.detach() - q).square().mean() + self.beta * (z - q.detach()).square().mean()
        return Through.apply(z, q.detach(), self.estimator), index, loss

    def learn(self):
        pass


def spread(codes, levels):
    return [codes / 2 ** level for level in range(levels)]


def shared(level, times):
    return [level] * times


cases = {
    'ema': lambda c: VQ(c),
    'gradient': lambda c: VQ(c, 'gradient', beta=0.5),
    'learnable': lambda c: VQ(c, 'learnable'),
    'rotation': lambda c: VQ(c, estimator='rotation'),
    'projection': lambda c: VQ(c, 'gradient', estimator='projection'),
    'cosine': lambda c: VQ(c, metric='cosine'),
    'cosine-gradient': lambda c: VQ(c, 'gradient', metric='cosine'),
    'cross-entropy': lambda c: VQ(c, commitment='cross-entropy'),
    'cross-entropy-cosine': lambda c: VQ(c, 'gradient', metric='cosine', commitment='cross-entropy'),
    'diversity': lambda c: VQ(c, 'gradient', diversity=0.3, temperature=0.5),
    'diversity-cosine': lambda c: VQ(c, metric='cosine', diversity=0.3, temperature=0.2),
    'orthogonal': lambda c: VQ(c, 'gradient', orthogonal=2.0),
    'heads': lambda c: Heads([VQ(c[:, :2])], 2),
    'separate-heads': lambda c: Heads([VQ(c[:, :2]), VQ(c[:, 2:])], 2),
    'separate-heads-gradient': lambda c: Heads([VQ(c[:, :2], 'gradient', diversity=0.1) for _ in 'ab'], 2),
    'residual': lambda c: Residual([VQ(e) for e in spread(c, 3)]),
    'residual-level': lambda c: Residual([VQ(e) for e in spread(c, 3)], 'level'),
    'residual-level-rotation': lambda c: Residual([VQ(e, estimator='rotation') for e in spread(c, 2)], 'level'),
    'residual-gradient': lambda c: Residual([VQ(e, 'gradient') for e in spread(c, 3)], estimator='rotation'),
    'residual-learnable': lambda c: Residual([VQ(e, 'learnable') for e in spread(c, 2)]),
    'residual-shared': lambda c: Residual(shared(VQ(c), 3)),
    'sim': lambda c: Sim(c),
    'sim-rotation': lambda c: Sim(c, 'rotation'),
    'residual-shared-gradient': lambda c: Residual(shared(VQ(c, 'gradient'), 2)),
}


def trace(make, draw):
    batches = torch.randn(10, N, IN, generator=draw)
    a, b = torch.randn(IN, D, generator=draw) / 2, torch.randn(D, IN, generator=draw) / 2
    codes = torch.randn(K, D, generator=draw)
    out = {'batches': batches, 'a': a.clone(), 'b': b.clone()}
    a, b = a.to(f64).requires_grad_(), b.to(f64).requires_grad_()
    quantizer = make(codes.to(f64))
    out['codes'] = quantizer.codes.detach().float().clone()
    optimizer = torch.optim.Adam([a, b, *quantizer.parameters()], 1e-2)
    steps = {'losses': [], 'indices': [], 'codes_after': [], 'a_after': []}
    for x in batches.to(f64):
        q, index, loss = quantizer(x @ a)
        loss = loss + (x - q @ b).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        quantizer.learn()
        for key, value in (('losses', loss), ('indices', index.int()), ('codes_after', quantizer.codes), ('a_after', a)):
            steps[key].append(value.detach().clone())
    stacked = {k: torch.stack(v) for k, v in steps.items()}
    return out | {k: v.float() if v.is_floating_point() else v for k, v in stacked.items()}


found = {}
for seed, (name, make) in enumerate(cases.items()):
    for key, value in trace(make, torch.Generator().manual_seed(seed)).items():
        found[f'{name}.{key}'] = value.contiguous()
save_file(found, Path(__file__).parent / 'quantizers.safetensors')
