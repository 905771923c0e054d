"""Ten training steps (Adam 1e-3, clipping at 1) of a model of peers/models.py: traces.py NAME OUT [BATCH] [SEED].

The weights of models at their full size are those that peers/init.py writes. Writes weights.*, batches and the losses in
float64 and in float32. Without arguments it writes the small ones, trace-*.safetensors, beside this file."""
import sys
from pathlib import Path
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent / 'bench' / 'peers'))
from models import IGPT, IgptVQVAE, SeedVQVAE  # noqa: E402

makers = {
    'igpt-vqvae': IgptVQVAE,
    'vqvae': SeedVQVAE,
    'rqvae': lambda: SeedVQVAE(levels=4),
    'igpt': IGPT,
    'small-rqvae': lambda: SeedVQVAE(levels=3, dim=6, K=16, hidden=(4, 8)),
    'small-igpt': lambda: IGPT(vocab=20, context=12, d=16, heads=2, layers=2),
}


def trace(name, weights, batches, dtype):
    model = makers[name]().to(dtype)
    model.load_state_dict(weights)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0  # the two sides would drop different elements
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for x in batches:
        if 'tok.weight' in weights:
            loss = F.cross_entropy(model(x[:, :-1]).reshape(-1, model.vocab), x[:, 1:].reshape(-1))
        else:
            loss = model(x.to(dtype))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def write(name, out, batch=4, seed=0):
    torch.manual_seed(seed)
    model = makers[name]()
    weights = {k: v.clone().contiguous() for k, v in model.state_dict().items()}
    draw = torch.Generator().manual_seed(seed + 1)
    if name.endswith('igpt'):
        batches = torch.randint(0, model.vocab, (10, batch, model.context + 1), generator=draw)
    else:
        edge = 8 if name.startswith('small') else 32
        batches = torch.rand(10, batch, 3, edge, edge, generator=draw) * 2 - 1
    found = {f'losses{bits}': trace(name, weights, batches, getattr(torch, f'float{bits}')) for bits in (32, 64)}
    save_file({f'weights.{k}': v for k, v in weights.items()} | found | {'batches': batches}, out)


torch.set_num_threads(2)
if len(sys.argv) > 1:
    write(sys.argv[1], sys.argv[2], *(int(a) for a in sys.argv[3:]))
else:
    for name in ('rqvae', 'igpt'):
        write(f'small-{name}', Path(__file__).parent / f'trace-{name}.safetensors')
