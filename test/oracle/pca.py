"""Writes pca.safetensors beside this file: rows [N, D] and scikit-learn's PCA of them: `mean`, `components`,
`explained_variance`, `explained_variance_ratio`, `scores`, `whitened` and `back`, the inverse of `scores`."""
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

random = np.random.default_rng(0)
rows = (random.normal(size=(60, 12)) * np.linspace(3, 0.3, 12) @ random.normal(size=(12, 12)) + 5).astype(np.float32)
pca = PCA(5, svd_solver='full').fit(rows.astype(np.float64))
white = PCA(5, svd_solver='full', whiten=True).fit(rows.astype(np.float64))
scores = pca.transform(rows)
save_file({key: np.ascontiguousarray(value).astype(np.float32) for key, value in {
    'rows': rows, 'mean': pca.mean_, 'components': pca.components_, 'explained_variance': pca.explained_variance_,
    'explained_variance_ratio': pca.explained_variance_ratio_, 'scores': scores, 'whitened': white.transform(rows),
    'back': pca.inverse_transform(scores)}.items()}, Path(__file__).with_suffix('.safetensors'))
