"""Times the device library beside PyTorch in one process: python3 beside_torch.py libvq_cuda.so [--small]

Medians of repeated runs, CUDA events on both sides, the two alternating. Prints a Markdown table.
Exit status 77: PyTorch or a GPU is missing, and which. --small runs tiny sizes once and compares results alone: it works on
any device library, with PyTorch on the CPU."""
import ctypes as c
import statistics
import sys

try:
    import numpy as np
    import torch
except ImportError as missing:
    print(f"no timings: {missing}")
    sys.exit(77)
from backend import Backend, EmaArgs, EstimatorArgs, KmeansArgs, NearestArgs, ResidualArgs

small = "--small" in sys.argv
if not small and not torch.cuda.is_available():
    print(f"no timings: PyTorch {torch.__version__} finds no GPU")
    sys.exit(77)
where = "cpu" if small else "cuda"
vq = Backend(sys.argv[1])
torch.manual_seed(0)
torch.backends.cuda.matmul.allow_tf32 = False
rows = []


def torch_ms(f):
    if small:
        f()
        return 0.0
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    f()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last)


def beside(what, ours, theirs, agreement, work, repeats=7):
    """work(milliseconds) tells what that time means."""
    ours(), theirs()
    mine, peer = [], []
    for _ in range(1 if small else repeats):
        mine.append(vq.milliseconds(ours))
        peer.append(torch_ms(theirs))
    a, b = statistics.median(mine), statistics.median(peer)
    rows.append(f"| {what} | {a:.3f} | {b:.3f} | {b / max(a, 1e-9):.2f} | {work(a)} | {agreement()} |")
    print(rows[-1], file=sys.stderr)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float32).numpy()


# As the library chooses, every score in float32, through the tensor cores, the same by mma alone.
ROUTES = ("", ", in full", ", filtered", ", filtered by mma")
matrix_rate = None  # TFLOP/s


def nearest(n, k, d, route=0):
    x, e = draw(n, d), draw(k, d)
    tx, te = torch.from_numpy(x).to(where), torch.from_numpy(e).to(where)
    bx, be, bi, bd = vq.buffer(x), vq.buffer(e), vq.buffer(np.zeros(n, np.int32)), vq.buffer(np.zeros(n, np.float32))
    args = NearestArgs(n, k, d, 0, route, bx, be, bi, bd)
    part = max(1, min(n, (1 << 31) // (4 * k)))  # PyTorch holds N x K scores: 2 GiB of them at a time
    found = torch.empty(n, dtype=torch.int64, device=where)

    def theirs():
        for i in range(0, n, part):
            found[i : i + part] = torch.cdist(tx[i : i + part], te).argmin(1)

    def agreement():
        mine = vq.read(bi, np.zeros(n, np.int32))
        return f"{(torch.from_numpy(mine).to(where) == found).float().mean().item():.6f}"

    def work(ms):
        rate = 2 * n * k * d / max(ms, 1e-9) / 1e9
        return f"{rate:.1f} TFLOP/s" + (f", {100 * rate / matrix_rate:.0f}% of the bf16 product" if matrix_rate else "")

    beside(f"nearest {n} x {k} x {d}{ROUTES[route]}", lambda: vq.call("nearest", vq.context, c.byref(args), None), theirs,
           agreement, work)
    vq.free(bx, be, bi, bd)


def ema(n, k, d, skewed=False):
    x, e = draw(n, d), draw(k, d)
    index = torch.randint(0, k, (n,), dtype=torch.int32)
    if skewed:  # one code owns nine of ten rows
        index[torch.rand(n) < 0.9] = k // 2
    counts = np.ones(k, np.float32)
    tx, ti = torch.from_numpy(x).to(where), index.long().to(where)
    te, tc, ts = (torch.from_numpy(a.copy()).to(where) for a in (e, counts, e))
    held = [vq.buffer(a) for a in (x, index.numpy(), e, counts, e, e, counts, e)]
    args = EmaArgs(n, k, d, 0.99, 1e-5, *held)
    out = [None]

    def theirs():
        n_k = torch.zeros(k, device=where).index_add_(0, ti, torch.ones(n, device=where))
        sums = torch.zeros(k, d, device=where).index_add_(0, ti, tx)
        c2, s2 = tc * 0.99 + n_k * 0.01, ts * 0.99 + sums * 0.01
        total = c2.sum()
        out[0] = s2 / ((c2 + 1e-5) / (total + k * 1e-5) * total).unsqueeze(1)

    def agreement():
        mine = torch.from_numpy(vq.read(held[5], np.zeros((k, d), np.float32))).to(where)
        return f"within {(mine - out[0]).abs().max().item():.1e}"

    beside(f"EMA update {n} x {d}, K {k}{', one code with most rows' if skewed else ''}", lambda: vq.call("ema_update", vq.context, c.byref(args), None), theirs, agreement,
           lambda ms: f"{(n * d * 4) / max(ms, 1e-9) / 1e6:.0f} GB/s of rows")
    vq.free(*held)


def residual(n, k, d, levels, beam=1):
    x = draw(n, d)
    books = [draw(k, d) / (level + 1) for level in range(levels)]
    tx, tb = torch.from_numpy(x).to(where), [torch.from_numpy(b).to(where) for b in books]
    bx, bb = vq.buffer(x), [vq.buffer(b) for b in books]
    bc, bq, be = vq.buffer(np.zeros((n, levels), np.int32)), vq.buffer(np.zeros((n, d), np.float32)), vq.buffer(np.zeros(n, np.float32))
    sizes = (c.c_int64 * levels)(*[k] * levels)
    args = ResidualArgs(n, d, levels, beam, bx, (c.c_void_p * levels)(*[b.value for b in bb]), sizes, bc, bq, be, None)
    part = max(1, min(n, (1 << 31) // (4 * k * beam)))
    codes = torch.empty(n, levels, dtype=torch.int64, device=where)

    def theirs():
        for i in range(0, n, part):
            r = tx[i : i + part]
            for level, e in enumerate(tb):
                j = torch.cdist(r, e).argmin(1)
                codes[i : i + part, level] = j
                r = r - e[j]

    def beams():
        for i in range(0, n, part):
            r, past = tx[i : i + part].unsqueeze(1), codes[i : i + part, :0].unsqueeze(1)
            for e in tb:
                left = torch.cdist(r.flatten(0, 1), e).square().view(r.shape[0], -1)
                keep = min(beam, left.shape[1])
                at = left.topk(keep, 1, largest=False).indices
                parent, j = at // e.shape[0], at % e.shape[0]
                r = r.gather(1, parent.unsqueeze(2).expand(-1, -1, d)) - e[j]
                past = torch.cat([past.gather(1, parent.unsqueeze(2).expand(-1, -1, past.shape[2])), j.unsqueeze(2)], 2)
            codes[i : i + part] = past[:, 0]

    def agreement():
        mine = torch.from_numpy(vq.read(bc, np.zeros((n, levels), np.int32))).to(where)
        return f"{(mine == codes).all(1).float().mean().item():.6f}"

    beside(f"residual encode {n} x {d}, {levels} x {k}, beam {beam}",
           lambda: vq.call("residual_encode", vq.context, c.byref(args), None), theirs if beam == 1 else beams, agreement,
           lambda ms: f"{2 * n * k * d * levels / max(ms, 1e-9) / 1e9:.1f} TFLOP/s", 3)
    vq.free(bx, bc, bq, be, *bb)


def kmeans(n, k, d, iterations, blocks=0):
    x = draw(n, d)
    start = x[:k].copy()
    tx = torch.from_numpy(x).to(where)
    bx, bs, bc, ba = vq.buffer(x), vq.buffer(start), vq.buffer(start), vq.buffer(np.zeros(n, np.int32))
    part = max(1, min(n, (1 << 31) // (4 * k)))
    last = [0.0]
    args = KmeansArgs(n, k, d, iterations, 2, 0.0, 0, 0, 0, None if blocks else bx, None, bs, bc, ba, None, 0.0, 0, 0, None,
                      x.ctypes.data if blocks else None, blocks)

    def theirs():
        e = torch.from_numpy(start).to(where)
        index = torch.empty(n, dtype=torch.int64, device=where)
        for step in range(iterations + 1):
            inertia = 0.0
            for i in range(0, n, part):
                near, index[i : i + part] = torch.cdist(tx[i : i + part], e).min(1)
                inertia = inertia + (near * near).sum()
            if step == iterations:
                break
            sums = torch.zeros(k, d, device=where).index_add_(0, index, tx)
            count = torch.zeros(k, device=where).index_add_(0, index, torch.ones(n, device=where))
            e = torch.where(count.unsqueeze(1) > 0, sums / count.clamp(min=1).unsqueeze(1), e)
        last[0] = float(inertia)

    # Blocks come from host memory once per assignment; PyTorch's rows are on the device all the time.
    beside(f"k-means {n} x {d}, K {k}, {iterations} iterations{f', host rows in blocks of {blocks}' if blocks else ''}", lambda: vq.call("kmeans", vq.context, c.byref(args), None), theirs,
           lambda: f"inertia {args.inertia / last[0]:.5f} of PyTorch's",
           lambda ms: f"{2 * n * k * d * (iterations + 1) / max(ms, 1e-9) / 1e9:.1f} TFLOP/s", 1)
    vq.free(bx, bs, bc, ba)


def estimator(name, n, d):
    z, q, g = (draw(n, d) for _ in range(3))
    tz, tq, tg = (torch.from_numpy(a).to(where) for a in (z, q, g))
    held = [vq.buffer(a) for a in (z, q, g, g)]
    args = EstimatorArgs(n, d, ("ste", "rotation", "projection").index(name), 0, *held)
    out = [None]

    def theirs():
        if name == "projection":
            u = torch.nn.functional.normalize(tq - tz, dim=1)
            out[0] = (u * tg).sum(1, keepdim=True) * u
            return
        nz, nq = tz.norm(dim=1, keepdim=True), tq.norm(dim=1, keepdim=True)
        e, u = tz / nz, tq / nq
        r = torch.nn.functional.normalize(e + u, dim=1)
        out[0] = nq / nz * (tg - 2 * r * (r * tg).sum(1, keepdim=True) + 2 * e * (u * tg).sum(1, keepdim=True))

    def agreement():
        mine = torch.from_numpy(vq.read(held[3], np.zeros((n, d), np.float32))).to(where)
        return f"within {(mine - out[0]).abs().max().item():.1e}"

    beside(f"gradient by {name}, {n} x {d}", lambda: vq.call("estimator_gradient", vq.context, c.byref(args), None), theirs,
           agreement, lambda ms: f"{4 * n * d * 4 / max(ms, 1e-9) / 1e6:.0f} GB/s")
    vq.free(*held)


if not small:
    a = torch.empty(1 << 28, device=where)
    b = torch.empty_like(a)
    b.copy_(a)
    copy = statistics.median(torch_ms(lambda: b.copy_(a)) for _ in range(7))
    m = torch.randn(8192, 8192, device=where, dtype=torch.bfloat16)
    m @ m
    matrix = statistics.median(torch_ms(lambda: m @ m) for _ in range(7))
    matrix_rate = 2 * 8192**3 / matrix / 1e9
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}: copies at {2 * a.nbytes / copy / 1e6:.0f} GB/s, "
          f"bf16 matrix product at {matrix_rate:.0f} TFLOP/s\n")
    del a, b, m
if small:
    nearest(300, 50, 12), nearest(300, 50, 12, 2), ema(300, 20, 6), residual(200, 30, 8, 3), kmeans(300, 8, 5, 4)
    ema(5000, 5, 6, skewed=True), residual(200, 30, 8, 3, beam=3), kmeans(1300, 8, 5, 4, blocks=512)
    estimator("rotation", 50, 12), estimator("projection", 50, 12)
else:
    for route in (0, 1, 2):
        nearest(8192, 1024, 64, route)
        nearest(65536, 256, 64, route)
        nearest(65536, 1024, 64, route)
    for route in (0, 1, 3):
        nearest(1_000_000, 8192, 256, route)
    nearest(1_000_000, 4096, 64)
    nearest(1000, 100_000, 512)
    ema(1_000_000, 1024, 64)
    ema(1_000_000, 8192, 256)
    ema(1_000_000, 1024, 64, skewed=True)
    ema(1_000_000, 8192, 256, skewed=True)
    residual(1_000_000, 1024, 64, 8)
    residual(1_000_000, 256, 64, 8)  # too few codes for the filter: one launch
    residual(100_000, 1024, 64, 8, beam=5)
    kmeans(1_000_000, 4096, 64, 20)
    kmeans(1_000_000, 4096, 64, 20, blocks=1 << 18)
    estimator("rotation", 1_000_000, 64)
    estimator("projection", 1_000_000, 64)
print("| work | ours, ms | PyTorch, ms | ratio | ours | agreement |\n| --- | ---: | ---: | ---: | --- | --- |")
print("\n".join(rows))
print(f"\n{len(rows)} works, {'tiny sizes for their results alone' if small else 'medians of repeated runs'}")
