"""FAISS, scikit-learn and PyTorch on the quantization benchmarks' data, driven over standard input and output.

One JSON object per line: {"do": "versions"}, {"do": "prepare", "work", "peer", "threads", ...} and {"do": "time", "calls",
"seconds", "enough"}, which times a block of calls (see block.py) and answers the median {"seconds": ...}. Arrays come as
files of raw float32 or int32.
"""
import json, os, sys
os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))
import numpy as np
from block import time_block

out = sys.stdout
sys.stdout = sys.stderr  # libraries print there


def optional(name):
    try:
        return __import__(name)
    except ImportError:
        return None


faiss, sklearn, torch = optional('faiss'), optional('sklearn'), optional('torch')


def versions():
    found = {'Python': sys.version.split()[0], 'NumPy': np.__version__}
    for name, module in (('FAISS', faiss), ('scikit-learn', sklearn), ('PyTorch', torch)):
        if module is not None:
            found[name] = module.__version__
    if faiss is not None:
        found['FAISS options'] = faiss.get_compile_options().strip()
    return found


def nearest(m):
    x, codes = load(m, 'x'), load(m, 'codes')
    if m['peer'] == 'FAISS':
        index = faiss.IndexFlatL2(m['dim'])
        index.add(codes)
        return lambda: index.search(x, 1)
    tx, tc = torch.from_numpy(x), torch.from_numpy(codes)
    return lambda: torch.cdist(tx, tc).argmin(-1)


def residual(m):
    x = load(m, 'x')
    books = np.concatenate([load(m, f'book{level}') for level in range(m['levels'])])
    rq = faiss.ResidualQuantizer(m['dim'], m['levels'], int(np.log2(len(books) // m['levels'])))
    faiss.copy_array_to_vector(books.ravel(), rq.codebooks)
    rq.max_beam_size = m['beam']
    rq.is_trained = True
    rq.compute_codebook_tables() if m.get('tables') else None
    return lambda: rq.compute_codes(x)


def residual_fit(m):
    x = load(m, 'x')

    def run():
        rq = faiss.ResidualQuantizer(m['dim'], m['levels'], m['bits'])
        rq.max_beam_size = 1
        rq.train(x)
        return rq
    return run


def residual_error(m):
    """Mean squared error per element of all rows, in the codes of what was fitted last."""
    x, total = load(m, 'x'), 0.0
    for block in np.array_split(x, max(1, len(x) // 65536)):
        back = result.decode(result.compute_codes(block))
        total += ((block.astype(np.float64) - back) ** 2).sum()
    return total / x.size


def kmeans(m):
    x, start = load(m, 'x'), load(m, 'start')
    k, n = len(start), m['iterations']
    if m['peer'] == 'FAISS':
        def run():
            km = faiss.Kmeans(m['dim'], k, niter=n, max_points_per_centroid=len(x), min_points_per_centroid=1)
            km.train(x, init_centroids=start)
            return km.centroids
        return run
    from sklearn.cluster import KMeans
    model = KMeans(k, init=start, n_init=1, max_iter=n, tol=0, algorithm='lloyd')
    return lambda: model.fit(x).cluster_centers_


def ema(m):
    x, book = torch.from_numpy(load(m, 'x')), torch.from_numpy(load(m, 'codes'))
    index = torch.from_numpy(np.fromfile(m['files']['indices'], np.int32).astype(np.int64))
    counts, sums, decay, eps = torch.ones(len(book)), book.clone(), 0.99, 1e-5
    F = torch.nn.functional

    @torch.no_grad()
    def run():
        hot = F.one_hot(index, len(book)).to(x.dtype)
        counts.lerp_(hot.sum(0), 1 - decay)
        sums.lerp_(hot.t() @ x, 1 - decay)
        n = counts.sum()
        smooth = (counts + eps) / (n + counts.numel() * eps) * n
        book.copy_(sums / smooth[:, None])
    return run


def load(m, name):
    return np.fromfile(m['files'][name], np.float32).reshape(-1, m['dim'])


def inertia(x, centroids):
    total = 0.0
    for block in np.array_split(x.astype(np.float64), max(1, len(x) // 2000)):
        c = centroids.astype(np.float64)
        d = (block ** 2).sum(1)[:, None] - 2 * block @ c.T + (c ** 2).sum(1)
        total += d.min(1).sum()
    return total


def set_threads(n):
    if faiss is not None:
        faiss.omp_set_num_threads(n)
    if torch is not None:
        torch.set_num_threads(n)
    from threadpoolctl import threadpool_limits
    threadpool_limits(n)


module_of = {'FAISS': faiss, 'scikit-learn': sklearn, 'PyTorch': torch}
work, result, message = None, None, None
for line in sys.stdin:
    message = json.loads(line)
    try:
        if message['do'] == 'versions':
            answer = versions()
        elif message['do'] == 'prepare':
            if module_of[message['peer']] is None:
                answer = {'missing': message['peer']}
            else:
                set_threads(message['threads'])
                prepared = message
                work = globals()[message['work']](message)
                if message.get('warm', True):
                    work()
                answer = {'ready': True}
        elif message['do'] == 'time':
            def call():
                global result
                result = work()
            answer = {'seconds': time_block(call, message)}
        elif message['do'] == 'error':
            answer = {'error_of_rows': residual_error(message)}
        elif message['do'] == 'inertia':
            answer = {'inertia': inertia(load(prepared, 'x'), np.asarray(result))}
    except Exception as error:  # the harness reports it beside the figure that is missing
        answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer), file=out, flush=True)
