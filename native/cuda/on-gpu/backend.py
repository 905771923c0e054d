"""vq/backend.h for Python's ctypes: what the timings need of it."""
import ctypes as c

VERSION = 3


class Memory(c.Structure):
    _fields_ = [(n, c.c_uint64) for n in ("total", "free", "in_use", "peak", "buffers")]


class NearestArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("k", c.c_int64), ("dim", c.c_int64), ("metric", c.c_int32), ("route", c.c_int32),
                ("x", c.c_void_p), ("codebook", c.c_void_p), ("indices", c.c_void_p), ("distances", c.c_void_p),
                ("host_x", c.c_void_p), ("host_indices", c.c_void_p), ("host_distances", c.c_void_p), ("block_rows", c.c_int64)]


class EmaArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("k", c.c_int64), ("dim", c.c_int64), ("decay", c.c_double), ("epsilon", c.c_double)] + [
        (n, c.c_void_p) for n in ("x", "indices", "codebook", "counts", "sums", "codebook_out", "counts_out", "sums_out")]


class ResidualArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("dim", c.c_int64), ("levels", c.c_int32), ("beam", c.c_int32), ("x", c.c_void_p),
                ("codebooks", c.POINTER(c.c_void_p)), ("sizes", c.POINTER(c.c_int64))] + [
        (n, c.c_void_p) for n in ("codes", "quantized", "errors", "level_errors", "host_x", "host_codes", "host_quantized",
                                  "host_errors", "host_level_errors")] + [("block_rows", c.c_int64)]


class KmeansArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("k", c.c_int64), ("dim", c.c_int64), ("iterations", c.c_int32), ("init", c.c_int32),
                ("tolerance", c.c_double), ("seed", c.c_uint64), ("spherical", c.c_int32), ("reserved", c.c_int32)] + [
        (n, c.c_void_p) for n in ("x", "weights", "start", "centroids", "assignments", "progress")] + [
        ("inertia", c.c_double), ("converged", c.c_int32), ("history_size", c.c_int32), ("history", c.c_void_p),
        ("host_x", c.c_void_p), ("block_rows", c.c_int64)]


class EstimatorArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("dim", c.c_int64), ("estimator", c.c_int32), ("reserved", c.c_int32)] + [
        (n, c.c_void_p) for n in ("z", "q", "g", "out")]


class FsqArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("dim", c.c_int64), ("bound", c.c_int32), ("reserved", c.c_int32),
                ("levels", c.POINTER(c.c_int32))] + [(n, c.c_void_p) for n in ("z", "indices", "quantized", "bounded")]


class FsqGradientArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("dim", c.c_int64), ("bound", c.c_int32), ("reserved", c.c_int32),
                ("levels", c.POINTER(c.c_int32))] + [(n, c.c_void_p) for n in ("z", "g", "out")]


class LfqArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("bits", c.c_int64), ("scale", c.c_float), ("reserved", c.c_int32)] + [
        (n, c.c_void_p) for n in ("z", "indices", "quantized")]


class LfqEntropyArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("bits", c.c_int64), ("group", c.c_int64), ("kappa", c.c_float), ("reserved", c.c_int32)] + [
        (n, c.c_void_p) for n in ("z", "entropy", "diversity", "table")]


class LfqEntropyGradientArgs(c.Structure):
    _fields_ = [("n", c.c_int64), ("bits", c.c_int64), ("group", c.c_int64), ("kappa", c.c_float), ("by_entropy", c.c_float),
                ("by_diversity", c.c_float), ("reserved", c.c_int32)] + [(n, c.c_void_p) for n in ("z", "table", "out")]


class Table(c.Structure):
    _fields_ = [("version", c.c_uint32), ("size", c.c_uint32), ("name", c.c_char_p)] + [(n, c.c_void_p) for n in (
        "last_error", "device_count", "device_info", "context_create", "context_destroy", "memory", "buffer_create",
        "buffer_destroy", "buffer_bytes", "upload", "download", "copy", "stream_create", "stream_destroy",
        "stream_synchronize", "event_create", "event_destroy", "event_record", "event_elapsed", "nearest", "ema_update",
        "residual_encode", "kmeans", "estimator_gradient", "replace_rows", "run", "fsq_encode", "fsq_gradient", "fsq_decode",
        "lfq_encode", "lfq_decode", "lfq_entropy", "lfq_entropy_gradient")]


class Backend:
    """A device library and its first device. Failures raise RuntimeError with the library's words."""

    def __init__(self, path):
        library = c.CDLL(path)
        library.vq_backend_open.restype = c.POINTER(Table)
        table = library.vq_backend_open(c.c_uint32(VERSION))
        if not table or table.contents.size != c.sizeof(Table):
            raise RuntimeError(f"{path} has another interface than version {VERSION}")
        self.table = table.contents
        self.context = c.c_void_p()
        self.call("context_create", c.c_int32(0), c.byref(self.context))

    def call(self, name, *arguments):
        function = c.CFUNCTYPE(c.c_int)(getattr(self.table, name))
        if function(*arguments) != 0:
            last = c.CFUNCTYPE(c.c_char_p)(self.table.last_error)
            raise RuntimeError(f"{name}: {last().decode()}")

    def buffer(self, values):
        """Device memory with the bytes of a contiguous tensor of the CPU."""
        out = c.c_void_p()
        self.call("buffer_create", self.context, c.c_uint64(values.nbytes), c.byref(out))
        self.call("upload", out, c.c_uint64(0), c.c_void_p(values.data_ptr()), c.c_uint64(values.nbytes), None)
        return out

    def read(self, buffer, into):
        self.call("download", buffer, c.c_uint64(0), c.c_void_p(into.data_ptr()), c.c_uint64(into.nbytes), None)
        return into

    def free(self, *buffers):
        for b in buffers:
            c.CFUNCTYPE(None, c.c_void_p)(self.table.buffer_destroy)(b)

    def event(self):
        out = c.c_void_p()
        self.call("event_create", self.context, c.byref(out))
        return out

    def milliseconds(self, f):
        """The device's time from before f's first kernel to after its last, by events on the library's stream."""
        first, last, out = self.event(), self.event(), c.c_float()
        self.call("event_record", first, None)
        f()
        self.call("event_record", last, None)
        self.call("event_elapsed", first, last, c.byref(out))
        return out.value
