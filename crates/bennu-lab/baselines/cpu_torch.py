"""CPU baselines with PyTorch: Gemma 3 27B projections, attention and memory bandwidth.

Prints a Markdown table.
"""

import itertools

import torch
import torch.nn.functional as F

from common import (HEAD_DIM, KV_HEADS, PROJECTIONS, Q_HEADS, SCALE, arguments, copies, header,
                    measure)

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


def linear_plain(dtype):
    """`F.linear`, weights as a model holds them."""

    def prepare(x, w):
        x, w = x.to(dtype), w.to(dtype)
        return lambda w=w.clone(): F.linear(x, w)

    return prepare, dtype.itemsize


def linear_bf16_prepacked(x, w):
    """oneDNN bf16 linear, weights reordered once for this batch size (as torch.compile does)."""
    x = x.bfloat16()
    packed = torch.ops.mkldnn._reorder_linear_weight(w.bfloat16(), x.shape[0])
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def quantize_rows(w):
    scale = w.abs().amax(1) / 127
    return (w / scale[:, None]).round().to(torch.int8), scale


def linear_int8_dynamic(x, w):
    """W8A8: per-channel int8 weights, activations quantised per call (the "x86" engine)."""
    q, scale = quantize_rows(w)
    zero = torch.zeros(len(scale), dtype=torch.int64)
    weight = torch._make_per_channel_quantized_tensor(q, scale.double(), zero, 0)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    return lambda: torch.ops.quantized.linear_dynamic(x, packed, True)


def linear_int8_weight_only(x, w):
    """W8A16: int8 weights with a scale per channel, bf16 activations."""
    q, scale = quantize_rows(w)
    x, scale = x.bfloat16(), scale.bfloat16()
    return lambda: torch._weight_int8pack_mm(x, q, scale)


def linear_int_mm(x, w):
    """W8A8: rows of activations quantised per call, `torch._int_mm`, then both scales."""
    q, scale = quantize_rows(w)
    qt = q.t()

    def call():
        xq, x_scale = quantize_rows(x)
        return torch._int_mm(xq, qt) * x_scale[:, None] * scale

    return call


def projections(threads, seconds, sizes):
    kinds = {
        "f32 F.linear": linear_plain(torch.float32),
        "bf16 F.linear": linear_plain(torch.bfloat16),
        "bf16 oneDNN prepacked": (linear_bf16_prepacked, 2),
        "int8 dynamic (W8A8)": (linear_int8_dynamic, 1),
        "int8 weight-only (W8A16)": (linear_int8_weight_only, 1),
        "int8 _int_mm (W8A8)": (linear_int_mm, 1),
    }
    for (shape, (n_in, n_out)), (kind, (prepare, bytes_each)) in itertools.product(
        PROJECTIONS.items(), kinds.items()
    ):
        w = torch.randn(n_out, n_in) * n_in**-0.5
        for s in sizes:
            x = torch.randn(s, n_in)
            nbytes = w.numel() * bytes_each
            try:
                calls = [prepare(x, w) for _ in range(copies(nbytes) if s < 64 else 1)]
                want = F.linear(x, w)
                error = ((calls[0]().float() - want).norm() / want.norm()).item()
                for n in threads:
                    torch.set_num_threads(n)
                    measure(f"{shape}, {kind}", f"S={s}", n, calls, seconds,
                            2 * s * w.numel(), nbytes, error)
            except (RuntimeError, NotImplementedError) as e:
                print(f"| {shape}, {kind} | S={s} | | unsupported: {str(e).splitlines()[0]} |")


def attention(threads, seconds, prefill, context):
    for name, dtype in DTYPES.items():
        make = lambda heads, s: torch.randn(1, heads, s, HEAD_DIM).to(dtype)
        for s in prefill:
            q, k, v = make(Q_HEADS, s), make(KV_HEADS, s), make(KV_HEADS, s)
            k2, v2 = (t.repeat_interleave(Q_HEADS // KV_HEADS, 1) for t in (k, v))
            variants = {
                "enable_gqa": lambda: F.scaled_dot_product_attention(
                    q, k, v, is_causal=True, scale=SCALE, enable_gqa=True),
                "KV repeated beforehand": lambda: F.scaled_dot_product_attention(
                    q, k2, v2, is_causal=True, scale=SCALE),
            }
            for (variant, call), n in itertools.product(variants.items(), threads):
                torch.set_num_threads(n)
                measure(f"prefill {name}, {variant}", f"S={s}", n, [call], seconds,
                        2 * Q_HEADS * s * (s + 1) * HEAD_DIM, 2 * (q.nbytes + k.nbytes))
        for s in context:
            nbytes = 2 * KV_HEADS * s * HEAD_DIM * dtype.itemsize
            kv = [(make(KV_HEADS, s), make(KV_HEADS, s)) for _ in range(copies(nbytes))]
            q = make(Q_HEADS, 1)
            group = q.view(1, KV_HEADS, Q_HEADS // KV_HEADS, HEAD_DIM)
            variants = {
                "enable_gqa": lambda k, v: F.scaled_dot_product_attention(
                    q, k, v, scale=SCALE, enable_gqa=True),
                "heads of a group as rows": lambda k, v: F.scaled_dot_product_attention(
                    group, k, v, scale=SCALE),
                "two matmuls and softmax": lambda k, v: torch.softmax(
                    group @ k.transpose(-1, -2) * SCALE, -1) @ v,
            }
            for (variant, f), n in itertools.product(variants.items(), threads):
                torch.set_num_threads(n)
                calls = [lambda f=f, k=k, v=v: f(k, v) for k, v in kv]
                measure(f"decode {name}, {variant}", f"context {s}", n, calls, seconds,
                        4 * Q_HEADS * s * HEAD_DIM, nbytes)


def bandwidth(threads, seconds):
    a, b = torch.ones(1 << 28), torch.zeros(1 << 28)
    for n in threads:
        torch.set_num_threads(n)
        measure("read (sum)", "1 GiB", n, [a.sum], seconds, 0, a.nbytes)
        measure("copy (read + write)", "1 GiB", n, [lambda: b.copy_(a)], seconds, 0, 2 * a.nbytes)


def main():
    parser = arguments(__doc__)
    parser.add_argument("what", nargs="*", default=["bandwidth", "projections", "attention"])
    args = parser.parse_args()
    header(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    torch.manual_seed(0)
    with torch.inference_mode():
        if "bandwidth" in args.what:
            bandwidth(args.threads, args.seconds)
        if "projections" in args.what:
            projections(args.threads, args.seconds, args.sizes)
        if "attention" in args.what:
            attention(args.threads, args.seconds, args.prefill, args.context)


if __name__ == "__main__":
    main()
