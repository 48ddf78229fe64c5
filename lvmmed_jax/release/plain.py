"""Functions without what only jax has: their own gradients, forms for some devices.

`custom_vjp`, `platform_dependent`, `jit`, `remat` and `optimization_barrier` have no
counterpart in ONNX. A function is traced, and its equations are done again one by one:
these five give way to what they compute, convolutions to XLA's own form.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where primitives keep functions
_WRAPPERS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "remat2",
    "checkpoint",
    "remat",
)


def form(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, of arrays, in a plain form; values are the same up to rounding."""

    def plain(*arguments):
        shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in arguments]
        closed, out = jax.make_jaxpr(function, return_shape=True)(*shapes)
        results = _evaluate(closed.jaxpr, closed.consts, arguments)
        return jax.tree.unflatten(jax.tree.structure(out), results)

    return plain


def _evaluate(jaxpr: Any, consts: Any, arguments: Any) -> list[Any]:
    """The values of a program, equation by equation."""
    names = [*jaxpr.constvars, *jaxpr.invars]
    values = dict(zip(names, [*consts, *arguments], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _apply(equation, inputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, inputs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "optimization_barrier":
        return inputs
    if name == "platform_index":
        return [_Branch(params["platforms"])]
    if name == "cond" and isinstance(inputs[0], _Branch):
        branch = params["branches"][inputs[0].default]
        return _evaluate(branch.jaxpr, branch.consts, inputs[1:])
    if name in _WRAPPERS:
        inner = next(params[key] for key in _INNER if key in params)
        consts = getattr(inner, "consts", ())
        return _evaluate(getattr(inner, "jaxpr", inner), consts, inputs)
    if inputs and isinstance(inputs[0], _Branch):  # clamped, converted
        return [inputs[0]]
    outputs = equation.primitive.bind(*inputs, **params)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


class _Branch:
    """The index of the form for a device: that of the default."""

    def __init__(self, platforms):
        self.default = len(platforms) - 1
