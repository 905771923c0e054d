"""Writes vqvae-igpt.safetensors and vqvae-residual.safetensors beside this file: initial weights (`weights.*`), ten
batches (`images`, NCHW) and the loss of each of ten training steps (Adam 1e-3, clipping at 1) in PyTorch."""
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file

here = Path(__file__).parent
sys.path.insert(0, str(here.parent / 'bench' / 'peers'))
from models import IgptVQVAE, SeedVQVAE  # noqa: E402

torch.set_num_threads(1)
makers = {
    'igpt': lambda: IgptVQVAE(dim=8, K=8, D=8),
    'residual': lambda: SeedVQVAE(dim=8, K=16, hidden=(8, 12)),
}
for name, make in makers.items():
    torch.manual_seed(0)
    model = make()
    tensors = {f'weights.{k}': v.clone().contiguous() for k, v in model.state_dict().items()}
    images = torch.rand(10, 4, 3, 8, 8)
    if name == 'igpt':
        images = images * 2 - 1
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for x in images:
        loss = model(x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    after = {f'after.{k}': v.clone().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors | after | {'images': images, 'losses': torch.tensor(losses)}, here / f'vqvae-{name}.safetensors')
