"""Maps in symmetry-adapted coordinates, where they are block diagonal and cost a fraction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from equibasis.basis import Basis
from equibasis.columns import OrbitColumns
from equibasis.coordinates import LONGEST_ORBIT, Coordinates, Orbits, symmetry_coordinates
from equibasis.errors import ModelError
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.expansion import Adjoint, BasisExpansion, row_factors, snapped
from equibasis.nn.reuse import autocasts, is_plain, without_autocast
from equibasis.nn.samples import FEWEST_SAMPLES, OrbitSamples


class BlockMap(nn.Module):
    """x -> W x for W = √(km/r) Σ cⱼ Wⱼ, by products of the blocks of W alone.

    x is gathered by orbits and passed through their transforms; each irrep V of dimension q δ has
    one block, copies of V in Y by copies of V in X over R, C or H, that q vectors are multiplied
    by; the way back is the same. Where the group is a torus of shifts, the transforms are
    Fourier's.
    Source: Schur's lemma; Bökman et al. (2025), *Flopping for FLOPs*, for image networks.

    Parameters
    ----------
    basis
        Of the maps, Hom_G(X, Y); the coordinates are those of its file, or else found now.

    Raises
    ------
    ModelError
        If there are none, since an orbit is too long, or there are too many kinds of them.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        coordinates = basis.coordinates or symmetry_coordinates(basis.space)
        if coordinates is None:
            raise ModelError(
                f"{basis!r} has no coordinates for mode 'block' (they are for orbits of up to "
                f"{LONGEST_ORBIT} coordinates, and for tori of shifts): use mode='expand'"
            )
        self.in_features = basis.space.m
        rows, factors = coordinates.sampled_rows()
        common: list[np.ndarray] = []
        labels = np.zeros(0)
        if isinstance(basis.columns, OrbitColumns):
            labels = basis.columns.labels[rows]
            if not coordinates.cycles:
                every = row_factors(basis.columns, rows, factors)
                common = _common_factors(coordinates, every)
                factors = (1.0 if factors is None else factors) / _repeated(common, coordinates)
        self.samples: nn.Module = BasisExpansion(basis, rows, factors)
        self.orbits: OrbitSamples | None = None
        counts = coordinates.sample_counts()
        large = len(counts) == 1 and len(rows) >= FEWEST_SAMPLES and _copies_alike(coordinates)
        if isinstance(basis.columns, OrbitColumns) and large and (labels >= 0).all():
            shape = (
                len(coordinates.blocks[0][0].samples),
                *(side[0].places.shape[1] for side in (coordinates.output, coordinates.input)),
            )
            found = snapped(row_factors(basis.columns, rows, factors))
            self.orbits = OrbitSamples(labels.reshape(shape), found.reshape(shape), basis.rank)
        self.blocks = _Fourier(coordinates) if coordinates.cycles else _Irreps(coordinates, common)

    def weights(self, coefficients: Tensor) -> tuple[Tensor, ...]:
        """The blocks, from r coefficients."""
        samples: nn.Module = self.samples
        if self.orbits is not None and is_plain(coefficients):
            samples = self.orbits
        entries: Tensor = samples.forward(coefficients)
        return self.blocks.weights(entries)

    def weight(self, coefficients: Tensor) -> Tensor:
        """W, (k, m)."""
        every = torch.eye(self.in_features, dtype=coefficients.dtype, device=coefficients.device)
        with without_autocast(coefficients.device.type):
            return self.apply_weights(every, self.weights(coefficients), None).t()

    def apply_weights(self, x: Tensor, weights: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
        """(..., m) -> (..., k)."""
        if x.shape[-1] != self.in_features:
            raise RuntimeError(
                f"x has {x.shape[-1]} features, but the layer takes {self.in_features}"
            )
        flat = x.reshape(-1, x.shape[-1])
        y = self.blocks.multiply(flat, weights)
        if bias is not None:
            y = y + bias.to(y.dtype)
        return y.view(*x.shape[:-1], y.shape[-1])


def _copies_alike(coordinates: Coordinates) -> bool:
    """Whether the copies of a coefficient, in lifted orbits, have equal gradients.

    They do where their orbits of pairs are of one size: with no copies, or regular orbits.
    """
    (part,), (target,) = coordinates.input, coordinates.output
    lifted = bool((part.repeats > 1).any() or (target.repeats > 1).any())
    samples = len(coordinates.blocks[0][0].samples)
    return not lifted or samples == len(part.places) == len(target.places)


def _common_factors(coordinates: Coordinates, every: np.ndarray) -> list[np.ndarray]:
    """What coefficients of orbits are multiplied by, for each sample of each block, (r,).

    It is the same for all orbits of a kind but for signs and lifted ones, so that the transforms
    can take it over.
    """
    counts = coordinates.sample_counts()
    starts = itertools.accumulate((r * size for r, size in counts), initial=0)
    found = []
    for start, (r, size) in zip(starts, counts, strict=False):
        first = every[start : start + r * size : max(1, size)]
        found.append(np.where(first == 0, 1.0, first))
    return found


def _repeated(factors: list[np.ndarray], coordinates: Coordinates) -> np.ndarray:
    """A factor a sample -> one for each entry that is sampled."""
    sizes = [size for _, size in coordinates.sample_counts()]
    return np.concatenate([np.repeat(f, size) for f, size in zip(factors, sizes, strict=True)])


# --- orbits -------------------------------------------------------------------------------------


class _Side(ExactBuffers):
    """x (batch, n) <-> its kinds of orbits, each (t, batch, c); short orbits may be lifted.

    Lifting x lists a coordinate as often as its orbit is repeated, over √repeats: an isometry J.
    On its image, which is all that maps of lifted orbits give, Jᵀ picks one of the repeats.
    """

    order: Tensor
    first: Tensor
    lifting: Tensor | None
    dropping: Tensor | None

    def __init__(self, orbits: tuple[Orbits, ...]) -> None:
        super().__init__()
        order = np.concatenate([part.places.ravel() for part in orbits])
        self.shapes = [part.places.shape for part in orbits]
        self.sizes = [part.places.size for part in orbits]
        self.moves = not np.array_equal(order, np.arange(len(order)))
        self.register_exact("order", order.astype(np.int64))
        self.register_exact("first", np.unique(order, return_index=True)[1])
        factors = np.concatenate([part.factors.ravel() for part in orbits])
        scaled = bool((factors != 1).any())
        # Where all places of a coordinate have one factor, it is multiplied before it is repeated.
        of_space = factors[np.unique(order, return_index=True)[1]]
        self.early = bool((of_space[order] == factors).all())
        lifting = of_space if self.early else factors
        self.register_exact("lifting", lifting if scaled else None)
        self.register_exact("dropping", 1 / of_space if scaled else None)

    def lifted(self, x: Tensor) -> list[Tensor]:
        """(batch, n) -> (t, batch, c) by kind; J."""
        x = _with_adjoint(x, self._lift, self._drop)
        parts = [x] if len(self.sizes) == 1 else x.split(self.sizes, dim=1)
        return [
            part.view(len(x), *shape).transpose(0, 1).contiguous()
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def dropped(self, parts: list[Tensor]) -> Tensor:
        """(t, batch, c) by kind -> (batch, n); Jᵀ on the image of J."""
        flat = [
            part.transpose(0, 1).reshape(part.shape[1], size)
            for part, size in zip(parts, self.sizes, strict=True)
        ]
        x = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        return _with_adjoint(x, self._drop, self._lift)

    def _lift(self, x: Tensor) -> Tensor:
        if self.lifting is not None and self.early:
            x = x * self.lifting.to(x.dtype)
        if self.moves:
            x = x.gather(1, self.order.expand(len(x), -1))  # on all cores, unlike index_select
        if self.lifting is not None and not self.early:
            x = x * self.lifting.to(x.dtype)
        return x

    def _drop(self, x: Tensor) -> Tensor:
        if self.moves:
            x = x.gather(1, self.first.expand(len(x), -1))
        return x if self.dropping is None else x * self.dropping.to(x.dtype)


def _with_adjoint(
    x: Tensor, function: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]
) -> Tensor:
    """``function(x)``, gradients staying in the image of J, as `OrbitSamples` needs them."""
    if torch.is_grad_enabled() and is_plain(x):
        found: Tensor = Adjoint.apply(x, function, adjoint)
        return found
    return function(x)


# --- irreps -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term:
    """Some rows of some blocks: y[o] += x[i] Uᵀ for q vectors each, several at once.

    Attributes
    ----------
    source, target
        The kinds of orbits of x and y.
    inputs, outputs
        Where the rows begin, in the coordinates of one orbit.
    weight
        Which matrix of U is the first, (copies of orbits in Y, in X).
    q, count
        How many vectors share a matrix, and how many matrices, one after the other, there are.
    shared
        Whether all matrices take the same rows of x, or each its own.
    complex
        Whether this is a product of complex numbers, whose imaginary parts lie q rows on, by
        matrices A, A + B and B - A: three products instead of four (Gauss).
    first_in, first_out
        Whether no term before reads these rows of x, or adds to these rows of y.
    """

    source: int
    target: int
    inputs: int
    outputs: int
    weight: int
    q: int
    count: int = 1
    shared: bool = False
    complex: bool = False
    first_in: bool = True
    first_out: bool = True

    @property
    def input_rows(self) -> range:
        """The rows of x that this takes."""
        count = 2 if self.complex else 1 if self.shared else self.count
        return range(self.inputs, self.inputs + count * self.q)

    @property
    def output_rows(self) -> range:
        """The rows of y that this adds to."""
        count = 2 if self.complex else self.count
        return range(self.outputs, self.outputs + count * self.q)

    @property
    def matrices(self) -> slice:
        """Where its matrices are."""
        return slice(self.weight, self.weight + (3 if self.complex else self.count))

    def of_inputs(self, x: list[Tensor]) -> Tensor:
        """Its rows of x (t, batch, c): (count, q batch, c); for complex numbers count is 2."""
        return _rows(x[self.source], self.input_rows, self.q)

    def of_outputs(self, y: list[Tensor]) -> Tensor:
        """The same of y."""
        return _rows(y[self.target], self.output_rows, self.q)

    def joined(self, after: _Term) -> _Term | None:
        """The term and the next in one, if they can be."""
        if self.complex or after.weight != self.weight + self.count:
            return None
        steps = self.count * self.q
        alike = replace(after, count=self.count, weight=self.weight)
        shared = replace(alike, outputs=after.outputs - steps, shared=self.shared)
        one_input = self.count == 1 or self.shared
        if one_input and replace(shared, first_in=self.first_in) == self:
            return replace(self, count=self.count + 1, shared=True)
        if not self.shared and replace(shared, inputs=after.inputs - steps) == self:
            return replace(self, count=self.count + 1)
        return None


def _rows(x: Tensor, rows: range, q: int) -> Tensor:
    return x[rows.start : rows.stop].view(len(rows) // q, q * x.shape[1], x.shape[2])


class _Irreps(nn.Module):
    """Transforms of orbits, and products by the blocks of each irrep.

    Coordinates of an orbit are ordered (irrep, copy, δ, q), so that each product takes
    consecutive rows.
    """

    def __init__(self, coordinates: Coordinates, factors: list[np.ndarray]) -> None:
        super().__init__()
        self.source, self.target = _Side(coordinates.input), _Side(coordinates.output)
        self.shapes = [
            (len(block.samples), target.places.shape[1], source.places.shape[1])
            for of_output, target in zip(coordinates.blocks, coordinates.output, strict=True)
            for block, source in zip(of_output, coordinates.input, strict=True)
        ]
        self.transforms = ExactBuffers()
        for number, part in enumerate(coordinates.input):
            rows = _by_copies(coordinates.irreps, part.copies)
            self.transforms.register_exact(f"input{number}", part.transform[rows])
        for number, part in enumerate(coordinates.output):
            rows = _by_copies(coordinates.irreps, part.copies)
            self.transforms.register_exact(f"output{number}", part.transform[:, rows])
        terms: list[list[_Term]] = []
        pairs = itertools.product(range(len(coordinates.output)), range(len(coordinates.input)))
        for number, (b, a) in enumerate(pairs):
            transform, of_pair = _terms(coordinates, b, a)
            if factors:
                transform = transform * factors[number]
            self.transforms.register_exact(f"block{number}", transform)
            terms.append(of_pair)
        self.terms = [_merged(of_pair) for of_pair in _with_firsts(terms)]
        every = [term for of_pair in self.terms for term in of_pair]
        self.idle_in = _idle(self.source, [(term.source, term.input_rows) for term in every])
        self.idle_out = _idle(self.target, [(term.target, term.output_rows) for term in every])

    def weights(self, entries: Tensor) -> tuple[Tensor, ...]:
        """For each pair of kinds, all its matrices: (matrices, orbits of Y, orbits of X)."""
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = [entries] if len(sizes) == 1 else entries.split(sizes)
        found = []
        for number, (part, (r, *orbits)) in enumerate(zip(parts, self.shapes, strict=True)):
            transform = getattr(self.transforms, f"block{number}").to(entries.dtype)
            found.append((transform @ part.view(r, math.prod(orbits))).view(-1, *orbits))
        return tuple(found)

    def multiply(self, x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """(batch, m) -> (batch, k)."""
        plain = is_plain(x) and all(is_plain(weight) for weight in weights)
        if not plain or autocasts(x.device.type) or forward_ad._current_level >= 0:
            return self.by_blocks(x, weights)
        return _Multiply.apply(self, x, *weights)

    def adapted(self, x: Tensor, *, adjoint: bool = False) -> list[Tensor]:
        """Symmetry-adapted coordinates of x; of gradients of y for the ``adjoint``."""
        side, name = (self.target, "output") if adjoint else (self.source, "input")
        return [
            _transformed(self._transform(name, number, adjoint, x), part)
            for number, part in enumerate(side.lifted(x))
        ]

    def restored(self, y: list[Tensor], *, adjoint: bool = False) -> Tensor:
        """y from its symmetry-adapted coordinates; gradients of x for the ``adjoint``."""
        side, name = (self.source, "input") if adjoint else (self.target, "output")
        parts = [
            _transformed(self._transform(name, number, adjoint, part), part)
            for number, part in enumerate(y)
        ]
        return side.dropped(parts)

    def _transform(self, name: str, number: int, transposed: bool, like: Tensor) -> Tensor:
        matrix: Tensor = getattr(self.transforms, f"{name}{number}").to(like.dtype)
        return matrix.t() if transposed else matrix

    def by_blocks(self, x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """`multiply` by plain torch operations, which can be traced, batched and differentiated."""
        inputs = self.adapted(x)
        rows: list[list[Tensor]] = [
            list(inputs[0].new_zeros(shape[0], len(x), shape[1]).unbind())
            for shape in self.target.shapes
        ]
        for weight, terms in zip(weights, self.terms, strict=True):
            for term in terms:
                part = term.of_inputs(inputs)
                matrices = weight[term.matrices].to(part.dtype)
                if term.complex:
                    y = torch.stack(_gauss(part[0], part[1], *matrices.unbind()))
                else:
                    y = part @ matrices.transpose(1, 2)
                flat = y.reshape(len(term.output_rows), len(x), y.shape[2])
                of_target = rows[term.target]
                for row, piece in zip(term.output_rows, flat.unbind(), strict=True):
                    of_target[row] = of_target[row] + piece
        return self.restored([torch.stack(of_kind) for of_kind in rows])


def _gauss(x0: Tensor, x1: Tensor, a: Tensor, sum_: Tensor, difference: Tensor) -> list[Tensor]:
    """(A + iB)(x₀ + ix₁) from A, A + B and B - A."""
    both = (x0 + x1) @ a.t()
    return [both - x1 @ sum_.t(), both + x0 @ difference.t()]


def _by_copies(irreps: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Rows (irrep, q, copy, δ) in the order (irrep, copy, δ, q)."""
    rows, start = [], 0
    for (q, division), count in zip(irreps.tolist(), copies.tolist(), strict=True):
        of_irrep = np.arange(q * count * division).reshape(q, count, division)
        rows.append(start + of_irrep.transpose(1, 2, 0).ravel())
        start += of_irrep.size
    return np.concatenate(rows)


def _terms(coordinates: Coordinates, b: int, a: int) -> tuple[np.ndarray, list[_Term]]:
    """The terms of one pair of kinds, and the transform that gives their matrices."""
    transform = coordinates.blocks[b][a].transform
    into, out_of = coordinates.output[b].copies.tolist(), coordinates.input[a].copies.tolist()
    rows: list[np.ndarray] = []
    terms: list[_Term] = []
    read = inputs = outputs = 0
    for (q, division), out, source in zip(coordinates.irreps.tolist(), into, out_of, strict=True):
        size = out * source * division**2
        matrix = transform[read : read + size].reshape(
            out, division, source, division, transform.shape[1]
        )
        read += size
        width = division * q
        for column, row in itertools.product(range(source), range(out)):
            at = {"inputs": inputs + column * width, "outputs": outputs + row * width, "q": q}
            block = matrix[row, :, column]
            if division == 2:
                real, imaginary = block[0, 0], block[1, 0]
                terms.append(_Term(a, b, weight=len(rows), complex=True, **at))
                rows += [real, real + imaginary, imaginary - real]
                continue
            for i, o in itertools.product(range(division), repeat=2):
                term = _Term(a, b, weight=len(rows), **at)
                terms.append(
                    replace(term, inputs=term.inputs + i * q, outputs=term.outputs + o * q)
                )
                rows.append(block[o, i])
        inputs, outputs = inputs + source * width, outputs + out * width
    return (np.stack(rows) if rows else transform[:0]), terms


def _with_firsts(terms: list[list[_Term]]) -> list[list[_Term]]:
    """The same, each knowing whether it is the first of all to take its rows."""
    inputs: set[tuple[int, int]] = set()
    outputs: set[tuple[int, int]] = set()
    found: list[list[_Term]] = []
    for of_pair in terms:
        found.append([])
        for term in of_pair:
            here, there = (term.source, term.inputs), (term.target, term.outputs)
            found[-1].append(
                replace(term, first_in=here not in inputs, first_out=there not in outputs)
            )
            inputs.add(here)
            outputs.add(there)
    return found


def _idle(side: _Side, taken: list[tuple[int, range]]) -> list[tuple[int, int]]:
    """The rows, by kind, that no term takes: they are zero."""
    busy = {(kind, row) for kind, rows in taken for row in rows}
    return [
        (kind, row)
        for kind, (t, _) in enumerate(side.shapes)
        for row in range(t)
        if (kind, row) not in busy
    ]


def _merged(terms: list[_Term]) -> list[_Term]:
    """Terms that can be done in one joined."""
    found: list[_Term] = []
    for term in terms:
        joined = found[-1].joined(term) if found else None
        if joined is None:
            found.append(term)
        else:
            found[-1] = joined
    return found


def _transformed(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (s, t) for the first axis of x (t, batch, c)."""
    _, batch, orbits = x.shape
    return (matrix @ x.reshape(len(x), batch * orbits)).view(len(matrix), batch, orbits)


class _Multiply(torch.autograd.Function):
    """`_Irreps.by_blocks`, every product written to its place: nothing is joined or split."""

    @staticmethod
    def forward(ctx: Any, irreps: _Irreps, x: Tensor, *weights: Tensor) -> Tensor:
        inputs = irreps.adapted(x)
        outputs = [x.new_empty(t, len(x), c) for t, c in irreps.target.shapes]
        for kind, row in irreps.idle_out:
            outputs[kind][row].zero_()
        for weight, terms in zip(weights, irreps.terms, strict=True):
            for term in terms:
                part, into = term.of_inputs(inputs), term.of_outputs(outputs)
                matrices = weight[term.matrices]
                if term.complex:
                    _gauss_into(into, part, matrices, first=term.first_out)
                else:
                    part = part.expand(term.count, -1, -1)
                    _add_product(into, part, matrices.transpose(1, 2), first=term.first_out)
        ctx.irreps = irreps
        ctx.save_for_backward(x, *weights, *inputs)
        return irreps.restored(outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        irreps: _Irreps = ctx.irreps
        x, *rest = ctx.saved_tensors
        weights, inputs = rest[: len(irreps.terms)], rest[len(irreps.terms) :]
        if torch.is_grad_enabled() or not (is_plain(gradient) and _has_memory(gradient)):
            return None, *_traced_gradients(irreps, gradient, x, *weights)
        with without_autocast(x.device.type):
            return None, *_Multiply._gradients(ctx, gradient, x, weights, inputs)

    @staticmethod
    def _gradients(
        ctx: Any, gradient: Tensor, x: Tensor, weights: list[Tensor], inputs: list[Tensor]
    ) -> list[Tensor | None]:
        irreps: _Irreps = ctx.irreps
        learning = any(ctx.needs_input_grad[2:])
        outputs = irreps.adapted(gradient, adjoint=True)
        of_inputs = [torch.empty_like(part) for part in inputs]
        for kind, row in irreps.idle_in:
            of_inputs[kind][row].zero_()
        of_weights = [torch.empty_like(weight) for weight in weights]
        for weight, of_weight, terms in zip(weights, of_weights, irreps.terms, strict=True):
            for term in terms:
                part, into = term.of_inputs(inputs), term.of_inputs(of_inputs)
                y = term.of_outputs(outputs)
                matrices, results = weight[term.matrices], of_weight[term.matrices]
                if term.complex:
                    _gauss_backward(part, y, matrices, results, into, first=term.first_in)
                    continue
                if learning:
                    torch.bmm(y.transpose(1, 2), part.expand(term.count, -1, -1), out=results)
                if term.shared:
                    _add_sum(into[0], torch.bmm(y, matrices), first=term.first_in)
                else:
                    _add_product(into, y, matrices, first=term.first_in)
        of_x = irreps.restored(of_inputs, adjoint=True) if ctx.needs_input_grad[1] else None
        return [of_x, *(of_weights if learning else [None] * len(weights))]


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is one of its own, not a batch of them as `is_grads_batched` makes it."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


def _traced_gradients(
    irreps: _Irreps, gradient: Tensor, x: Tensor, *weights: Tensor
) -> list[Tensor | None]:
    """The gradients by torch's own rules, which can be differentiated, or batched, themselves."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        y = irreps.by_blocks(x, weights)
    needed = [t for t in (x, *weights) if t.requires_grad]
    if not y.requires_grad:
        return [torch.zeros_like(t) if t.requires_grad else None for t in (x, *weights)]
    found = iter(torch.autograd.grad(y, needed, gradient, create_graph=again, allow_unused=True))
    return [next(found) if t.requires_grad else None for t in (x, *weights)]


def _gauss_into(into: Tensor, x: Tensor, matrices: Tensor, *, first: bool) -> None:
    """`_gauss`, set or added to ``into``."""
    a, sum_, difference = matrices
    both = (x[0] + x[1]) @ a.t()
    for piece, vectors, matrix, sign in (
        (into[0], x[1], sum_, -1),
        (into[1], x[0], difference, 1),
    ):
        if first:
            torch.addmm(both, vectors, matrix.t(), alpha=sign, out=piece)
        else:
            piece.add_(both).addmm_(vectors, matrix.t(), alpha=sign)


def _gauss_backward(
    x: Tensor, y: Tensor, matrices: Tensor, results: Tensor, into: Tensor, *, first: bool
) -> None:
    """Gradients of `_gauss`: those of its matrices to ``results``, those of x added to ``into``."""
    both = y[0] + y[1]
    torch.mm(both.t(), x[0] + x[1], out=results[0])
    torch.mm(y[0].neg().t(), x[1], out=results[1])
    torch.mm(y[1].t(), x[0], out=results[2])
    shared = both @ matrices[0]
    for piece, vectors, matrix, sign in (
        (into[0], y[1], matrices[2], 1),
        (into[1], y[0], matrices[1], -1),
    ):
        if first:
            torch.addmm(shared, vectors, matrix, alpha=sign, out=piece)
        else:
            piece.add_(shared).addmm_(vectors, matrix, alpha=sign)


def _add_sum(into: Tensor, values: Tensor, *, first: bool) -> None:
    if first:
        torch.sum(values, 0, out=into)
    else:
        into.add_(values.sum(0))


def _add_product(into: Tensor, a: Tensor, b: Tensor, *, first: bool) -> None:
    if first:
        torch.bmm(a, b, out=into)
    else:
        into.baddbmm_(a, b)


# --- shifts -------------------------------------------------------------------------------------


class _Fourier(nn.Module):
    """Convolution on a torus: one Fourier transform each way, one product a frequency."""

    def __init__(self, coordinates: Coordinates) -> None:
        super().__init__()
        self.source, self.target = _Side(coordinates.input), _Side(coordinates.output)
        self.cycles = coordinates.cycles
        ((_, self.inputs),), ((_, self.outputs),) = self.source.shapes, self.target.shapes

    def weights(self, entries: Tensor) -> tuple[Tensor]:
        """The spectrum of the kernel, (frequencies, inputs, outputs)."""
        kernel = _fourier_type(entries).view(*self.cycles, self.outputs, self.inputs)
        axes = tuple(range(len(self.cycles)))
        return (torch.fft.rfftn(kernel, dim=axes).flatten(0, axes[-1]).transpose(1, 2),)

    def multiply(self, x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """(batch, m) -> (batch, k)."""
        (kernel,), (part,) = weights, self.source.lifted(x)
        points, batch, _ = part.shape
        axes = tuple(range(len(self.cycles)))
        signal = _fourier_type(part).view(*self.cycles, batch, self.inputs)
        spectrum = torch.fft.rfftn(signal, dim=axes)
        shape = spectrum.shape[: len(axes)]
        flat = spectrum.flatten(0, axes[-1])
        product = flat * kernel if self.inputs == self.outputs == 1 else flat @ kernel
        y = torch.fft.irfftn(product.unflatten(0, shape), s=self.cycles, dim=axes)
        return self.target.dropped([y.reshape(points, batch, self.outputs).to(x.dtype)])


def _fourier_type(x: Tensor) -> Tensor:
    """Fourier transforms need float32 at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
