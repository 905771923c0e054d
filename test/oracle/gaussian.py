"""Oracle of the linear Gaussian model of @vq/models/data: gaussian.py [OUT]. Needs numpy and safetensors.

From given A, B, Y and W: X = Y Aᵀ + sigma W, its covariance's eigenvalues (numpy.linalg.eigh), the projector on the top k
eigenvectors (which no sign changes), |X U_k| summed per component, latent variance, SNR, and the reverse water-filling bound by
bisection of the water level. Writes gaussian.safetensors beside this file."""
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(7)
d, k, n, sigma = 12, 4, 60, 0.3
a, _ = np.linalg.qr(rng.standard_normal((d, k)))
b = rng.standard_normal((k, k))
cov_y = b @ b.T + 0.1 * np.eye(k)
y = rng.multivariate_normal(np.zeros(k), cov_y, size=n)
x = (y @ a.T + sigma * rng.standard_normal((n, d))).astype(np.float32)
cov_x = np.cov(x.astype(np.float64), rowvar=False)
values, vectors = np.linalg.eigh(cov_x)
values, vectors = values[::-1], vectors[:, ::-1]
u = vectors[:, :k]
rates = np.array([0.0, 0.5, 2.0, 6.0, 20.0])


def bound(rate):
    low, high = 0.0, values[0]
    for _ in range(200):
        level = (low + high) / 2
        bits = sum(max(0.0, 0.5 * np.log2(v / level)) for v in values[:k])
        low, high = (level, high) if bits > rate else (low, level)
    return np.minimum(high, values[:k]).mean()


out = {
    "loading": a, "sourceCovariance": cov_y, "samples": x, "eigenvalues": values.copy(), "projector": u @ u.T,
    "latentSizes": np.abs(x.astype(np.float64) @ u).sum(axis=0), "latentVariance": np.diag(u.T @ cov_x @ u).mean()[None],
    "snr": (np.diag(a @ cov_y @ a.T).mean() / sigma**2)[None], "rates": rates, "bounds": np.array([bound(r) for r in rates]),
    "sigma": np.array([sigma]),
}
target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
save_file({name: np.ascontiguousarray(v) for name, v in out.items()}, target / "gaussian.safetensors")
