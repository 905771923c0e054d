"""Writes optim.safetensors beside this file: parameters after each of six steps of PyTorch's optimizers in float64, two
groups with options of their own and one gradient left out, from fixed gradients; their states; learning rates of schedules."""
from pathlib import Path
import torch
from safetensors.torch import save_file

torch.manual_seed(0)
here = Path(__file__).parent
start = {'a': torch.randn(3, 4), 'b': torch.randn(5), 'c': torch.randn(2, 2)}
gradients = torch.randn(6, 21)
out = {'gradients': gradients} | {f'start.{k}': v for k, v in start.items()}
makers = {
    'sgd': lambda g: torch.optim.SGD(g, lr=0.1),
    'momentum': lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.9, weight_decay=0.01),
    'nesterov': lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.8, nesterov=True),
    'adam': lambda g: torch.optim.Adam(g, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1),
    'adamw': lambda g: torch.optim.AdamW(g, lr=0.05),
}
for name, make in makers.items():
    p = {k: torch.nn.Parameter(v.double()) for k, v in start.items()}
    optimizer = make([{'params': [p['a'], p['b']]}, {'params': [p['c']], 'lr': 0.02, 'weight_decay': 0.3}])
    for step, g in enumerate(gradients.double()):
        parts = g.split([12, 5, 4])
        for (k, v), part in zip(p.items(), parts):
            v.grad = None if k == 'b' and step in (1, 2) else part.view_as(v)
        optimizer.step()
        for k, v in p.items():
            out[f'{name}.{step}.{k}'] = v.detach().float().clone()
    for i, state in optimizer.state_dict()['state'].items():
        for k, v in state.items():
            if v is not None:
                out[f'{name}.state.{k}.{"abc"[i]}'] = v.float().clone()


def rates(make, steps=12):
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.5)
    schedule = make(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]['lr'])
        w.grad = torch.zeros_like(w)
        optimizer.step()
        schedule.step()
    return torch.tensor(seen, dtype=torch.float64)


s = torch.optim.lr_scheduler
out['rates.step'] = rates(lambda o: s.StepLR(o, 4, 0.3))
out['rates.multistep'] = rates(lambda o: s.MultiStepLR(o, [2, 3, 9], 0.5))
out['rates.cycle'] = rates(lambda o: s.OneCycleLR(o, 0.5, total_steps=12))
out['rates.cycle-linear'] = rates(lambda o: s.OneCycleLR(o, 0.5, total_steps=12, pct_start=0.21, anneal_strategy='linear', div_factor=10, final_div_factor=100))
# Ours counts steps from 1: cosineSchedule at step t is CosineAnnealingLR after t steps.
out['rates.cosine'] = rates(lambda o: s.CosineAnnealingLR(o, 11, eta_min=0.01))
save_file(out, here / 'optim.safetensors')
