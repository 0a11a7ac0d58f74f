"""Products by the blocks of each irrep, between the transforms of orbits.

Coordinates are kept as (t, batch, c) for the t coordinates of each of c orbits. Adapted ones are
ordered (irrep, copy, δ, q), so that each product takes consecutive ones, whole.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.sides import Side
from equibasis.symmetry.coordinates import Coordinates


class IrrepProducts(ExactBuffers):
    """x -> W x for W in Hom_G(X, Y), block diagonal by Schur's lemma.

    Parameters
    ----------
    coordinates
        Of Hom_G(X, Y).
    factors
        What the samples of each pair of kinds of orbits are multiplied by, (r,) each; empty where
        they are taken as they are.
    """

    def __init__(self, coordinates: Coordinates, factors: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.source, self.target = Side(coordinates.input), Side(coordinates.output)
        self.samples = coordinates.sample_shapes()
        for number, part in enumerate(coordinates.input):
            rows = _by_copies(coordinates.irreps, part.copies)
            self.register_exact(f"input{number}", part.transform[rows])
        for number, part in enumerate(coordinates.output):
            rows = _by_copies(coordinates.irreps, part.copies)
            self.register_exact(f"output{number}", part.transform[:, rows])
        self.copies_alike = _copies_alike(coordinates)
        terms: list[list[_Term]] = []
        pairs = itertools.product(range(len(coordinates.output)), range(len(coordinates.input)))
        for number, (b, a) in enumerate(pairs):
            transform, of_pair = _terms(coordinates, b, a)
            if len(factors):
                transform = transform * factors[number]
            self.register_exact(f"pair{number}", transform)
            terms.append(of_pair)
        self.terms = [_merged(of_pair) for of_pair in _with_firsts(terms)]
        every = [term for of_pair in self.terms for term in of_pair]
        self.idle_in = _idle(self.source, [(term.source, term.inputs) for term in every])
        self.idle_out = _idle(self.target, [(term.target, term.outputs) for term in every])

    # --- weights --------------------------------------------------------------------------------

    def weights(self, entries: Tensor) -> tuple[Tensor, ...]:
        """For each pair of kinds all its matrices, from the sampled entries of W.

        Each (matrices, orbits of Y, orbits of X), a view with orbits of Y outermost in memory.
        """
        sizes = [math.prod(shape) for shape in self.samples]
        parts = [entries] if len(sizes) == 1 else entries.split(sizes)
        found = []
        for number, (part, shape) in enumerate(zip(parts, self.samples, strict=True)):
            matrix = self.cast(f"pair{number}", part).expand(shape[0], -1, -1)
            found.append(torch.bmm(matrix, part.view(shape)).transpose(0, 1))
        return tuple(found)

    def entries(self, weights: Sequence[Tensor]) -> Tensor:
        """The adjoint of `weights`."""
        found = []
        for number, (weight, (there, _, _)) in enumerate(zip(weights, self.samples, strict=True)):
            matrix = self.cast(f"pair{number}", weight).t().expand(there, -1, -1)
            found.append(torch.bmm(matrix, weight.transpose(0, 1)).flatten())
        return torch.cat(found)

    # --- products -------------------------------------------------------------------------------

    def by_blocks(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """(batch, m) -> (batch, k) by plain operations, which torch can trace and differentiate."""
        inputs = self._adapted(x)
        rows: list[list[Tensor]] = [
            list(inputs[0].new_zeros(shape[0], len(x), shape[1]).unbind())
            for shape in self.target.shapes
        ]
        for weight, terms in zip(weights, self.terms, strict=True):
            for term in terms:
                part = term.of_inputs(inputs)
                y = term.applied(part, weight[term.weights].to(part.dtype))
                flat = y.reshape(-1, len(x), y.shape[2])
                of_target = rows[term.target]
                for row, piece in enumerate(flat.unbind(), term.outputs.start):
                    of_target[row] = of_target[row] + piece
        return self._restored([torch.stack(of_kind) for of_kind in rows])

    def multiply(
        self, x: Tensor, weights: Sequence[Tensor], add: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """W x, and the adapted coordinates of x; without gradients, each product at its place.

        What is to be added is, to the adapted coordinates of y, where all orbits are of one kind.
        """
        inputs = self._adapted(x, direct=True)
        outputs = [x.new_empty(t, x.shape[0], c) for t, c in self.target.shapes]
        for kind, row in self.idle_out:
            outputs[kind][row].zero_()
        for weight, terms in zip(weights, self.terms, strict=True):
            for term in terms:
                x_, y_ = term.of_inputs(inputs), term.of_outputs(outputs)
                term.multiply(x_, weight[term.weights], y_)
        if add is not None:
            add(outputs[0])
        return self._restored(outputs, direct=True), inputs

    def adapted_vector(self, y: np.ndarray) -> np.ndarray:
        """The adapted coordinates (t, c) of a vector y (k,) whose orbits are all of one kind."""
        return np.linalg.solve(self.exact("output0"), self.target.by_orbits(y, 0))

    def adapted_gradient(self, gradient: Tensor) -> list[Tensor]:
        """The gradient of y -> that of its adapted coordinates."""
        return self._adapted(gradient, adjoint=True, direct=True)

    def gradients(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        *,
        of_x: bool,
        of_weights: bool,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """From `adapted_gradient`, those of x and of the weights, where they are asked for."""
        found = [weight.new_empty(weight.shape) if of_weights else weight for weight in weights]
        of_inputs = [torch.empty_like(part) for part in inputs] if of_x else []
        for kind, row in self.idle_in if of_x else ():
            of_inputs[kind][row].zero_()
        for weight, into, terms in zip(weights, found, self.terms, strict=True):
            for term in terms:
                y = term.of_outputs(outputs)
                if of_weights:
                    term.weight_gradient(term.of_inputs(inputs), y, into[term.weights])
                if of_x:
                    term.input_gradient(y, weight[term.weights], term.of_inputs(of_inputs))
        of_x_ = self._restored(of_inputs, adjoint=True, direct=True) if of_x else None
        return of_x_, found if of_weights else []

    def _adapted(self, x: Tensor, *, adjoint: bool = False, direct: bool = False) -> list[Tensor]:
        """Adapted coordinates of x; of gradients of y for the ``adjoint``."""
        side, name = (self.target, "output") if adjoint else (self.source, "input")
        return [
            _transformed(self._to(name, number, adjoint, x), part)
            for number, part in enumerate(side.lifted(x, direct=direct))
        ]

    def _restored(self, y: list[Tensor], *, adjoint: bool = False, direct: bool = False) -> Tensor:
        """y from its adapted coordinates; gradients of x for the ``adjoint``."""
        side, name = (self.source, "input") if adjoint else (self.target, "output")
        parts = [
            _transformed(self._to(name, number, adjoint, part), part)
            for number, part in enumerate(y)
        ]
        return side.dropped(parts, direct=direct)

    def _to(self, name: str, number: int, transposed: bool, like: Tensor) -> Tensor:
        matrix = self.cast(f"{name}{number}", like)
        return matrix.t() if transposed else matrix


# --- terms --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term(abc.ABC):
    """Some rows of some blocks: y[o] += U[i, o] x[i], for q vectors each.

    Rows of x and y are taken as (rows, q batch, c).

    Attributes
    ----------
    source, target
        The kinds of orbits of x and y.
    inputs, outputs
        Which of their coordinates.
    weights
        Which matrices of U, (orbits of Y, orbits of X) each.
    q
        How many vectors share a matrix.
    first_in, first_out
        Whether no term before reads these coordinates of x, or adds to these of y.
    """

    source: int
    target: int
    inputs: slice
    outputs: slice
    weights: slice
    q: int
    first_in: bool = True
    first_out: bool = True

    def of_inputs(self, x: Sequence[Tensor]) -> Tensor:
        """Its rows of x."""
        return _rows(x[self.source][self.inputs], self.q)

    def of_outputs(self, y: Sequence[Tensor]) -> Tensor:
        """Its rows of y."""
        return _rows(y[self.target][self.outputs], self.q)

    @abc.abstractmethod
    def applied(self, x: Tensor, u: Tensor) -> Tensor:
        """What it adds to y, by plain operations."""

    @abc.abstractmethod
    def multiply(self, x: Tensor, u: Tensor, y: Tensor) -> None:
        """Set y, or add to it."""

    @abc.abstractmethod
    def weight_gradient(self, x: Tensor, y: Tensor, u: Tensor) -> None:
        """Set the gradient of U from that of y."""

    @abc.abstractmethod
    def input_gradient(self, y: Tensor, u: Tensor, x: Tensor) -> None:
        """Set the gradient of x from that of y, or add to it."""


class _Diagonal(_Term):
    """Irreps that occur once in each: y[k] += U[k] x[k]."""

    def applied(self, x: Tensor, u: Tensor) -> Tensor:
        return x @ u.mT

    def multiply(self, x: Tensor, u: Tensor, y: Tensor) -> None:
        _add_product(x, u.mT, y, first=self.first_out)

    def weight_gradient(self, x: Tensor, y: Tensor, u: Tensor) -> None:
        torch.bmm(y.mT, x, out=u)

    def input_gradient(self, y: Tensor, u: Tensor, x: Tensor) -> None:
        _add_product(y, u, x, first=self.first_in)


class _Full(_Term):
    """An irrep of several rows in x or y: every one with every other, U[i, o]."""

    def applied(self, x: Tensor, u: Tensor) -> Tensor:
        by_inputs = u.unflatten(0, (len(x), -1))
        return (x.unsqueeze(1) @ by_inputs.mT).sum(0)

    def multiply(self, x: Tensor, u: Tensor, y: Tensor) -> None:
        p, first = y.shape[0], self.first_out
        for part, matrices in zip(x.unbind(), u.mT.split(p), strict=True):
            _add_product(part.expand(p, -1, -1), matrices, y, first=first)
            first = False

    def weight_gradient(self, x: Tensor, y: Tensor, u: Tensor) -> None:
        p, transposed = y.shape[0], y.mT
        for part, into in zip(x.unbind(), u.split(p), strict=True):
            torch.bmm(transposed, part.expand(p, -1, -1), out=into)

    def input_gradient(self, y: Tensor, u: Tensor, x: Tensor) -> None:
        s, p, first = x.shape[0], y.shape[0], self.first_in
        for o, part in enumerate(y.unbind()):
            _add_product(part.expand(s, -1, -1), u[o::p], x, first=first)
            first = False


class _Complex(_Term):
    """(A + iB)(x₀ + ix₁) by three products instead of four (Gauss), of A, A + B and B - A."""

    def applied(self, x: Tensor, u: Tensor) -> Tensor:
        both = (x[0] + x[1]) @ u[0].t()
        return torch.stack([both - x[1] @ u[1].t(), both + x[0] @ u[2].t()])

    def multiply(self, x: Tensor, u: Tensor, y: Tensor) -> None:
        a, sum_, difference = u.mT
        both = (x[0] + x[1]) @ a
        _add_multiple(both, -1, x[1], sum_, y[0], first=self.first_out)
        _add_multiple(both, 1, x[0], difference, y[1], first=self.first_out)

    def weight_gradient(self, x: Tensor, y: Tensor, u: Tensor) -> None:
        torch.mm((y[0] + y[1]).t(), x[0] + x[1], out=u[0])
        torch.mm(y[0].neg().t(), x[1], out=u[1])
        torch.mm(y[1].t(), x[0], out=u[2])

    def input_gradient(self, y: Tensor, u: Tensor, x: Tensor) -> None:
        a, sum_, difference = u
        both = (y[0] + y[1]) @ a
        _add_multiple(both, 1, y[1], difference, x[0], first=self.first_in)
        _add_multiple(both, -1, y[0], sum_, x[1], first=self.first_in)


def _rows(x: Tensor, q: int) -> Tensor:
    if q == 1:
        return x
    t, batch, orbits = x.shape
    return x.view(t // q, q * batch, orbits)


def _add_product(a: Tensor, b: Tensor, into: Tensor, *, first: bool) -> None:
    """Into = a b, or += where it is not the first."""
    if first:
        torch.bmm(a, b, out=into)
    else:
        into.baddbmm_(a, b)


def _add_multiple(
    base: Tensor, sign: int, a: Tensor, b: Tensor, into: Tensor, *, first: bool
) -> None:
    """Into = base ± a b, or += where it is not the first."""
    if first:
        torch.addmm(base, a, b, alpha=sign, out=into)
    else:
        into.add_(base).addmm_(a, b, alpha=sign)


def _copies_alike(coordinates: Coordinates) -> bool:
    """Whether the copies of a coefficient, in lifted orbits, have equal gradients.

    They do where their orbits of pairs are of one size: with no copies, or regular orbits.
    """
    if len(coordinates.input) > 1 or len(coordinates.output) > 1:
        return False
    (part,), (target,) = coordinates.input, coordinates.output
    lifted = bool((part.repeats > 1).any() or (target.repeats > 1).any())
    samples = len(coordinates.blocks[0][0].samples)
    return not lifted or samples == len(part.places) == len(target.places)


def _terms(coordinates: Coordinates, b: int, a: int) -> tuple[np.ndarray, list[_Term]]:
    """The terms of one pair of kinds, and the transform that gives their matrices."""
    transform = coordinates.blocks[b][a].transform
    into, out_of = coordinates.output[b].copies.tolist(), coordinates.input[a].copies.tolist()
    rows: list[np.ndarray] = []
    terms: list[_Term] = []
    read = inputs = outputs = 0
    for (q, division), out, source in zip(coordinates.irreps.tolist(), into, out_of, strict=True):
        p, s = out * division, source * division
        block = transform[read : read + p * s].reshape(p, s, transform.shape[1])
        read += p * s
        if division == 2:
            for column, row in itertools.product(range(0, s, 2), range(0, p, 2)):
                real, imaginary = block[row, column], block[row + 1, column]
                first = len(rows)
                rows += [real, real + imaginary, imaginary - real]
                here, there = _slice(inputs + column * q, 2 * q), _slice(outputs + row * q, 2 * q)
                terms.append(_Complex(a, b, here, there, _slice(first, 3), q))
        elif p and s:
            here, there = _slice(inputs, s * q), _slice(outputs, p * q)
            kind = _Diagonal if p == s == 1 else _Full
            terms.append(kind(a, b, here, there, _slice(len(rows), p * s), q))
            rows += list(block.transpose(1, 0, 2).reshape(p * s, -1))
        inputs, outputs = inputs + s * q, outputs + p * q
    return (np.stack(rows) if rows else transform[:0]), terms


def _slice(start: int, count: int) -> slice:
    return slice(start, start + count)


def _with_firsts(terms: list[list[_Term]]) -> list[list[_Term]]:
    """The same, each knowing whether it is the first of all to take its coordinates."""
    inputs: set[tuple[int, int]] = set()
    outputs: set[tuple[int, int]] = set()
    found: list[list[_Term]] = []
    for of_pair in terms:
        found.append([])
        for term in of_pair:
            here, there = (term.source, term.inputs.start), (term.target, term.outputs.start)
            found[-1].append(
                replace(term, first_in=here not in inputs, first_out=there not in outputs)
            )
            inputs.add(here)
            outputs.add(there)
    return found


def _merged(terms: list[_Term]) -> list[_Term]:
    """The same, with diagonal terms that follow one another joined."""
    found: list[_Term] = []
    for term in terms:
        joined = _joined(found[-1], term) if found else None
        if joined is None:
            found.append(term)
        else:
            found[-1] = joined
    return found


def _joined(term: _Term, after: _Term) -> _Term | None:
    """Both in one, if they can be."""
    if not (isinstance(term, _Diagonal) and isinstance(after, _Diagonal)):
        return None
    slices = [(t.inputs, t.outputs, t.weights) for t in (term, after)]
    if any(here.stop != there.start for here, there in zip(*slices, strict=True)):
        return None
    inputs, outputs, weights = (
        slice(here.start, there.stop) for here, there in zip(*slices, strict=True)
    )
    found, other = (
        replace(t, inputs=inputs, outputs=outputs, weights=weights) for t in (term, after)
    )
    return found if found == other else None


def _idle(side: Side, taken: Sequence[tuple[int, slice]]) -> list[tuple[int, int]]:
    """The coordinates, by kind, that no term takes: they are zero."""
    busy = {(kind, row) for kind, rows in taken for row in range(rows.start, rows.stop)}
    return [
        (kind, row)
        for kind, (t, _) in enumerate(side.shapes)
        for row in range(t)
        if (kind, row) not in busy
    ]


def _by_copies(irreps: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Rows (irrep, q, copy, δ) in the order (irrep, copy, δ, q)."""
    rows, start = [], 0
    for (q, division), count in zip(irreps.tolist(), copies.tolist(), strict=True):
        of_irrep = np.arange(q * count * division).reshape(q, count, division)
        rows.append(start + of_irrep.transpose(1, 2, 0).ravel())
        start += of_irrep.size
    return np.concatenate(rows)


def _transformed(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (s, t) for the first axis of x (t, batch, c)."""
    t, batch, orbits = x.shape
    return torch.mm(matrix, x.view(t, batch * orbits)).view(matrix.shape[0], batch, orbits)
