/* types.h: what both IRs share: element types, shapes, layouts, tensors, activations.
 * Sections follow the files that implement them. */
#ifndef EFFNETC_IR_TYPES_H
#define EFFNETC_IR_TYPES_H

#include "support/support.h"

/* ---- types.c: element types ------------------------------------------------------------------ */

typedef enum DType {
#define DTYPE(id, ctype, cname, bytes, class, onnx) DT_##id,
#include "ir/dtypes.def"
#undef DTYPE
    DT_COUNT
} DType;

const char *dtype_name(DType t);   /* "f32" */
const char *dtype_c_name(DType t); /* "float", "uint16_t": in generated code */
int dtype_bytes(DType t);
bool dtype_is_float(DType t);
bool dtype_is_signed_int(DType t);
/* The smallest and the largest number of an integer type of up to 32 bits. */
double dtype_min(DType t);
double dtype_max(DType t);
bool dtype_parse(const char *s, size_t n, DType *out);
bool dtype_from_onnx(int32_t onnx, DType *out); /* TensorProto.DataType */
int32_t dtype_to_onnx(DType dt);

/* ---- types.c: shapes and layouts ------------------------------------------------------------- */

enum { MAX_RANK = 8 };

typedef struct Shape {
    int rank;
    int64_t dim[MAX_RANK]; /* each >= 0; ONNX order (N, C, H, W) */
} Shape;

/* The product of all dims; 1 for rank 0. Shapes are checked on entry so that it can't overflow. */
int64_t shape_elems(const Shape *s);
/* The product of the dims from `first` to before `last`. */
int64_t dims_product(const Shape *s, int first, int last);
/* The step in elements of each dim: of a contiguous tensor of this shape, and of one that is
 * stretched to `to` by numpy's rule (0 where it stretches). */
void contiguous_strides(const Shape *s, int64_t *stride);
void broadcast_strides(const Shape *from, const Shape *to, int64_t *stride);
bool shape_equal(const Shape *a, const Shape *b);
/* False where a dim is negative or the number of bytes for dt passes MAX_TENSOR_BYTES. */
bool shape_valid(const Shape *s, DType dt);
#define MAX_TENSOR_BYTES ((int64_t)1 << 36)

Shape shape_of(int rank, const int64_t *dim);
#define SHAPE(...)                                                                                 \
    shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

/* How a tensor [N, C, H, W] (or [N, C]) lies in memory.
 *
 *   block == 0   plain: row-major in the order of its dims
 *   block >= 1   channel-blocked: [N][ceil(C / block)][top + H + bottom][left + W + right][block];
 *                the spare lanes of the last block hold zero, and so does the halo
 *
 * block == 1 with a zero halo is the same memory as plain. */
typedef struct Layout {
    int block;
    int halo[4];    /* top, left, bottom, right: rows and columns of zeros around each plane */
    bool one_image; /* memory for one image: those of a batch (N) take turns in it; needs blocks */
} Layout;

typedef struct Type {
    DType dtype;
    Shape shape;
    Layout layout;
} Type;

enum { MAX_BLOCK = 64, MAX_HALO = 1 << 15 };

bool layout_equal(const Layout *a, const Layout *b);
bool layout_has_halo(const Layout *l);
bool type_equal(const Type *a, const Type *b);
Type type_plain(DType dt, Shape shape);
/* The shape is valid, the layout fits it (blocks need rank 2 or 4, a halo rank 4 and blocks), and
 * the storage stays within MAX_TENSOR_BYTES. Every type of a graph is valid. */
bool type_valid(const Type *t);

/* A blocked or plain 4-d (or [N, C]) tensor as kernels see it, all counts in elements. */
typedef struct View {
    int64_t n, c, h, w;    /* logical sizes; h = w = 1 for [N, C] */
    int64_t block, blocks; /* lanes per block and blocks per image; plain: 1 and c */
    int64_t row, plane;    /* strides: one row, one block's plane */
    int64_t image;         /* stride: one image; 0 where they take turns */
    int64_t origin;        /* offset of logical element (0, 0, 0, 0) behind the halo */
} View;

View view_of(const Type *t);               /* dies unless the rank is 2 or 4 */
int64_t type_storage_elems(const Type *t); /* with halo and spare lanes */
int64_t type_storage_bytes(const Type *t);

void shape_print(Buf *b, const Shape *s); /* "[1,144,56,56]" */
/* "f32[1,144,56,56]{nchw16c, halo=1x1x1x1}"; braces only where the layout isn't plain. */
void type_print(Buf *b, const Type *t);
/* The same with the arena offset among the braces, where it isn't negative: {arena=4096}. */
void type_print_placed(Buf *b, const Type *t, int64_t arena_offset);
const char *type_str(Arena *a, const Type *t);

/* ---- tensor.c: tensors in the compiler's memory ---------------------------------------------- */

/* Always plain (row-major) and naturally aligned. `data` is NULL for a constant whose value was
 * elided from an IR text: its hash is known, its elements are not. */
typedef struct Tensor {
    DType dtype;
    Shape shape;
    const void *data;
    uint64_t hash; /* of the bytes; 0 = not computed yet, see tensor_hash */
} Tensor;

Tensor *tensor_new(Arena *a, DType dt, Shape shape); /* zeroed */
Tensor *tensor_wrap(Arena *a, DType dt, Shape shape, const void *data);
/* The data of a tensor made by tensor_new, for writing. */
void *tensor_mutable(Tensor *t);
int64_t tensor_bytes(const Tensor *t);
uint64_t tensor_hash(Tensor *t);
/* Element i (row-major) as a double or as an integer, of any dtype; conversions truncate towards
 * zero and saturate. Setting rounds to nearest even for floats. */
double tensor_f64(const Tensor *t, int64_t i);
int64_t tensor_i64(const Tensor *t, int64_t i);
void tensor_set_f64(Tensor *t, int64_t i, double x);
void tensor_set_i64(Tensor *t, int64_t i, int64_t x);
void tensor_set_u64(Tensor *t, int64_t i, uint64_t x);
/* The bits of element i, sign-extended for signed integers: arithmetic modulo 2^64 on them and
 * cutting the result to size is exact for every integer type. */
uint64_t tensor_bits(const Tensor *t, int64_t i);
void tensor_set_bits(Tensor *t, int64_t i, uint64_t bits);
/* n elements at once, from element `first` on. */
void tensor_read_f64(const Tensor *t, int64_t first, int64_t n, double *out);
void tensor_write_f64(Tensor *t, int64_t first, int64_t n, const double *x);

/* The bits of x as an element: rounded, or truncated and saturated, as tensor_set_f64 does. */
uint64_t dtype_bits(DType dt, double x);
/* The nearest value of a float type; a NaN becomes the quiet NaN, as texts have no other. */
double dtype_round_f(DType dt, double x);

float half_to_float(uint16_t h);
uint16_t float_to_half(float f);
float bfloat_to_float(uint16_t h);
uint16_t float_to_bfloat(float f);

/* ---- acts.c: activations --------------------------------------------------------------------- */

/* The activations that an op can have fused; each is also an elementwise graph op of its own name
 * and a loop-IR instruction. Rows in acts.def. */
typedef enum Act {
    ACT_none,
#define ACT(id, expr, keeps_zero, onnx) ACT_##id,
#include "ir/acts.def"
#undef ACT
    ACT_COUNT
} Act;

const char *act_name(Act a);
bool act_parse(const char *s, size_t n, Act *out);
double act_eval(Act a, double x);
/* f(0) == 0: spare lanes stay zero without help. */
bool act_keeps_zero(Act a);

/* -log2(e): silu(x) is silu_exp2 of x times it. */
#define MINUS_LOG2E (-1.4426950408889634)

#endif
