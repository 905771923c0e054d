"""The autoencoders of @vq/models in plain PyTorch, names and shapes alike, so that weights can be exchanged."""
import math
import torch
from torch import nn
import torch.nn.functional as F


def encoder_layers(channels, hidden, norm):
    layers, c = [], channels
    for h in hidden:
        layers += [nn.Conv2d(c, h, 4, 2, 1), *([nn.BatchNorm2d(h)] if norm else []), nn.ReLU()]
        c = h
    return [*layers, nn.Flatten()]


def decoder_layers(channels, latent, hidden, size, norm):
    h, w = (n // 2 ** len(hidden) for n in size)
    layers = [nn.Linear(latent, hidden[-1] * h * w), nn.ReLU(), nn.Unflatten(1, (hidden[-1], h, w))]
    for wide, narrow in zip(hidden[::-1], hidden[-2::-1]):
        layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), *([nn.BatchNorm2d(narrow)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(hidden[0], channels, 4, 2, 1))


class AutoEncoder(nn.Module):
    def __init__(self, channels=3, latent=128, hidden=(32, 64, 128, 256), size=(32, 32), norm=True):
        super().__init__()
        features = hidden[-1] * math.prod(n // 2 ** len(hidden) for n in size)
        self.encoder = nn.Sequential(*encoder_layers(channels, hidden, norm), nn.Linear(features, latent))
        self.decoder = decoder_layers(channels, latent, hidden, size, norm)

    def forward(self, x):
        return F.mse_loss(torch.sigmoid(self.decoder(self.encoder(x))), x)


class Vae(nn.Module):
    def __init__(self, channels=3, latent=128, hidden=(32, 64, 128, 256), size=(32, 32), norm=True, beta=1.0,
                 likelihood='gaussian', variance=1.0):
        super().__init__()
        features = hidden[-1] * math.prod(n // 2 ** len(hidden) for n in size)
        self.beta, self.likelihood, self.variance = beta, likelihood, variance
        self.encoder = nn.Sequential(*encoder_layers(channels, hidden, norm))
        self.fc_mu, self.fc_logvar = nn.Linear(features, latent), nn.Linear(features, latent)
        self.decoder = decoder_layers(channels, latent, hidden, size, norm)

    def terms(self, x, noise):
        """(-log p(x|z) without the constant of 'gaussian', KL), sums over an image, means over images."""
        features = self.encoder(x)
        mu, logvar = self.fc_mu(features), self.fc_logvar(features)
        y = self.decoder(mu + torch.exp(0.5 * logvar) * noise)
        if self.likelihood == 'bernoulli':
            loss = F.binary_cross_entropy_with_logits(y, x, reduction='sum')
        else:
            loss = F.mse_loss(torch.sigmoid(y), x, reduction='sum') / (2 * self.variance)
        kl = -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum()
        return loss / len(x), kl / len(x)

    def forward(self, x, noise):
        loss, kl = self.terms(x, noise)
        return loss + self.beta * kl

    def elbo(self, x, noise):
        """In nats, mean over images."""
        loss, kl = self.terms(x, noise)
        constant = 0.5 * x[0].numel() * math.log(2 * math.pi * self.variance) if self.likelihood == 'gaussian' else 0
        return -loss - constant - kl
