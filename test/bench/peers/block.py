"""Times a block of calls by the rule of ../harness.mjs: the first does not count, unless the rule is not to warm up; the median
of the others does."""
import statistics, time


def time_block(call, rule):
    if rule.get('warm', True):
        call()
    times, start = [], time.perf_counter()
    now = start
    while now - start < rule['enough']:
        call()
        then = time.perf_counter()
        times.append(then - now)
        now = then
        if len(times) >= rule['calls'] and now - start >= rule['seconds']:
            break
    return statistics.median(times)
