"""Oracles of @vq/models/evaluate: evaluate.py [OUT]. Needs numpy, scipy, scikit-image, scikit-learn and safetensors.

SSIM          scikit-image's structural_similarity, image by image; for other ends of the Gaussian, which it fixes at 3.5, by
              scipy's gaussian_filter
NMI, probes   scikit-learn's normalized_mutual_info_score, LogisticRegression, KNeighborsClassifier, NearestNeighbors
Hamming       scipy's cdist with a stable sort, so that ties go to the lower row
RSA           scipy's pdist and spearmanr
CKA           Kornblith et al. 2019, arXiv 1905.00414, equations 3 and 4, with the centring matrix written out
PWCCA         Morcos et al. 2018, arXiv 1806.05759, section 2.1, by inverse roots of the covariances
hull          scipy's ConvexHull

Writes inputs and values in float64 to evaluate.safetensors beside this file."""
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

rng = np.random.default_rng(0)
out = {}


def put(name, value):
    value = np.asarray(value)
    kind = np.int32 if value.dtype.kind == 'i' else value.dtype if value.dtype == np.float32 else np.float64
    out[name] = np.ascontiguousarray(value, dtype=kind)


# Images: smooth colours, and the same with noise, blur and an offset.
y, x = np.mgrid[0:19, 0:23] / 20
images = np.stack([np.stack([np.sin(3 * x + c + n) * np.cos(4 * y - c) / 2 + .5 for c in range(3)], -1) for n in range(2)])
images = images.astype(np.float32)
noisy = np.clip(images + rng.normal(0, .1, images.shape) + [[[[0]]], [[[.15]]]], 0, 1).astype(np.float32)
put('images.a', images)
put('images.b', noisy)
settings = {
    'default': {},
    'window11': {'win_size': 11},
    'population': {'use_sample_covariance': False},
    'gaussian': {'gaussian_weights': True},
    'paper': {'gaussian_weights': True, 'use_sample_covariance': False, 'sigma': 1.5},
    'sigma': {'gaussian_weights': True, 'sigma': .8},
    'constants': {'K1': .02, 'K2': .05},
}
for name, options in settings.items():
    put(f'ssim.{name}', [structural_similarity(a, b, data_range=1.0, channel_axis=-1, **options)
                         for a, b in zip(images.astype(np.float64), noisy.astype(np.float64))])
put('ssim.bytes', [structural_similarity(a * 255.0, b * 255.0, data_range=255.0, channel_axis=-1)
                   for a, b in zip(images.astype(np.float64), noisy.astype(np.float64))])


def truncated(a, b, sigma, truncate):
    """Wang et al. 2004, equation 13, on one channel."""
    r = int(truncate * sigma + .5)
    mean = lambda z: gaussian_filter(z, sigma, truncate=truncate)[r:-r, r:-r]
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma ** 2, mean(b * b) - mb ** 2, mean(a * b) - ma * mb
    return ((2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma ** 2 + mb ** 2 + 1e-4) * (va + vb + 9e-4))).mean()


put('ssim.truncate', [np.mean([truncated(a[..., c], b[..., c], 1.2, 2.0) for c in range(3)])
                      for a, b in zip(images.astype(np.float64), noisy.astype(np.float64))])

# Mutual information: codes that know something of the labels, nothing, everything, and of several levels.
labels = rng.integers(0, 4, 150)
codes = np.stack([(labels * 2 + rng.integers(0, 3, 150)) % 7, rng.integers(0, 5, 150), (labels + rng.integers(0, 2, 150)) % 4], 1)
put('labels', labels)
put('codes', codes)
full = codes @ [100, 10, 1]
put('nmi.levels', [normalized_mutual_info_score(labels, codes[:, i]) for i in range(3)])
put('nmi.full', normalized_mutual_info_score(labels, full))

# Bits of the codes.
def entropy(of):
    p = np.unique(of, return_counts=True, axis=0)[1] / len(of)
    return -(p * np.log2(p)).sum()
sizes = np.array([8, 5, 4])
put('sizes', sizes)
put('bits.fixed', np.log2(sizes).sum() * 150 / 600)
put('bits.entropy', sum(entropy(codes[:, i]) for i in range(3)) * 150 / 600)

# Residual codes of vectors and what the first levels add up to.
vectors = rng.normal(size=(150, 3))
put('residual.vectors', vectors)
books = [rng.normal(size=(k, 3)) / 2 ** l for l, k in enumerate(sizes)]
for l, book in enumerate(books):
    put(f'residual.book{l}', book)
sums = np.cumsum([book[codes[:, l]] for l, book in enumerate(books)], 0)
put('residual.errors', ((vectors - sums) ** 2).mean((1, 2)))
put('residual.bits', np.cumsum([entropy(codes[:, i]) for i in range(3)]))

# The lower hull from the fewest bits to the least error.
points = np.stack([rng.uniform(0, 10, 60), np.zeros(60)], 1)
points[:, 1] = np.exp(-points[:, 0] / 3) + rng.uniform(0, .4, 60) + .02 * (points[:, 0] - 7) ** 2
put('points', points)
corners = points[ConvexHull(points).vertices]
first, least = corners[corners[:, 0].argmin()], corners[corners[:, 1].argmin()]
line = lambda p: first[1] + (least[1] - first[1]) * (p[0] - first[0]) / (least[0] - first[0])
put('hull', np.array(sorted(p.tolist() for p in corners if p[0] <= least[0] and p[1] <= line(p) + 1e-12)))

# Features: the second set is partly a linear map of the first; the third is wider than there are rows; the fourth ties often.
a = rng.normal(size=(60, 7)) * [3, 2, 1, 1, .5, .5, .1] + 5
b = a[:, :4] @ rng.normal(size=(4, 5)) + rng.normal(size=(60, 5))
sets = {'a': a, 'b': b, 'wide': rng.normal(size=(60, 70)) + a @ rng.normal(size=(7, 70)), 'lattice': rng.integers(0, 3, (60, 3)).astype(float)}
for name, value in sets.items():
    put(f'features.{name}', value)


def cka(x, y):
    n = len(x)
    h = np.eye(n) - 1 / n
    hsic = lambda k, l: np.trace(k @ h @ l @ h) / (n - 1) ** 2
    k, l = x @ x.T, y @ y.T
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def inverse_root(s):
    values, vectors = np.linalg.eigh(s)
    return vectors @ np.diag(values ** -.5) @ vectors.T


def pwcca(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    rx, ry = inverse_root(x.T @ x), inverse_root(y.T @ y)
    u, rho, _ = np.linalg.svd(rx @ x.T @ y @ ry, full_matrices=False)
    alpha = np.abs((x @ rx @ u).T @ x).sum(1)
    return (alpha / alpha.sum() * rho).sum()


def jaccard(x, y, k):
    # A stable sort of the distances to the others: of equal ones the lower row comes first.
    def near(z):
        d = cdist(z, z, 'sqeuclidean')
        np.fill_diagonal(d, np.inf)
        return [set(row[:k]) for row in d.argsort(1, kind='stable')]
    return np.mean([len(p & q) / len(p | q) for p, q in zip(near(x), near(y))])


for p, q in [('a', 'b'), ('b', 'a'), ('a', 'wide'), ('a', 'lattice'), ('lattice', 'b')]:
    x, y = sets[p], sets[q]
    put(f'cka.{p}.{q}', cka(x, y))
    put(f'rsa.euclidean.{p}.{q}', spearmanr(pdist(x, 'sqeuclidean' if 'lattice' in (p, q) else 'euclidean'),
                                            pdist(y, 'sqeuclidean' if 'lattice' in (p, q) else 'euclidean')).statistic)
    put(f'jaccard.{p}.{q}', [jaccard(x, y, k) for k in (1, 5, 20)])
    if 'lattice' not in (p, q):
        put(f'rsa.correlation.{p}.{q}', spearmanr(pdist(x, 'correlation'), pdist(y, 'correlation')).statistic)
    if 'wide' not in (p, q):
        put(f'pwcca.{p}.{q}', pwcca(x, y))
near = [NearestNeighbors(n_neighbors=5).fit(z).kneighbors(return_distance=False) for z in (a, b)]
put('jaccard.sklearn', np.mean([len(set(p) & set(q)) / len(set(p) | set(q)) for p, q in zip(*near)]))

# Probes: 100 rows to train, 50 to test; features of the labels, and the codes.
features = np.stack([np.cos(labels * 1.5), np.sin(labels * 1.5), labels * 0.0], 1) * 1.2 + rng.normal(size=(150, 3))
put('probe.features', features)
train, test = slice(0, 100), slice(100, 150)
onehot = np.concatenate([np.eye(k)[codes[:, l]] for l, k in enumerate(sizes)], 1)
for name, inputs in [('features', features), ('codes', onehot)]:
    for c in (1.0, 10.0):
        fit = LogisticRegression(C=c, tol=1e-12, max_iter=100000).fit(inputs[train], labels[train])
        key = f'probe.{name}.{c:.0f}'
        put(f'{key}.weights', fit.coef_.T)
        put(f'{key}.bias', fit.intercept_ - fit.intercept_.mean())
        put(f'{key}.accuracy', [fit.score(inputs[train], labels[train]), fit.score(inputs[test], labels[test])])
        put(f'{key}.loss', -np.log(fit.predict_proba(inputs[train])[np.arange(100), labels[train]]).mean())
put('knn.features', [KNeighborsClassifier(k).fit(features[train], labels[train]).score(features[test], labels[test])
                     for k in (1, 4, 15)])


def hamming(k):
    order = cdist(codes[test], codes[train], 'hamming').argsort(1, kind='stable')[:, :k]
    return np.mean([np.bincount(labels[train][row]).argmax() == label for row, label in zip(order, labels[test])])


put('knn.codes', [hamming(k) for k in (1, 4, 15)])

path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix('.safetensors'))
save_file(out, path)
print(path, path.stat().st_size, len(out))
for name in sorted(out):
    if out[name].size <= 3:
        print(name, out[name])
