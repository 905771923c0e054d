"""Writes nn.safetensors beside this file: for each case a PyTorch module's state (`<case>.state.*`), its inputs
(`<case>.input.<i>`, images NCHW), output, a cotangent `dy` and the gradients of sum(output * dy) by every parameter
(`<case>.grad.*`) and every input of floats (`<case>.grad_input.<i>`). Parameters, inputs and cotangents are float32; the
rest is computed from them in float64. Further outputs have names behind `output.` and `dy.`, buffers that a training
step moved stand under `after`."""
import copy
from pathlib import Path
import torch
from safetensors.torch import save_file
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
tensors = {}


def stir(module):
    """Moves parameters off zeros and ones, so that every one of them matters."""
    with torch.no_grad():
        for p in module.parameters():
            if (p == p.flatten()[0]).all():
                p.add_(0.3 * torch.randn_like(p))
    return module


def case(name, module, *inputs, forward=None, outputs=('output',), after=False):
    module = stir(module)
    for key, value in module.state_dict().items():
        tensors[f'{name}.state.{key}'] = value.clone().contiguous()
    double = copy.deepcopy(module).double()
    given = []
    for i, x in enumerate(inputs):
        tensors[f'{name}.input.{i}'] = x.to(torch.int32) if x.dtype == torch.int64 else x.contiguous()
        given.append(x.double().requires_grad_() if x.is_floating_point() else x)
    result = (forward or (lambda m, *xs: m(*xs)))(double, *given)
    results = result if isinstance(result, tuple) else (result,)
    total = 0
    for key, y in zip(outputs, results, strict=True):
        dy = torch.randn(y.shape)
        total = total + (y * dy.double()).sum()
        suffix = '' if key == 'output' else f'.{key}'
        tensors[f'{name}.output{suffix}'] = y.detach().float().contiguous()
        tensors[f'{name}.dy{suffix}'] = dy
    total.backward()
    for key, p in double.named_parameters(remove_duplicate=False):
        tensors[f'{name}.grad.{key}'] = p.grad.float().contiguous()
    for i, x in enumerate(given):
        if x.is_floating_point():
            tensors[f'{name}.grad_input.{i}'] = x.grad.float().contiguous()
    if after:
        for key, b in double.named_buffers():
            tensors[f'{name}.after.{key}'] = b.float() if b.is_floating_point() else b


randn = torch.randn
case('linear', nn.Linear(5, 4), randn(2, 3, 5))
case('linear-without-bias', nn.Linear(5, 4, bias=False), randn(3, 5))

case('conv1d', nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), randn(2, 4, 9))
case('conv1d-same', nn.Conv1d(3, 2, 4, padding='same'), randn(2, 3, 7))
case('conv2d', nn.Conv2d(3, 4, 3, stride=2, padding=1), randn(2, 3, 7, 6))
case('conv2d-uneven', nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)), randn(2, 3, 7, 6))
case('conv2d-dilated', nn.Conv2d(2, 3, 3, stride=2, padding=2, dilation=2, bias=False), randn(2, 2, 9, 8))
case('conv2d-same', nn.Conv2d(2, 3, (4, 3), padding='same', dilation=(1, 2)), randn(1, 2, 6, 5))
case('conv2d-groups', nn.Conv2d(6, 4, 3, padding=1, stride=2, groups=2), randn(2, 6, 5, 5))
case('conv2d-depthwise', nn.Conv2d(3, 6, 3, padding=1, groups=3), randn(2, 3, 5, 6))
case('conv2d-depthwise-dilated', nn.Conv2d(3, 3, 3, stride=2, padding=2, dilation=2, groups=3), randn(1, 3, 8, 7))
case('conv3d', nn.Conv3d(2, 3, 3, stride=2, padding=1), randn(1, 2, 5, 4, 6))
case('conv3d-uneven', nn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 2), dilation=(2, 1, 1), groups=2),
     randn(1, 2, 4, 5, 3))
case('convtranspose2d', nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), randn(2, 3, 4, 3))
case('convtranspose2d-uneven', nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2),
                                                  dilation=(2, 1), groups=2), randn(1, 4, 4, 3))
case('convtranspose2d-depthwise', nn.ConvTranspose2d(3, 3, 3, stride=2, padding=1, output_padding=1, groups=3),
     randn(2, 3, 3, 4))
case('convtranspose2d-beyond', nn.ConvTranspose2d(2, 3, 2, stride=1, padding=(1, 0), output_padding=2, dilation=3),
     randn(1, 2, 4, 3))
case('convtranspose3d', nn.ConvTranspose3d(2, 3, 3, stride=2, padding=1, output_padding=1), randn(1, 2, 3, 2, 3))
case('convtranspose3d-uneven', nn.ConvTranspose3d(2, 4, (2, 3, 2), stride=(1, 2, 2), padding=(0, 1, 0),
                                                  output_padding=(0, 1, 0), groups=2), randn(1, 2, 3, 3, 2))

norm = nn.BatchNorm2d(3)
case('batchnorm', norm, randn(2, 3, 4, 3) * 2 + 1, after=True)
norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
case('batchnorm-evaluation', norm.eval(), randn(2, 3, 4, 3))
case('batchnorm-cumulative', nn.BatchNorm1d(3, momentum=None, affine=False), randn(5, 3), randn(5, 3),
     forward=lambda m, a, b: (m(a), m(b)), outputs=('first', 'second'), after=True)
case('batchnorm-untracked', nn.BatchNorm1d(3, track_running_stats=False, eps=1e-3).eval(), randn(5, 3))
case('layernorm', nn.LayerNorm(6), randn(2, 3, 6) * 3 + 1)
case('layernorm-axes', nn.LayerNorm((3, 4), eps=1e-3, bias=False), randn(2, 5, 3, 4))
case('layernorm-map', nn.LayerNorm((2, 3, 4)), randn(2, 2, 3, 4))
case('layernorm-plain', nn.LayerNorm(6, elementwise_affine=False), randn(2, 6))
case('groupnorm', nn.GroupNorm(2, 6), randn(2, 6, 3, 2) * 2)
case('embedding', nn.Embedding(5, 3), torch.tensor([[1, 4, 1], [0, 0, 3]]))
case('embedding-padding', nn.Embedding(5, 3, padding_idx=1), torch.tensor([[1, 4, 1], [0, 0, 3]]))

attention = dict(batch_first=True)
case('attention', nn.MultiheadAttention(8, 2, **attention), randn(2, 4, 8), forward=lambda m, x: m(x, x, x)[0])
case('attention-causal', nn.MultiheadAttention(8, 2, bias=False, **attention), randn(2, 4, 8),
     forward=lambda m, x: m(x, x, x, attn_mask=torch.ones(4, 4, dtype=torch.bool).triu(1))[0])
case('attention-cross', nn.MultiheadAttention(8, 4, **attention), randn(2, 3, 8), randn(2, 5, 8),
     forward=lambda m, q, k: m(q, k, k)[0])
keep = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
case('attention-masks', nn.MultiheadAttention(8, 2, **attention), randn(2, 3, 8), randn(2, 5, 8), randn(2, 5, 8), keep,
     torch.randn(3, 5), forward=lambda m, q, k, v, keep, add: m(
         q, k, v, key_padding_mask=torch.zeros(keep.shape, dtype=torch.float64).masked_fill(keep == 0, -torch.inf),
         attn_mask=add)[0])
case('attention-widths', nn.MultiheadAttention(6, 2, kdim=4, vdim=5, **attention), randn(2, 3, 6), randn(2, 4, 4),
     randn(2, 4, 5), forward=lambda m, q, k, v: m(q, k, v)[0])

block = dict(dim_feedforward=12, dropout=0.0, batch_first=True)
case('encoder', nn.TransformerEncoderLayer(8, 2, **block), randn(2, 3, 8))
case('encoder-prenorm', nn.TransformerEncoderLayer(8, 2, norm_first=True, activation='gelu', **block), randn(2, 5, 8),
     keep, forward=lambda m, x, keep: m(x, src_key_padding_mask=keep == 0))
case('decoder', nn.TransformerDecoderLayer(8, 2, **block), randn(2, 3, 8), randn(2, 4, 8),
     forward=lambda m, x, memory: m(x, memory, tgt_mask=torch.ones(3, 3, dtype=torch.bool).triu(1)))
case('decoder-prenorm', nn.TransformerDecoderLayer(8, 2, norm_first=True, activation='gelu', bias=False, **block),
     randn(2, 3, 8), randn(2, 5, 8), keep, forward=lambda m, x, memory, keep: m(
         x, memory, memory_key_padding_mask=keep == 0))


def packed(m, x, lengths, h, c):
    """With lengths on the processor, in any order."""
    sequences = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, (h, c) = m(sequences, (h, c))
    return nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], h, c


def recurrent(m, x):
    y, (h, c) = m(x)
    return y, h, c


states = ('output', 'h', 'c')
case('lstm', nn.LSTM(4, 3, batch_first=True), randn(2, 5, 4), forward=recurrent, outputs=states)
case('lstm-two', nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True), randn(3, 5, 4),
     torch.tensor([3, 5, 1]), randn(4, 3, 3), randn(4, 3, 3), forward=packed, outputs=states)
case('lstm-without-bias', nn.LSTM(3, 2, bias=False, batch_first=True), randn(2, 4, 3), forward=recurrent, outputs=states)

activations = dict(relu=nn.ReLU(), leakyrelu=nn.LeakyReLU(0.2), gelu=nn.GELU(), silu=nn.SiLU(), elu=nn.ELU(),
                   softplus=nn.Softplus(), sigmoid=nn.Sigmoid(), tanh=nn.Tanh(), softmax=nn.Softmax(1))
activations |= {'gelu-tanh': nn.GELU('tanh'), 'elu-steep': nn.ELU(1.7), 'softplus-steep': nn.Softplus(3.0)}
for name, module in activations.items():
    case(name, module, torch.cat([2 * randn(3, 4), torch.tensor([[-30.0, 30.0, -1e-3, 1e-3]])]))

case('maxpool2d', nn.MaxPool2d(2), randn(2, 3, 5, 6))
case('maxpool2d-padded', nn.MaxPool2d((3, 2), stride=(2, 1), padding=1), randn(1, 2, 6, 5))
case('maxpool3d', nn.MaxPool3d((2, 3, 2), stride=2, padding=(1, 1, 0)), randn(1, 2, 4, 5, 4))
case('avgpool2d', nn.AvgPool2d(3, stride=2, padding=1), randn(1, 2, 6, 5))
case('avgpool2d-inside', nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), randn(1, 2, 6, 5))
case('adaptive', nn.AdaptiveAvgPool2d((3, 2)), randn(2, 2, 7, 5))
case('adaptive-one', nn.AdaptiveAvgPool2d(1), randn(2, 2, 4, 5))
case('nearest', nn.Upsample(scale_factor=2), randn(1, 2, 3, 2))
case('nearest-size', nn.Upsample(size=(7, 4)), randn(1, 2, 3, 6))
case('nearest-scale', nn.Upsample(scale_factor=(1.5, 2.6)), randn(1, 2, 5, 3))
case('nearest-rounded', nn.Upsample(scale_factor=(1.1, 2.1)), randn(1, 2, 7, 3))
case('bilinear-rounded', nn.Upsample(scale_factor=(1.1, 2.1), mode='bilinear'), randn(1, 2, 7, 3))
case('bilinear', nn.Upsample(scale_factor=2, mode='bilinear'), randn(2, 2, 3, 4))
case('bilinear-size', nn.Upsample(size=(2, 7), mode='bilinear'), randn(1, 2, 5, 3))
case('bilinear-scale', nn.Upsample(scale_factor=1.5, mode='bilinear'), randn(1, 2, 5, 3))

case('flattened', nn.Sequential(
    nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 5, 4), nn.Linear(4, 3 * 2 * 5),
    nn.Unflatten(1, (3, 2, 5)), nn.ConvTranspose2d(3, 2, 2, stride=2)), randn(2, 2, 4, 5))
case('flattened-video', nn.Sequential(nn.Conv3d(1, 2, 2), nn.Flatten(), nn.Linear(2 * 2 * 3 * 1, 4 * 3),
                                      nn.Unflatten(1, (4, 3))), randn(2, 1, 3, 4, 2))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids):
        return self.head(torch.tanh(self.table(ids)))


case('tied', Tied(), torch.tensor([[1, 5, 1], [0, 2, 3]]))

save_file(tensors, Path(__file__).parent / 'nn.safetensors')
