"""Eigenvalues of many small symmetric matrices on a CPU, compiled with numba.

LAPACK solves one matrix after the other, and at 100x100 it mostly waits. Here every matrix is made
tridiagonal by Householder reflections, with one pass over the matrix per column and explicit
vectors; then the tridiagonal matrices go through the root-free QR iteration (Pal-Walker-Kahan,
LAPACK's ``sterf``) in lockstep, 64 at a time, so that the divisions do not wait for each other.

References: Golub & Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3; Parlett (1998), The
Symmetric Eigenvalue Problem, section 8.15.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 64
_WIDTH = 8
_ROWS = 4
_EPS = 2.0**-52
_TINY = 1e-100
_TURNS_PER_EIGENVALUE = 30


@intrinsic
def _update_rows(typingctx, a, j, start, v, w, u, p):
    """Rows j to j + 3 of ``a -= v w^T + w v^T`` from column `start`, and ``p += u_j a_j`` for them.

    All sizes are multiples of 8. Written in LLVM's own vectors because compilers do not see that
    the rows do not overlap.
    """

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.DoubleType(), _WIDTH)
        a, v, w, u, p = (
            context.make_array(signature.args[k])(context, builder, args[k])
            for k in (0, 3, 4, 5, 6)
        )
        j, start = args[1], args[2]
        columns = builder.extract_value(a.shape, 1)
        undefined, fused = ir.Constant(vector, ir.Undefined), ("contract",)

        def place(array, index):
            return builder.bitcast(builder.gep(array.data, [index]), vector.as_pointer())

        def everywhere(array, index):
            number = builder.load(builder.gep(array.data, [index]))
            one = builder.insert_element(undefined, number, ir.IntType(32)(0))
            return builder.shuffle_vector(
                one, undefined, ir.VectorType(ir.IntType(32), _WIDTH)(None)
            )

        rows = [builder.add(j, j.type(row)) for row in range(_ROWS)]
        factors = [[everywhere(array, row) for array in (v, w, u)] for row in rows]
        begins = [builder.mul(row, columns) for row in rows]
        with cgutils.for_range_slice(builder, start, columns, j.type(_WIDTH), j.type) as (i, _):
            v_i, w_i = (builder.load(place(array, i), align=8) for array in (v, w))
            p_i = builder.load(place(p, i), align=8)
            for (v_j, w_j, u_j), begin in zip(factors, begins, strict=True):
                here = place(a, builder.add(begin, i))
                x = builder.load(here, align=8)
                x = builder.fsub(x, builder.fmul(v_j, w_i, flags=fused), flags=fused)
                x = builder.fsub(x, builder.fmul(w_j, v_i, flags=fused), flags=fused)
                builder.store(x, here, align=8)
                p_i = builder.fadd(p_i, builder.fmul(u_j, x, flags=fused), flags=fused)
            builder.store(p_i, place(p, i), align=8)
        return context.get_dummy_value()

    return types.void(a, j, start, v, w, u, p), codegen


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _tridiagonal(matrix, a, vectors, diagonal, squares, lane):
    """Write the diagonal and the squared off-diagonal of T = Q^T A Q into a lane.

    The reflection of column k is I - tau u u^T. Its update A - v w^T - w v^T, with v = u and
    w = tau (p - tau/2 (p.u) u) for p = A u, is applied in the pass of the next column, which needs
    only the next row of it at once; that row is then done, and its v and w are set to 0.
    """
    n, padded = len(matrix), len(a)
    v, w, u, p = vectors[0], vectors[1], vectors[2], vectors[3]
    for i in range(n):
        for j in range(n):
            a[i, j] = matrix[i, j]
    for i in range(padded):
        v[i] = w[i] = u[i] = 0.0
    diagonal[0, lane] = a[0, 0]
    for k in range(n - 1):
        start = (k + 1) // _WIDTH * _WIDTH
        row, done = a[k], a[k + 1]
        rest = 0.0
        for i in range(k + 2, n):
            rest += row[i] * row[i]
        norm, tau, factor = row[k + 1], 0.0, 0.0
        if not rest <= _TINY * _TINY:  # so that NaN is passed on
            norm = -math.copysign(math.sqrt(row[k + 1] * row[k + 1] + rest), row[k + 1])
            tau, factor = (norm - row[k + 1]) / norm, 1.0 / (row[k + 1] - norm)
        squares[k + 1, lane] = norm * norm
        for i in range(start, padded):
            u[i] = row[i] * factor if i > k + 1 else 0.0
            p[i] = 0.0
        u[k + 1] = 1.0
        for j in range(start, padded, _ROWS):
            _update_rows(a, j, start, v, w, u, p)
        along = 0.0
        for i in range(start, padded):
            along += p[i] * u[i]
        for i in range(start, padded):
            v[i], w[i] = u[i], tau * (p[i] - 0.5 * tau * along * u[i])
        v_k, w_k = v[k + 1], w[k + 1]
        for i in range(start, padded):
            done[i] -= v_k * w[i] + w_k * v[i]
        diagonal[k + 1, lane] = done[k + 1]
        v[k + 1] = w[k + 1] = 0.0


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _iterate(d, e, d_before, e_before, states):
    """Turn diagonals d (n + 1, 64) into eigenvalues; e[k] is the squared entry between k - 1 and k.

    Every lane has its own last row, from which it takes Wilkinson's shift, and below which its
    matrix is diagonal. A sweep goes on below it with that shift and changes nothing there but
    rounding, so that no lane needs a mask. Returns whether all entries fell below eps.
    """
    shift, gamma, p, c, s = states[0], states[1], states[2], states[3], states[4]
    n = len(d) - 1
    last = np.full(LANES, n - 1)
    for _ in range(_TURNS_PER_EIGENVALUE * n):
        top = 0
        for lane in range(LANES):
            k = last[lane]
            while k > 0 and e[k, lane] <= _EPS * _EPS:
                e[k, lane] = 0.0
                k -= 1
            last[lane] = k
            top = max(top, k)
            shift[lane] = 0.0
            if k > 0:
                half = 0.5 * (d[k - 1, lane] - d[k, lane])
                root = math.copysign(math.sqrt(half * half + e[k, lane]), half)
                shift[lane] = d[k, lane] - e[k, lane] / (half + root)
            gamma[lane] = d[0, lane] - shift[lane]
            p[lane], c[lane], s[lane] = gamma[lane] * gamma[lane], 1.0, 0.0
        if top == 0:
            return True
        for i in range(top + 2):
            for lane in range(LANES):
                d_before[i, lane], e_before[i, lane] = d[i, lane], e[i, lane]
        for i in range(top + 1):
            above, square, alpha, entry = d[i], e_before[i + 1], d_before[i + 1], e[i]
            for lane in range(LANES):
                r = p[lane] + square[lane]
                inverse = 1.0 / r
                cosine = p[lane] * inverse if r > _TINY else 1.0
                sine = square[lane] * inverse if r > _TINY else 0.0
                entry[lane] = s[lane] * r
                following = cosine * (alpha[lane] - shift[lane]) - sine * gamma[lane]
                above[lane] = gamma[lane] + (alpha[lane] - following)
                p[lane] = (
                    following * following / cosine if cosine > _TINY else c[lane] * square[lane]
                )
                gamma[lane], c[lane], s[lane] = following, cosine, sine
    return False


@njit(cache=True)
def eigenvalues(batch, found):
    """Write the eigenvalues of symmetric matrices (m, n, n) into `found` (m, n), in any order.

    The largest entries should be of order 1: off-diagonal ones of the tridiagonal form count as 0
    below 2^-52. Errors are of the order of eps times the largest eigenvalue. Returns False if a
    matrix does not converge, as one with NaN.
    """
    m, n, _ = batch.shape
    padded = (n + _WIDTH - 1) // _WIDTH * _WIDTH
    a, vectors = np.zeros((padded, padded)), np.zeros((4, padded))
    d, e = np.zeros((n + 1, LANES)), np.zeros((n + 1, LANES))
    d_before, e_before = np.zeros((n + 1, LANES)), np.zeros((n + 1, LANES))
    states = np.zeros((5, LANES))
    for first in range(0, m, LANES):
        many = min(LANES, m - first)
        for lane in range(many):
            _tridiagonal(batch[first + lane], a, vectors, d, e, lane)
        if not _iterate(d, e, d_before, e_before, states):
            return False
        for lane in range(many):
            for i in range(n):
                found[first + lane, i] = d[i, lane]
    return True
