"""Judges pictures of coloured digits: which digit a CNN reads, and which two of the named colours are seen.

    python3 colored-digits.py train MNIST_FOLDER WEIGHTS      # once: at least 99% of MNIST's test images
    python3 colored-digits.py judge WEIGHTS REQUEST           # REQUEST: JSON { images, count, size, captions, colors }

`images` is a file of float32 [count, size, size, 3] from 0 to 1, `captions` what each of them is to show, `colors` the table
[{ name, rgb, lab }]. The answer is a line of JSON. The digit is read from a grey picture alone, in which the digit is white on black,
so the network knows nothing of colours; the colours are those of the pixels furthest along the line between the two.
"""

import gzip
import json
import os
import sys

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


def network() -> nn.Module:
    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.MaxPool2d(2), *block(32, 32), nn.MaxPool2d(2), *block(32, 64),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.3), nn.Linear(576, 10),
    )


def mnist(folder: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    def read(part: str, offset: int) -> np.ndarray:
        with gzip.open(os.path.join(folder, f"{name}-{part}-ubyte.gz")) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    images = read("images-idx3", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    return torch.from_numpy(images), torch.from_numpy(read("labels-idx1", 8).astype(np.int64))


def shifted(x: torch.Tensor) -> torch.Tensor:
    a, b = (int(v) for v in torch.randint(-2, 3, (2,)))
    return torch.roll(x, (a, b), (2, 3))


def train(folder: str, weights: str) -> None:
    torch.set_num_threads(int(os.environ.get("VQ_THREADS", "2")))
    x, y = mnist(folder, "train")
    held, labels = mnist(folder, "t10k")
    epochs, batch = 3, 128
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(len(x) // batch):
            at = order[i * batch : (i + 1) * batch]
            images = shifted(x[at])
            # Half of them cut at one half, as the coloured digits are.
            images[::2] = (images[::2] >= 0.5).float()
            loss = nn.functional.cross_entropy(model(images), y[at], label_smoothing=0.02)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        right = [(torch.cat([model(p) for p in part.split(1000)]).argmax(1) == labels).float().mean().item()
                 for part in (held, (held >= 0.5).float())]
    print(json.dumps({"test": right[0], "binary": right[1]}))
    if min(right) < 0.99:
        sys.exit("the classifier reads less than 99% of MNIST's test images: train it for longer")
    torch.save(model.state_dict(), weights)


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB of 0 to 1, [N, 3], to CIE L*a*b* under D65."""
    v = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = v @ np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175],
                        [0.0193339, 0.119192, 0.9503041]]).T / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def ciede2000(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N, 3] and [M, 3] to [N, M]: Sharma, Wu, Dalal 2005, equations 2 to 22."""
    x, y = x[:, None], y[None]
    c = (np.hypot(x[..., 1], x[..., 2]) + np.hypot(y[..., 1], y[..., 2])) / 2
    g = 0.5 * (1 - np.sqrt(c**7 / (c**7 + 25.0**7)))
    (a1, b1), (a2, b2) = ((v[..., 1] * (1 + g), v[..., 2] + 0 * g) for v in (x, y))
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    dh = (h2 - h1 + 180) % 360 - 180
    dh = np.where(grey, 0, dh)
    total = h1 + h2
    far = np.abs(h1 - h2) > 180
    mean = np.where(far, np.where(total < 360, total + 360, total - 360), total) / 2
    mean = np.where(grey, total, mean)
    dl, dc = y[..., 0] - x[..., 0], c2 - c1
    dhh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    l, c = (x[..., 0] + y[..., 0]) / 2, (c1 + c2) / 2
    t = (1 - 0.17 * np.cos(np.radians(mean - 30)) + 0.24 * np.cos(np.radians(2 * mean))
         + 0.32 * np.cos(np.radians(3 * mean + 6)) - 0.2 * np.cos(np.radians(4 * mean - 63)))
    sl = 1 + 0.015 * (l - 50) ** 2 / np.sqrt(20 + (l - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rt = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((mean - 275) / 25) ** 2))))
    return np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dhh / sh) ** 2 + rt * dc / sc * dhh / sh)


def seen(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of [S, S, 3]: the digit's colour, the background's, and how much each pixel is of the digit, 0 to 1.

    The background is the median of the outermost two rings of pixels. The digit is what differs most from it: the median of the
    tenth of all pixels, at least 12, that are furthest away.. of those, the half that lies closest together.
    """
    pixels = image.reshape(-1, 3)
    ring = np.ones(image.shape[:2], bool)
    ring[2:-2, 2:-2] = False
    paper = np.median(image[ring], 0)
    away = np.linalg.norm(pixels - paper, axis=1)
    # The digit covers at least about a twentieth of a picture.
    far = pixels[np.argsort(-away)[: max(12, len(pixels) // 20)]]
    ink = np.median(far, 0)
    axis = ink - paper
    cover = np.clip((pixels - paper) @ axis / max(axis @ axis, 1e-9), 0, 1)
    return ink, paper, cover.reshape(image.shape[:2])


def judge(weights: str, request: str) -> None:
    torch.set_num_threads(1)
    with open(request) as file:
        asked = json.load(file)
    n, size = asked["count"], asked["size"]
    images = np.fromfile(asked["images"], np.float32).reshape(n, size, size, 3)
    table = asked["colors"]
    names = [color["name"] for color in table]
    # Table in 8-bit sRGB.
    known = lab(np.array([color["rgb"] for color in table]) / 255)
    parts = [seen(image) for image in images]
    ink, paper = (lab(np.stack([p[i] for p in parts]).astype(np.float64)) for i in (0, 1))
    to_ink, to_paper = ciede2000(ink, known), ciede2000(paper, known)
    model = network()
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    edge = (size - 28) // 2
    grey = torch.from_numpy(np.stack([p[2] for p in parts]).astype(np.float32))[:, None, edge : edge + 28, edge : edge + 28]
    with torch.no_grad():
        digits = model(grey).argmax(1).tolist()
    said = []
    for i, caption in enumerate(asked["captions"]):
        a, b, digit, _, c, d = caption.split()
        said.append({
            "digit": digits[i] == int(digit),
            "ink": names[int(to_ink[i].argmin())] == f"{a} {b}",
            "paper": names[int(to_paper[i].argmin())] == f"{c} {d}",
        })
    both = [s["ink"] and s["paper"] for s in said]
    share = lambda values: float(np.mean(values))
    print(json.dumps({
        "count": n,
        **{key: share([s[key] for s in said]) for key in ("digit", "ink", "paper")},
        "colors": share(both),
        "all": share([s["digit"] and c for s, c in zip(said, both)]),
        "wrong": [i for i, (s, c) in enumerate(zip(said, both)) if not (s["digit"] and c)],
    }))


if __name__ == "__main__":
    {"train": train, "judge": judge}[sys.argv[1]](*sys.argv[2:])
