"""An event file as TensorBoard's own code writes it: events.py [OUT]. Needs numpy and tensorboard.

Writes events.tfevents beside this file: version, start at step 7, two scalars, an image, and a histogram over the buckets of
tensorflow/core/lib/histogram/histogram.cc, at fixed times."""
import sys
from pathlib import Path
import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name('events.tfevents')
PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082'
)


def histogram(values):
    bounds = []
    bound = 1e-12
    while bound < 1e20:
        bounds.append(bound)
        bound *= 1.1
    biggest = np.finfo(np.float64).max
    edges = np.array([-biggest] + [-b for b in reversed(bounds)] + [0.0] + bounds + [biggest])
    counts = np.zeros(len(edges))
    for v in values:
        counts[np.searchsorted(edges, v, side='right')] += 1
    used = np.nonzero(counts)[0]
    part = slice(max(0, used[0] - 1), used[-1] + 1)
    return summary_pb2.HistogramProto(
        min=min(values), max=max(values), num=len(values), sum=sum(values), sum_squares=sum(v * v for v in values),
        bucket_limit=edges[part].tolist(), bucket=counts[part].tolist(),
    )


def summary(step, *values):
    return event_pb2.Event(wall_time=1700000000.25, step=step, summary=summary_pb2.Summary(value=list(values)))


Value = summary_pb2.Summary.Value
image = summary_pb2.Summary.Image(height=1, width=1, colorspace=3, encoded_image_string=PNG)
start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
events = [
    event_pb2.Event(wall_time=1700000000.25, file_version='brain.Event:2'),
    event_pb2.Event(wall_time=1700000000.25, step=7, session_log=start),
    summary(7, Value(tag='loss', simple_value=0.1), Value(tag='größe', simple_value=float('nan'))),
    summary(300, Value(tag='picture', image=image)),
    summary(70000, Value(tag='weights', histo=histogram([-2.0, -0.5, 0.0, 0.25, 0.25, 3.0]))),
]
with open(out, 'wb') as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()
