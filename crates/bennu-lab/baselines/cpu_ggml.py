"""CPU baselines with ggml (llama.cpp's tensor library) through ctypes.

Measures mat-mul with Q8_0 / Q4_0 / F16 / BF16 weights and f32 activations, and flash attention,
in the shapes of Gemma 3 27B. Prints a Markdown table. See README.md for building the libraries.
"""

import ctypes as C
import itertools
import pathlib

import numpy as np

from common import (HEAD_DIM, KV_HEADS, PROJECTIONS, Q_HEADS, SCALE, arguments, copies, header,
                    measure)

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}


class InitParams(C.Structure):
    _fields_ = [("mem_size", C.c_size_t), ("mem_buffer", C.c_void_p), ("no_alloc", C.c_bool)]


class Ggml:
    """The few functions used, with their signatures; the rest is looked up by name."""

    def __init__(self, directory):
        libs = [C.CDLL(str(pathlib.Path(directory) / f"libggml{n}.so"), C.RTLD_GLOBAL)
                for n in ("-base", "-cpu")]
        p, i, n, f = C.c_void_p, C.c_int, C.c_int64, C.c_float
        signatures = {
            "ggml_version": (C.c_char_p,),
            "ggml_init": (p, InitParams),
            "ggml_free": (None, p),
            "ggml_nbytes": (C.c_size_t, p),
            "ggml_new_tensor_2d": (p, p, i, n, n),
            "ggml_new_tensor_3d": (p, p, i, n, n, n),
            "ggml_mul_mat": (p, p, p, p),
            "ggml_flash_attn_ext": (p, p, p, p, p, p, f, f, f),
            "ggml_new_graph": (p, p),
            "ggml_build_forward_expand": (None, p, p),
            "ggml_quantize_chunk": (C.c_size_t, i, p, p, n, n, n, p),
            "ggml_backend_cpu_init": (p,),
            "ggml_backend_cpu_set_n_threads": (None, p, i),
            "ggml_backend_cpu_buffer_type": (p,),
            "ggml_backend_alloc_ctx_tensors": (p, p, p),
            "ggml_backend_alloc_ctx_tensors_from_buft": (p, p, p),
            "ggml_backend_buffer_free": (None, p),
            "ggml_backend_tensor_set": (None, p, p, C.c_size_t, C.c_size_t),
            "ggml_backend_tensor_get": (None, p, p, C.c_size_t, C.c_size_t),
            "ggml_backend_graph_compute": (i, p, p),
        }
        for name, (result, *arguments) in signatures.items():
            f = next((getattr(lib, name) for lib in libs if hasattr(lib, name)), None)
            if f is not None:
                f.restype, f.argtypes = result, arguments
                setattr(self, name[5:], f)
        repack = libs[1]._Z35ggml_backend_cpu_repack_buffer_typev # C++ linkage
        repack.restype = p
        self.backend_cpu_repack_buffer_type = repack
        self.backend = self.backend_cpu_init()

    def context(self):
        return self.init(InitParams(64 << 20, None, True))

    def fill(self, tensor, data, kind):
        """Sets a tensor from float32 `data`, converted to `kind`."""
        data = np.ascontiguousarray(data, np.float32)
        out = np.empty(self.nbytes(tensor), np.uint8)
        rows = data.size // data.shape[-1]
        self.quantize_chunk(TYPES[kind], data.ctypes.data, out.ctypes.data, 0, rows,
                            data.shape[-1], None)
        self.backend_tensor_set(tensor, out.ctypes.data, 0, out.nbytes)

    def get(self, tensor, shape):
        out = np.empty(shape, np.float32)
        self.backend_tensor_get(tensor, out.ctypes.data, 0, out.nbytes)
        return out

    def graph(self, context, result):
        graph = self.new_graph(context)
        self.build_forward_expand(graph, result)
        return graph


def mul_mat(g, args, shape, kind, repack=False):
    n_in, n_out = PROJECTIONS[shape]
    rng = np.random.default_rng(0)
    w = rng.standard_normal((n_out, n_in), np.float32) * n_in**-0.5
    weights = g.context()
    first = g.new_tensor_2d(weights, TYPES[kind], n_in, n_out)
    nbytes = g.nbytes(first)
    tensors = [first] + [g.new_tensor_2d(weights, TYPES[kind], n_in, n_out)
                         for _ in range(copies(nbytes) - 1)]
    where = g.backend_cpu_repack_buffer_type() if repack else g.backend_cpu_buffer_type()
    weight_buffer = g.backend_alloc_ctx_tensors_from_buft(weights, where)
    for tensor in tensors:
        g.fill(tensor, w, kind)
    for s in args.sizes:
        x = rng.standard_normal((s, n_in), np.float32)
        context = g.context()
        xt = g.new_tensor_2d(context, TYPES["F32"], n_in, s)
        results = [g.mul_mat(context, t, xt) for t in tensors]
        graphs = [g.graph(context, r) for r in results]
        buffer = g.backend_alloc_ctx_tensors(context, g.backend)
        g.fill(xt, x, "F32")
        calls = [lambda gr=gr: g.backend_graph_compute(g.backend, gr) for gr in graphs]
        calls[0]()
        want = x @ w.T
        error = np.linalg.norm(g.get(results[0], want.shape) - want) / np.linalg.norm(want)
        for n in args.threads:
            g.backend_cpu_set_n_threads(g.backend, n)
            measure(f"{shape}, {kind}{' repacked' if repack else ''}", f"S={s}", n, calls,
                    args.seconds, 2 * s * w.size, nbytes, error)
        g.backend_buffer_free(buffer)
        g.free(context)
    g.backend_buffer_free(weight_buffer)
    g.free(weights)


def flash_attention(g, args, kind, s_q, s_kv):
    """Causal prefill (s_q == s_kv) or one query over a whole context."""
    rng = np.random.default_rng(0)
    context = g.context()
    data = {"q": (Q_HEADS, s_q), "k": (KV_HEADS, s_kv), "v": (KV_HEADS, s_kv)}
    data = {n: rng.standard_normal((*s, HEAD_DIM), np.float32) for n, s in data.items()}
    qt = g.new_tensor_3d(context, TYPES["F32"], HEAD_DIM, s_q, Q_HEADS)
    new_kv = lambda: g.new_tensor_3d(context, TYPES[kind], HEAD_DIM, s_kv, KV_HEADS)
    pairs = [(new_kv(), new_kv())]
    nbytes = 2 * g.nbytes(pairs[0][0])
    if s_q == 1:
        pairs += [(new_kv(), new_kv()) for _ in range(copies(nbytes) - 1)]
    mask = g.new_tensor_2d(context, TYPES["F16"], s_kv, s_q) if s_q > 1 else None
    results = [g.flash_attn_ext(context, qt, k, v, mask, SCALE, 0, 0) for k, v in pairs]
    graphs = [g.graph(context, r) for r in results]
    buffer = g.backend_alloc_ctx_tensors(context, g.backend)
    g.fill(qt, data["q"], "F32")
    for k, v in pairs:
        g.fill(k, data["k"], kind)
        g.fill(v, data["v"], kind)
    causal = np.triu(np.full((s_q, s_kv), -np.inf, np.float32), 1)
    if mask:
        g.fill(mask, causal, "F16")
    calls = [lambda gr=gr: g.backend_graph_compute(g.backend, gr) for gr in graphs]
    calls[0]()
    head = Q_HEADS - 1
    logits = data["q"][head] @ data["k"][-1].T * SCALE + (causal if mask else 0)
    p = np.exp(logits - logits.max(1, keepdims=True))
    want = p @ data["v"][-1] / p.sum(1, keepdims=True)
    got = g.get(results[0], (s_q, Q_HEADS, HEAD_DIM))[:, head]
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    pairs_seen = s_q * (s_q + 1) // 2 if mask else s_kv
    for n in args.threads:
        g.backend_cpu_set_n_threads(g.backend, n)
        measure(f"{'prefill' if mask else 'decode'} KV {kind}",
                f"S={s_q}" if mask else f"context {s_kv}", n, calls, args.seconds,
                4 * Q_HEADS * HEAD_DIM * pairs_seen, nbytes, error)
    g.backend_buffer_free(buffer)
    g.free(context)


def main():
    parser = arguments(__doc__)
    parser.add_argument("lib", help="directory of libggml-base.so and libggml-cpu.so")
    parser.add_argument("what", nargs="*", default=["projections", "attention"])
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0", "BF16"])
    args = parser.parse_args()
    g = Ggml(args.lib)
    header(f"ggml {g.version().decode()}")
    if "projections" in args.what:
        for shape, kind in itertools.product(PROJECTIONS, args.types):
            # Repacking for x86 exists for Q4_0, not for Q8_0.
            mul_mat(g, args, shape, kind, repack=kind == "Q4_0")
    if "attention" in args.what:
        for kind in ("F16", "BF16", "Q8_0"):
            for s in args.prefill:
                flash_attention(g, args, kind, s, s)
            for s in args.context:
                flash_attention(g, args, kind, 1, s)


if __name__ == "__main__":
    main()
