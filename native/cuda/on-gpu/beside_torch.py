"""Times the device library beside PyTorch in one process: python3 beside_torch.py libvq_cuda.so [--small]

Medians of repeated runs, CUDA events on both sides, the two alternating. Prints a Markdown table, row by row.
Exit status 77: PyTorch or a GPU is missing, and which. --small runs tiny sizes once and compares results alone: it works on
any device library, with PyTorch on the CPU."""
import ctypes as c
import math
import statistics
import sys

try:
    import torch
except ImportError as missing:
    print(f"no timings: {missing}")
    sys.exit(77)
from backend import (Backend, EmaArgs, EstimatorArgs, FsqArgs, FsqGradientArgs, KmeansArgs, LfqArgs, LfqEntropyArgs,
                     LfqEntropyGradientArgs, NearestArgs, ResidualArgs)

small = "--small" in sys.argv
if not small and not torch.cuda.is_available():
    print(f"no timings: PyTorch {torch.__version__} finds no GPU")
    sys.exit(77)
where = "cpu" if small else "cuda"
vq = Backend(sys.argv[1])
torch.manual_seed(0)
torch.backends.cuda.matmul.allow_tf32 = False
works = 0


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
    global works
    works += 1
    print(f"| {what} | {a:.3f} | {b:.3f} | {b / max(a, 1e-9):.2f} | {work(a)} | {agreement()} |", flush=True)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float32)


def ints(*shape):
    return torch.zeros(*shape, dtype=torch.int32)


def floats(*shape):
    return torch.zeros(*shape, dtype=torch.float32)


# As the library chooses, every score in float32, through the tensor cores, the same by mma alone.
ROUTES = ("", ", in full", ", filtered", ", filtered by mma")
matrix_rate = copy_rate = None  # TFLOP/s, GB/s read and written


def gigabytes(count, ms):
    rate = count / max(ms, 1e-9) / 1e6
    return f"{rate:.0f} GB/s" + (f", {100 * rate / copy_rate:.0f}% of copies," if copy_rate else "")


def nearest(n, k, d, route=0):
    x, e = draw(n, d), draw(k, d)
    tx, te = x.to(where), e.to(where)
    bx, be, bi, bd = vq.buffer(x), vq.buffer(e), vq.buffer(ints(n)), vq.buffer(floats(n))
    args = NearestArgs(n, k, d, 0, route, bx, be, bi, bd)
    part = max(1, min(n, (1 << 31) // (4 * k)))  # PyTorch holds N x K scores: 2 GiB of them at a time
    found = torch.empty(n, dtype=torch.int64, device=where)

    def theirs():
        for i in range(0, n, part):
            found[i : i + part] = torch.cdist(tx[i : i + part], te).argmin(1)

    def agreement():
        mine = vq.read(bi, ints(n))
        return f"{(mine.to(where) == found).float().mean().item():.6f}"

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
    counts = torch.ones(k)
    tx, ti = x.to(where), index.long().to(where)
    te, tc, ts = (a.clone().to(where) for a in (e, counts, e))
    held = [vq.buffer(a) for a in (x, index, e, counts, e, e, counts, e)]
    args = EmaArgs(n, k, d, 0.99, 1e-5, *held)
    out = [None]

    def theirs():
        n_k = torch.zeros(k, device=where).index_add_(0, ti, torch.ones(n, device=where))
        sums = torch.zeros(k, d, device=where).index_add_(0, ti, tx)
        c2, s2 = tc * 0.99 + n_k * 0.01, ts * 0.99 + sums * 0.01
        total = c2.sum()
        out[0] = s2 / ((c2 + 1e-5) / (total + k * 1e-5) * total).unsqueeze(1)

    def agreement():
        mine = vq.read(held[5], floats(k, d)).to(where)
        return f"within {(mine - out[0]).abs().max().item():.1e}"

    beside(f"EMA update {n} x {d}, K {k}{', one code with most rows' if skewed else ''}", lambda: vq.call("ema_update", vq.context, c.byref(args), None), theirs, agreement,
           lambda ms: gigabytes(n * d * 4, ms) + " of rows")
    vq.free(*held)


def residual(n, k, d, levels, beam=1):
    x = draw(n, d)
    books = [draw(k, d) / (level + 1) for level in range(levels)]
    tx, tb = x.to(where), [b.to(where) for b in books]
    bx, bb = vq.buffer(x), [vq.buffer(b) for b in books]
    bc, bq, be = vq.buffer(ints(n, levels)), vq.buffer(floats(n, d)), vq.buffer(floats(n))
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
        mine = vq.read(bc, ints(n, levels)).to(where)
        return f"{(mine == codes).all(1).float().mean().item():.6f}"

    beside(f"residual encode {n} x {d}, {levels} x {k}, beam {beam}",
           lambda: vq.call("residual_encode", vq.context, c.byref(args), None), theirs if beam == 1 else beams, agreement,
           lambda ms: f"{2 * n * k * d * levels / max(ms, 1e-9) / 1e9:.1f} TFLOP/s", 3)
    vq.free(bx, bc, bq, be, *bb)


def kmeans(n, k, d, iterations, blocks=0):
    x = draw(n, d)
    start = x[:k].clone()
    tx = x.to(where)
    bx, bs, bc, ba = vq.buffer(x), vq.buffer(start), vq.buffer(start), vq.buffer(ints(n))
    part = max(1, min(n, (1 << 31) // (4 * k)))
    last = [0.0]
    args = KmeansArgs(n, k, d, iterations, 2, 0.0, 0, 0, 0, None if blocks else bx, None, bs, bc, ba, None, 0.0, 0, 0, None,
                      x.data_ptr() if blocks else None, blocks)

    def theirs():
        e = start.to(where)
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
    tz, tq, tg = (a.to(where) for a in (z, q, g))
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
        mine = vq.read(held[3], floats(n, d)).to(where)
        return f"within {(mine - out[0]).abs().max().item():.1e}"

    beside(f"gradient by {name}, {n} x {d}", lambda: vq.call("estimator_gradient", vq.context, c.byref(args), None), theirs,
           agreement, lambda ms: f"{4 * n * d * 4 / max(ms, 1e-9) / 1e6:.0f} GB/s")
    vq.free(*held)


def fsq(n, levels):
    d = len(levels)
    z, g = draw(n, d), draw(n, d)
    tz, tg = z.to(where), g.to(where)
    bz, bg, bi, bv, bo = (vq.buffer(a) for a in (z, g, ints(n), z, z))
    sizes = (c.c_int32 * d)(*levels)
    args = FsqArgs(n, d, 0, 0, sizes, bz, bi, bv, None)
    back = FsqGradientArgs(n, d, 0, 0, sizes, bz, bg, bo)
    t = torch.tensor(levels, dtype=torch.float64)
    half, offset = (t - 1) * (1 - 1e-3) / 2, torch.where(t % 2 == 0, 0.5, 0.0)
    shift = torch.tan(offset / half)
    half, offset, shift, width = (a.float().to(where) for a in (half, offset, shift, torch.div(t, 2, rounding_mode="floor")))
    basis = torch.tensor([math.prod(levels[:i]) for i in range(d)], dtype=torch.int32, device=where)
    out = [None, None]

    def theirs():
        level = torch.round(torch.tanh(tz + shift) * half - offset)
        out[0] = level / width
        out[1] = ((level + width).int() * basis).sum(1, dtype=torch.int32)

    def gradient():
        out[0] = (1 - torch.tanh(tz + shift).square()) * (half / width) * tg

    def agreement():
        mine = vq.read(bi, ints(n)).to(where)
        return f"{(mine == out[1]).float().mean().item():.6f}"

    def near():
        mine = vq.read(bo, floats(n, d)).to(where)
        return f"within {(mine - out[0]).abs().max().item():.1e}"

    beside(f"FSQ codes and values {n} x {levels}", lambda: vq.call("fsq_encode", vq.context, c.byref(args), None), theirs,
           agreement, lambda ms: f"{(2 * d + 1) * n * 4 / max(ms, 1e-9) / 1e6:.0f} GB/s")
    beside(f"FSQ gradient {n} x {levels}", lambda: vq.call("fsq_gradient", vq.context, c.byref(back), None), gradient, near,
           lambda ms: f"{3 * d * n * 4 / max(ms, 1e-9) / 1e6:.0f} GB/s")
    vq.free(bz, bg, bi, bv, bo)


def lfq(n, bits, kappa=2.0):
    """Codes; then the entropies and their gradient, in PyTorch by the same factors and its matrix product."""
    z = draw(n, bits)
    tz = z.to(where)
    one = floats(1)
    bz, bi, bv, be, bd, bo = (vq.buffer(a) for a in (z, ints(n), z, one, one, z))
    bt = vq.buffer(floats(1 << bits))
    codes = LfqArgs(n, bits, 1.0, 0, bz, bi, bv)
    forward = LfqEntropyArgs(n, bits, bits, kappa, 0, bz, be, bd, bt)
    back = LfqEntropyGradientArgs(n, bits, bits, kappa, 1.0, -1.0, 0, bz, bt, bo)
    places = (1 << torch.arange(bits - 1, -1, -1, device=where)).int()
    high = (bits + 1) // 2
    out = [None] * 4

    def signs():
        bit = tz > 0
        out[0] = (bit.int() * places).sum(1, dtype=torch.int32)
        out[1] = torch.where(bit, 1.0, -1.0)

    def outer(p0, p1):
        p = torch.ones(p0.shape[0], 1, device=where)
        for j in range(p0.shape[1]):
            p = torch.stack([p * p0[:, j : j + 1], p * p1[:, j : j + 1]], 2).flatten(1)
        return p

    def entropies(x):
        a = kappa * x
        p1, p0 = torch.sigmoid(a), torch.sigmoid(-a)
        entropy = (torch.nn.functional.softplus(-a.abs()) + a.abs() * torch.sigmoid(-a.abs())).sum() / n
        mean = outer(p0[:, :high], p1[:, :high]).T @ outer(p0[:, high:], p1[:, high:]) / n
        return entropy, -(mean * mean.clamp(min=1e-38).log()).sum()

    def theirs():
        with torch.no_grad():
            out[2] = entropies(tz)

    def both():
        x = tz.clone().requires_grad_()
        entropy, diversity = entropies(x)
        (entropy - diversity).backward()
        out[3] = x.grad

    def ours():
        vq.call("lfq_entropy", vq.context, c.byref(forward), None)
        vq.call("lfq_entropy_gradient", vq.context, c.byref(back), None)

    def agreement():
        mine = vq.read(bi, ints(n)).to(where)
        return f"{(mine == out[0]).float().mean().item():.6f}"

    def near():
        mine = [float(vq.read(b, floats(1))[0]) for b in (be, bd)]
        return "within " + " and ".join(f"{abs(m - t.item()):.1e}" for m, t in zip(mine, out[2]))

    def slopes():
        mine = vq.read(bo, floats(n, bits)).to(where)
        return f"within {((mine - out[3]).abs().max() / out[3].abs().max()).item():.1e} of the largest"

    beside(f"LFQ codes and values {n} x {bits}", lambda: vq.call("lfq_encode", vq.context, c.byref(codes), None), signs, agreement,
           lambda ms: f"{(2 * bits + 1) * n * 4 / max(ms, 1e-9) / 1e6:.0f} GB/s")
    beside(f"LFQ entropies {n} x {bits}", lambda: vq.call("lfq_entropy", vq.context, c.byref(forward), None), theirs, near,
           lambda ms: f"{2 * n * (1 << bits) / max(ms, 1e-9) / 1e9:.1f} TFLOP/s", 3)
    beside(f"LFQ entropies and gradient {n} x {bits}", ours, both, slopes,
           lambda ms: f"{6 * n * (1 << bits) / max(ms, 1e-9) / 1e9:.1f} TFLOP/s", 3)
    vq.free(bz, bi, bv, be, bd, bo, bt)


if not small:
    a = torch.empty(1 << 28, device=where)
    b = torch.empty_like(a)
    b.copy_(a)
    copy = statistics.median(torch_ms(lambda: b.copy_(a)) for _ in range(7))
    m = torch.randn(8192, 8192, device=where, dtype=torch.bfloat16)
    m @ m
    matrix = statistics.median(torch_ms(lambda: m @ m) for _ in range(7))
    matrix_rate = 2 * 8192**3 / matrix / 1e9
    copy_rate = 2 * a.nbytes / copy / 1e6
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}: copies at {copy_rate:.0f} GB/s, "
          f"bf16 matrix product at {matrix_rate:.0f} TFLOP/s\n")
    del a, b, m
print("| work | ours, ms | PyTorch, ms | ratio | ours | agreement |\n| --- | ---: | ---: | ---: | --- | --- |", flush=True)
if small:
    nearest(300, 50, 12), nearest(300, 50, 12, 2), ema(300, 20, 6), residual(200, 30, 8, 3), kmeans(300, 8, 5, 4)
    ema(5000, 5, 6, skewed=True), residual(200, 30, 8, 3, beam=3), kmeans(1300, 8, 5, 4, blocks=512)
    estimator("rotation", 50, 12), estimator("projection", 50, 12)
    fsq(300, [8, 5, 5, 5]), lfq(300, 10), lfq(300, 1)
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
    fsq(1_000_000, [8, 5, 5, 5])
    fsq(10_000_000, [8, 8, 8, 5, 5, 5])
    lfq(1_000_000, 10)
    lfq(200_000, 14)
    lfq(100_000, 18)
print(f"\n{works} works, {'tiny sizes for their results alone' if small else 'medians of repeated runs'}")
