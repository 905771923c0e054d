"""Writes model-*.safetensors beside this file: initial weights (`weights.*`), batches (`images`, NCHW), `noise` of the VAEs,
the gradients of the first step (`gradients.*`), the loss of each of five training steps (Adam 1e-3, clipping at 1) in PyTorch
and the state after them (`after.*`)."""
import sys
from pathlib import Path
import torch
from torch import nn
import torch.nn.functional as F
from safetensors.torch import save_file

here = Path(__file__).parent
sys.path.insert(0, str(here.parent / 'bench' / 'peers'))
from models import EmaVQ, SeedBlock  # noqa: E402
from vae import AutoEncoder, Vae  # noqa: E402


def down(c, widths, hidden):
    layers = []
    for w in widths:
        layers += [nn.Conv2d(c, w, 4, 2, 1), nn.ReLU()]
        c = w
    return [*layers, SeedBlock(c, hidden)]


def up(widths, c, hidden):
    layers = [SeedBlock(widths[-1], hidden)]
    for wide, narrow in zip(widths[::-1], widths[-2::-1]):
        layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.ReLU()]
    return [*layers, nn.ConvTranspose2d(widths[0], c, 4, 2, 1)]


class TwoLevel(nn.Module):
    """Razavi et al. 2019, algorithm 1, two levels."""

    def __init__(self, dim, K, hidden, top, inner):
        super().__init__()
        w, t = hidden[-1], top[-1]
        self.encoder_bottom = nn.Sequential(*down(3, hidden, inner))
        self.encoder_top = nn.Sequential(*down(w, top, inner), nn.Conv2d(t, dim, 1))
        self.quantizer_top = EmaVQ(K, dim)
        self.decoder_top = nn.Sequential(nn.Conv2d(dim, t, 1), *up(top, w, inner))
        self.to_bottom = nn.Sequential(nn.Conv2d(2 * w, dim, 1))
        self.quantizer_bottom = EmaVQ(K, dim)
        self.upsample_top = nn.Sequential(nn.ConvTranspose2d(dim, dim, 4, 2, 1))
        self.decoder = nn.Sequential(nn.Conv2d(2 * dim, w, 1), *up(hidden, 3, inner))

    @staticmethod
    def quantize(quantizer, z):
        q, loss, _ = quantizer(z.permute(0, 2, 3, 1))
        return q.permute(0, 3, 1, 2), loss

    def forward(self, x):
        features = self.encoder_bottom(x)
        top, a = self.quantize(self.quantizer_top, self.encoder_top(features))
        told = torch.cat([features, self.decoder_top(top)], 1)
        bottom, b = self.quantize(self.quantizer_bottom, self.to_bottom(told))
        y = self.decoder(torch.cat([bottom, self.upsample_top(top)], 1))
        return F.mse_loss(y, x) + a + b


torch.set_num_threads(1)
small = dict(latent=3, hidden=(4, 6), size=(8, 12))
makers = {
    'autoencoder': lambda: AutoEncoder(**small),
    'vae-gaussian': lambda: Vae(**small, beta=2.0, variance=0.5),
    'vae-bernoulli': lambda: Vae(channels=1, norm=False, **small, likelihood='bernoulli'),
    'vqvae2': lambda: TwoLevel(dim=4, K=16, hidden=(6, 8), top=(5,), inner=3),
}
for name, make in makers.items():
    torch.manual_seed(0)
    model = make()
    state = lambda prefix: {f'{prefix}.{k}': v.clone().contiguous() for k, v in model.state_dict().items()}  # noqa: E731
    images = torch.rand(5, 6, 1 if 'bernoulli' in name else 3, 8, 16 if name == 'vqvae2' else 12)
    noise = torch.randn(5, 6, 3)
    extra = {'images': images} | ({'noise': noise} if name.startswith('vae') else {}) | state('weights')
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for step, x in enumerate(images):
        loss = model(x, noise[step]) if name.startswith('vae') else model(x)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            extra |= {f'gradients.{k}': p.grad.clone().contiguous() for k, p in model.named_parameters()}
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    if name.startswith('vae'):
        model.eval()
        with torch.no_grad():
            loss, kl = model.terms(images[0], noise[0])
            extra |= {'elbo': model.elbo(images[0], noise[0]), 'kl': kl}
    save_file(extra | state('after') | {'losses': torch.tensor(losses)}, here / f'model-{name}.safetensors')
