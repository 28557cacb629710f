/* types.c: element types, shapes, layouts, and how they are printed. */
#include "ir/types.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- element types -------------------------------------------------------------------------- */

typedef enum DTypeClass { CLASS_float, CLASS_sint, CLASS_uint, CLASS_bool } DTypeClass;

static const struct {
    const char *name, *c_name;
    int bytes;
    DTypeClass class;
    int32_t onnx;
} dtypes[] = {
#define DTYPE(id, ctype, cname, bytes, class, onnx) {#id, cname, bytes, CLASS_##class, onnx},
#include "ir/dtypes.def"
#undef DTYPE
};

const char *dtype_name(DType t) {
    return dtypes[t].name;
}

const char *dtype_c_name(DType t) {
    return dtypes[t].c_name;
}

int dtype_bytes(DType t) {
    return dtypes[t].bytes;
}

bool dtype_is_float(DType t) {
    return dtypes[t].class == CLASS_float;
}

bool dtype_is_signed_int(DType t) {
    return dtypes[t].class == CLASS_sint;
}

double dtype_max(DType t) {
    ensure(!dtype_is_float(t) && dtype_bytes(t) <= 4);
    return ldexp(1, 8 * dtype_bytes(t) - dtype_is_signed_int(t)) - 1;
}

double dtype_min(DType t) {
    return dtype_is_signed_int(t) ? -dtype_max(t) - 1 : 0;
}

bool dtype_parse(const char *s, size_t n, DType *out) {
    for (int t = 0; t < DT_COUNT; t++) {
        if (strlen(dtypes[t].name) == n && memcmp(dtypes[t].name, s, n) == 0) {
            *out = (DType)t;
            return true;
        }
    }
    return false;
}

bool dtype_from_onnx(int32_t onnx, DType *out) {
    for (int t = 0; t < DT_COUNT; t++) {
        if (dtypes[t].onnx == onnx) {
            *out = (DType)t;
            return true;
        }
    }
    return false;
}

int32_t dtype_to_onnx(DType dt) {
    return dtypes[dt].onnx;
}

/* ---- shapes --------------------------------------------------------------------------------- */

Shape shape_of(int rank, const int64_t *dim) {
    ensure(rank >= 0 && rank <= MAX_RANK);
    Shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dim[i] = dim[i];
    return s;
}

int64_t dims_product(const Shape *s, int first, int last) {
    int64_t n = 1;
    for (int i = first; i < last; i++)
        n *= s->dim[i];
    return n;
}

int64_t shape_elems(const Shape *s) {
    return dims_product(s, 0, s->rank);
}

void contiguous_strides(const Shape *s, int64_t *stride) {
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

void broadcast_strides(const Shape *from, const Shape *to, int64_t *stride) {
    int64_t own[MAX_RANK] = {0};
    int shift = to->rank - from->rank;
    contiguous_strides(from, own);
    for (int i = 0; i < to->rank; i++)
        stride[i] = i < shift || from->dim[i - shift] == 1 ? 0 : own[i - shift];
}

bool shape_equal(const Shape *a, const Shape *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* A zero among the dims doesn't excuse the others: products of some of them (a plane, a row) are
 * computed everywhere. */
bool shape_valid(const Shape *s, DType dt) {
    if (s->rank < 0 || s->rank > MAX_RANK)
        return false;
    int64_t bytes = dtype_bytes(dt);
    for (int i = 0; i < s->rank; i++) {
        int64_t d = s->dim[i];
        if (d < 0 || !checked_mul(bytes, d > 0 ? d : 1, &bytes) || bytes > MAX_TENSOR_BYTES)
            return false;
    }
    return true;
}

/* ---- layouts -------------------------------------------------------------------------------- */

bool layout_equal(const Layout *a, const Layout *b) {
    return a->block == b->block && a->one_image == b->one_image &&
           memcmp(a->halo, b->halo, sizeof a->halo) == 0;
}

bool layout_has_halo(const Layout *l) {
    return l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3];
}

bool type_equal(const Type *a, const Type *b) {
    return a->dtype == b->dtype && shape_equal(&a->shape, &b->shape) &&
           layout_equal(&a->layout, &b->layout);
}

Type type_plain(DType dt, Shape shape) {
    return (Type){.dtype = dt, .shape = shape};
}

/* The storage of a blocked type in bytes; false on overflow or past MAX_TENSOR_BYTES. */
static bool blocked_bytes(const Type *t, int64_t *bytes) {
    const Layout *l = &t->layout;
    bool plane = t->shape.rank == 4;
    int64_t h = plane ? t->shape.dim[2] : 1, w = plane ? t->shape.dim[3] : 1;
    int64_t factors[] = {
        l->one_image ? 1 : t->shape.dim[0],
        round_up(t->shape.dim[1], l->block),
        h + l->halo[0] + l->halo[2],
        w + l->halo[1] + l->halo[3],
        dtype_bytes(t->dtype),
    };
    int64_t n = 1;
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (!checked_mul(n, factors[i] > 0 ? factors[i] : 1, &n) || n > MAX_TENSOR_BYTES)
            return false;
    *bytes = n;
    return true;
}

bool type_valid(const Type *t) {
    const Layout *l = &t->layout;
    if (!shape_valid(&t->shape, t->dtype) || l->block < 0 || l->block > MAX_BLOCK)
        return false;
    for (int i = 0; i < 4; i++)
        if (l->halo[i] < 0 || l->halo[i] > MAX_HALO)
            return false;
    if (l->block == 0 || t->shape.rank == 2)
        if (layout_has_halo(l))
            return false;
    if (l->block == 0)
        return !l->one_image;
    int64_t bytes;
    return (t->shape.rank == 2 || t->shape.rank == 4) && blocked_bytes(t, &bytes);
}

View view_of(const Type *t) {
    const Shape *s = &t->shape;
    const Layout *l = &t->layout;
    if (s->rank != 2 && s->rank != 4)
        die("no view of a tensor of rank %d", s->rank);
    View v = {.n = s->dim[0], .c = s->dim[1], .h = 1, .w = 1};
    if (s->rank == 4) {
        v.h = s->dim[2];
        v.w = s->dim[3];
    }
    v.block = l->block > 0 ? l->block : 1;
    v.blocks = ceil_div(v.c, v.block);
    v.row = (l->halo[1] + v.w + l->halo[3]) * v.block;
    v.plane = (l->halo[0] + v.h + l->halo[2]) * v.row;
    v.image = l->one_image ? 0 : v.blocks * v.plane;
    v.origin = l->halo[0] * v.row + l->halo[1] * v.block;
    return v;
}

int64_t type_storage_elems(const Type *t) {
    if (t->layout.block == 0)
        return shape_elems(&t->shape);
    View v = view_of(t);
    return (t->layout.one_image ? 1 : v.n) * v.blocks * v.plane;
}

int64_t type_storage_bytes(const Type *t) {
    return type_storage_elems(t) * dtype_bytes(t->dtype);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_braces(Buf *b, const Type *t, int64_t arena_offset) {
    const Layout *l = &t->layout;
    const char *sep = "{";
    if (l->block > 0) {
        buf_printf(b, "%snchw%dc", sep, l->block);
        sep = ", ";
    }
    if (layout_has_halo(l)) {
        buf_printf(b, "%shalo=%dx%dx%dx%d", sep, l->halo[0], l->halo[1], l->halo[2], l->halo[3]);
        sep = ", ";
    }
    if (l->one_image) {
        buf_printf(b, "%sone_image", sep);
        sep = ", ";
    }
    if (arena_offset >= 0) {
        buf_printf(b, "%sarena=%" PRId64, sep, arena_offset);
        sep = ", ";
    }
    if (sep[0] == ',')
        buf_putc(b, '}');
}

void shape_print(Buf *b, const Shape *s) {
    buf_putc(b, '[');
    for (int i = 0; i < s->rank; i++)
        buf_printf(b, "%s%" PRId64, i > 0 ? "," : "", s->dim[i]);
    buf_putc(b, ']');
}

void type_print_placed(Buf *b, const Type *t, int64_t arena_offset) {
    buf_puts(b, dtype_name(t->dtype));
    shape_print(b, &t->shape);
    print_braces(b, t, arena_offset);
}

void type_print(Buf *b, const Type *t) {
    type_print_placed(b, t, -1);
}

const char *type_str(Arena *a, const Type *t) {
    Buf b = {0};
    type_print(&b, t);
    const char *s = arena_strdup(a, buf_str(&b));
    buf_free(&b);
    return s;
}
