"""Writes segmentation.safetensors: losses of random logits with their gradients (`loss.<name>`, `gradient.<name>`), some pixels
left out by the label −1, and a head of two convolutions (`head.…`) with what it makes of `features`, in evaluation and enlarged
(`head.logits`). Channels are last. Losses are PyTorch's own (cross_entropy), torchvision's focal loss of two classes, and the
formulas of the papers written with PyTorch's ops."""
from pathlib import Path
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
try:
    _ops = torch.library.Library('torchvision', 'DEF')
    for _op in ('nms', 'qnms'):
        _ops.define(_op + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError:
    pass
from torchvision.ops import sigmoid_focal_loss

torch.manual_seed(0)
B, H, W, C = 2, 6, 5, 3
logits = (2 * torch.randn(B, C, H, W)).requires_grad_()
labels = torch.randint(-1, C, (B, H, W))


def cross_entropy(x, y):
    return F.cross_entropy(x, y, ignore_index=-1)


def dice(x, y, smooth=1.0):
    counted = (y >= 0).unsqueeze(1).float()
    p = x.softmax(1) * counted
    t = F.one_hot(y.clamp(min=0), x.shape[1]).permute(0, 3, 1, 2).float() * counted
    both, all_ = (p * t).sum((0, 2, 3)), (p + t).sum((0, 2, 3))
    return 1 - ((2 * both + smooth) / (all_ + smooth)).mean()


def focal(x, y, gamma=2.0):
    ce = F.cross_entropy(x, y, ignore_index=-1, reduction='none')
    return ((1 - torch.exp(-ce)) ** gamma * ce).sum() / (y >= 0).sum()


losses = {
    'ce': cross_entropy,
    'dice': dice,
    'focal': focal,
    'combined': lambda x, y: cross_entropy(x, y) + dice(x, y) + 0.5 * focal(x, y),
}
last = lambda x: x.permute(0, 2, 3, 1).contiguous()
out = {'logits': last(logits.detach()), 'labels': labels.int()}
for name, loss in losses.items():
    value = loss(logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    out[f'loss.{name}'], out[f'gradient.{name}'] = value.detach(), last(gradient)

# Of two classes the focal loss is torchvision's of the difference of the logits.
two, which = torch.randn(B, 2, H, W), torch.randint(0, 2, (B, H, W))
out['two.logits'], out['two.labels'] = last(two), which.int()
out['two.focal'] = sigmoid_focal_loss(two[:, 1] - two[:, 0], which.float(), alpha=-1, gamma=2, reduction='mean')

head = nn.Sequential(nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, C, 1)).eval()
head[1].running_mean.normal_(0, 0.2)
head[1].running_var.uniform_(0.5, 1.5)
features = torch.randn(B, 8, 3, 4)
with torch.no_grad():
    y = F.interpolate(head(features), (13, 17), mode='bilinear', align_corners=False)
out |= {f'head.{k}': v for k, v in head.state_dict().items()}
out |= {'features': last(features), 'head.logits': last(y)}
save_file(out, Path(__file__).with_name('segmentation.safetensors'))
