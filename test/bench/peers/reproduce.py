"""Trains a model of models.py or vae.py as ../reproduce does, driven over standard input and output.

{"do": "prepare", "name", "options", "weights", "train", "test", "order", "noise", "shape", "batch", "rate", "clip", "threads"}
reads
safetensors, images (float32, NHWC) or tokens (int32, one more than the context), the images' numbers of every batch (int32 [steps, batch]) and, for the VAE, the noise of
every step; {"do": "train", "first", "steps"} makes these steps; {"do": "save", "path"} writes weights and Adam's moments, named
m.PARAMETER and v.PARAMETER; {"do": "evaluate"} measures on the test images.
"""
import json, os, sys, time
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
import numpy as np
import torch
from safetensors.torch import load_file, save_file
import torch.nn.functional as F
from models import IGPT, SeedVQVAE
from vae import Vae

out = sys.stdout
sys.stdout = sys.stderr
NAMES = {'vqvae': SeedVQVAE, 'vae': Vae, 'igpt': IGPT}
job = {}


def images(path, shape):
    x = torch.from_numpy(np.fromfile(path, np.float32).reshape(-1, *shape))
    return x.permute(0, 3, 1, 2).contiguous()


def rows(path, m):
    if m['name'] == 'igpt':
        return torch.from_numpy(np.fromfile(path, np.int32).reshape(-1, *m['shape'])).long()
    return images(path, m['shape'])


def loss_of(model, x, noise):
    if isinstance(model, IGPT):
        return F.cross_entropy(model(x[:, :-1]).reshape(-1, model.vocab), x[:, 1:].reshape(-1))
    return model(x) if noise is None else model(x, noise)


def prepare(m):
    torch.set_num_threads(m['threads'])
    model = NAMES[m['name']](**m['options'])
    model.load_state_dict(load_file(m['weights']))
    order = np.fromfile(m['order'], np.int32).reshape(-1, m['batch'])
    noise = np.fromfile(m['noise'], np.float32).reshape(*order.shape, -1) if 'noise' in m else None
    job.update(m=m, model=model, order=order, noise=noise, train=rows(m['train'], m), test=rows(m['test'], m),
               optimizer=torch.optim.Adam(model.parameters(), m['rate']))
    return {'ready': True}


def train(m):
    model, optimizer, clip = job['model'].train(), job['optimizer'], job['m'].get('clip')
    start, losses = time.perf_counter(), []
    for step in range(m['first'], m['first'] + m['steps']):
        x = job['train'][torch.from_numpy(job['order'][step]).long()]
        loss = loss_of(model, x, None if job['noise'] is None else torch.from_numpy(job['noise'][step]))
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return {'loss': sum(losses) / m['steps'], 'losses': losses, 'seconds': time.perf_counter() - start}


def save(m):
    state = {name: value.contiguous() for name, value in job['model'].state_dict().items()}
    for name, parameter in job['model'].named_parameters():
        moments = job['optimizer'].state[parameter]
        state['m.' + name], state['v.' + name] = moments['exp_avg'].contiguous(), moments['exp_avg_sq'].contiguous()
    save_file(state, m['path'])
    return {'saved': True}


@torch.no_grad()
def evaluate(_):
    model, test = job['model'].eval(), job['test']
    if isinstance(model, Vae):
        torch.manual_seed(0)
        parts = test.split(500)
        draw = lambda x: torch.randn(len(x), model.fc_mu.out_features)  # noqa: E731
        return {'elbo': sum(model.elbo(x, draw(x)).item() * len(x) for x in parts) / len(test)}
    if isinstance(model, IGPT):
        return {'heldOut': sum(loss_of(model, x, None).item() * len(x) for x in test.split(100)) / len(test)}
    square, codes = 0.0, []
    for x in test.split(250):
        q, _, chosen = model.quantizer(model.encoder(x).permute(0, 2, 3, 1))
        square += (model.decoder(q.permute(0, 3, 1, 2)).double() - x.double()).square().sum().item()
        codes.append(chosen.flatten())
    size = model.quantizer.codebook.shape[0]
    return {'mse': square / test.numel(), 'unused': size - len(torch.cat(codes).unique())}


def answer(m):
    if m['do'] == 'versions':
        return {'Python': sys.version.split()[0], 'PyTorch': torch.__version__}
    return {'prepare': prepare, 'train': train, 'save': save, 'evaluate': evaluate}[m['do']](m)


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(reply), file=out, flush=True)
