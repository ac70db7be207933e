"""What the baseline scripts share: shapes, timing and the rows of the table."""

import argparse
import itertools
import os
import statistics
import time

PROJECTIONS = {"QKV 5376->8192": (5376, 8192), "O 4096->5376": (4096, 5376)}
Q_HEADS, KV_HEADS, HEAD_DIM, SCALE = 32, 16, 128, 168**-0.5
# Operands are rotated through copies of this size together, larger than the last-level cache, as
# in a model whose layers follow one another, so that decode reads its weights from memory.
ROTATE_BYTES = 256 << 20
QUIET, ATTEMPTS = 0.2, 2 # cores that others may use beside the ones measured


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each row")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 64, 512])
    parser.add_argument("--prefill", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--context", type=int, nargs="+", default=[1024, 8192, 32768])
    return parser


def copies(nbytes):
    return -(-ROTATE_BYTES // nbytes)


def cpu_seconds_of_others():
    """CPU time that everything but this process has taken, the hypervisor's share included."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(
            int, stat.readline().split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()


def time_calls(calls, seconds):
    """Milliseconds of each timed call, cycling through `calls` after a warm-up."""
    for call in calls[:2]:
        call()
    times, start, cycle = [], time.perf_counter(), itertools.cycle(calls)
    while len(times) < 5 or (time.perf_counter() - start < seconds and len(times) < 500):
        call = next(cycle)
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def measure(what, size, threads, calls, seconds, flops, nbytes, error=None):
    """Times `calls` and prints a row; again, a few times, while other processes are busy."""
    best = None
    for _ in range(ATTEMPTS):
        wall, others = time.perf_counter(), cpu_seconds_of_others()
        times = time_calls(calls, seconds)
        others = (cpu_seconds_of_others() - others) / (time.perf_counter() - wall)
        if best is None or others < best[1]:
            best = times, others
        if others < QUIET + os.cpu_count() - threads:
            break
    times, others = best
    median = statistics.median(times)
    print(f"| {what} | {size} | {threads} | {median:.2f} | {min(times):.2f} | {len(times)} "
          f"| {flops / median / 1e6:.0f} | {nbytes / median / 1e6:.1f} "
          f"| {'' if error is None else f'{error:.1e}'} | {max(others, 0):.0%} |", flush=True)


def header(version):
    print(version, "\n")
    print("| what | size | threads | median ms | min ms | runs | GFLOP/s | GB/s | rel. error "
          "| others' CPU |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
