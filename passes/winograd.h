/* winograd.h: Winograd's minimal filtering F(m x m, 3x3) for lower_winograd.c. Internal to passes/.
 *
 * An output tile of m x m is A^T [(G g G^T) * (B^T d B)] A, with d its (m + 2) x (m + 2) inputs, g
 * the taps, * elementwise. Points 0, 1, -1 (m = 2), and 2, -2 (m = 4): Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks", 2015. */
#ifndef EFFNETC_PASSES_WINOGRAD_H
#define EFFNETC_PASSES_WINOGRAD_H

#include "passes/lower.h"

enum { WINOGRAD_MAX = 6 }; /* rows of the largest input tile */

static inline int winograd_size(int m) { /* rows of an input tile */
    return m + 2;
}

static inline int winograd_points(int m) { /* products of a tile, and matrices of weights */
    return winograd_size(m) * winograd_size(m);
}

/* f32 elements from a tile to the next in transformed data, [tile][point][lanes]: an odd number of
 * vectors, so that the tiles of one point fall into different sets of the cache. */
static inline int winograd_tile_step(int m, int lanes) {
    return (winograd_points(m) + 1) * lanes;
}

/* G g G^T of taps g[9] to out[points], in double. */
void winograd_weights(int m, const float *g, double *out);

/* Emits the transforms of the tiles first..first+count of a plane, in row-major order. All strides
 * are in elements. Their parameters, in this order:
 *
 *   input:   a, v, spare, a_row, a_plane, v_block, blocks, and where[]
 *   output:  t, bias, c, spare, c_row, c_plane, t_block, vectors, where[], and r, r_row, r_plane
 *            where there is a residual
 *   where:   first, count, tiles_x (tiles in a row), height, width (of the output)
 *
 * `a` is the first tap's input of output (0, 0); `spare` holds points * lanes elements. A kernel
 * with `edge` handles planes whose sizes m doesn't divide: it goes through `spare` where a tile
 * sticks out, and touches no element behind the plane. */
Kernel *winograd_input_kernel(Lower *lo, int m, bool edge);
Kernel *winograd_output_kernel(Lower *lo, int m, bool edge, Act act, bool residual);

#endif
