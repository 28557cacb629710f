/* op_einsum.c: Einsum, as products of two operands after the other: matrix products where they
 * share a dimension that is summed, elementwise ones else. */
#include "frontend/import.h"

#include <string.h>

/* Labels are letters, and the dimensions of an ellipsis. */
enum { MAX_TERMS = 16, ELLIPSIS = 128, LABELS = ELLIPSIS + MAX_RANK };

/* The labels of an operand's dimensions; each is there once after `diagonals`. */
typedef struct Term {
    Value *v;
    int rank, label[MAX_RANK];
} Term;

typedef struct Einsum {
    Term in[MAX_TERMS], out;
    int count, ellipsis; /* dimensions of the ellipsis */
    int64_t size[LABELS];
    int seen[LABELS]; /* how often each is in the inputs */
} Einsum;

static bool has(const Term *t, int label) {
    for (int i = 0; i < t->rank; i++)
        if (t->label[i] == label)
            return true;
    return false;
}

static void push(OnnxNode *n, Term *t, int label) {
    if (t->rank == MAX_RANK)
        onnx_unsupported(n, "more than %d dimensions are not supported", MAX_RANK);
    else
        t->label[t->rank++] = label;
}

/* ---- the equation ---------------------------------------------------------------------------- */

/* Reads letters and "..." up to a comma, an arrow or the end; an ellipsis has `ellipsis`
 * dimensions. Returns where it stopped. */
static const char *read_term(OnnxNode *n, const char *s, int ellipsis, Term *t) {
    bool had_ellipsis = false;
    for (; *s && *s != ',' && *s != '-' && !n->failed; s++) {
        if (*s == ' ')
            continue;
        if (strncmp(s, "...", 3) == 0 && !had_ellipsis) {
            had_ellipsis = true;
            for (int i = 0; i < ellipsis; i++)
                push(n, t, LABELS - ellipsis + i);
            s += 2;
        } else if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')) {
            push(n, t, *s);
        } else {
            onnx_bad(n, "its equation has an unexpected character");
        }
    }
    return s;
}

/* How many dimensions operand i leaves for its ellipsis; 0 where it has none. */
static int ellipsis_rank(OnnxNode *n, const char *s, int i) {
    Term t = {0};
    const char *end = read_term(n, s, 0, &t), *dots = strstr(s, "...");
    if (n->failed || !dots || dots >= end)
        return 0;
    int rank = onnx_shape(n, i)->rank - t.rank;
    if (rank < 0)
        onnx_bad(n, "operand %d has fewer dimensions than its term", i);
    return rank < 0 ? 0 : rank;
}

static void note_sizes(OnnxNode *n, Einsum *e, int i) {
    const Shape *s = onnx_shape(n, i);
    const Term *t = &e->in[i];
    if (t->rank != s->rank)
        onnx_bad(n, "operand %d has %d dimensions, and its term %d", i, s->rank, t->rank);
    for (int k = 0; k < t->rank && !n->failed; k++) {
        int64_t *size = &e->size[t->label[k]];
        bool spreads = t->label[k] >= ELLIPSIS && (*size == 1 || s->dim[k] == 1);
        if (e->seen[t->label[k]]++ && *size != s->dim[k] && !spreads)
            onnx_bad(n, "a dimension is %lld in one operand and %lld in another", (long long)*size,
                     (long long)s->dim[k]);
        else if (e->seen[t->label[k]] == 1 || *size == 1)
            *size = s->dim[k];
    }
}

/* Without an arrow: the ellipsis, and the letters that are there once. */
static void implicit_output(OnnxNode *n, Einsum *e) {
    for (int i = LABELS - e->ellipsis; i < LABELS; i++)
        push(n, &e->out, i);
    for (int i = 0; i < ELLIPSIS; i++)
        if (e->seen[i] == 1)
            push(n, &e->out, i);
}

static void explicit_output(OnnxNode *n, Einsum *e, const char *s) {
    s = read_term(n, s, e->ellipsis, &e->out);
    if (*s && !n->failed)
        onnx_bad(n, "its equation goes on behind its result");
    for (int i = 0; i < e->out.rank && !n->failed; i++) {
        Term before = e->out;
        before.rank = i;
        if (!e->seen[e->out.label[i]] || has(&before, e->out.label[i]))
            onnx_bad(n, "a dimension of the result is in no operand, or there twice");
    }
}

static void read_equation(OnnxNode *n, Einsum *e) {
    const char *start = attr_string(n, "equation", ""), *s = start;
    if (n->ninputs > MAX_TERMS)
        onnx_unsupported(n, "more than %d operands are not supported", MAX_TERMS);
    for (e->count = 0; e->count < n->ninputs && !n->failed; e->count++) {
        Term *t = &e->in[e->count];
        t->v = onnx_input(n, e->count);
        if (!t->v || (e->count && *s++ != ',')) {
            onnx_bad(n, "its equation has another number of terms than there are inputs");
            return;
        }
        int rank = ellipsis_rank(n, s, e->count);
        e->ellipsis = rank > e->ellipsis ? rank : e->ellipsis;
        s = read_term(n, s, rank, t);
        if (!n->failed)
            note_sizes(n, e, e->count);
    }
    if (n->failed)
        return;
    if (*s == '\0')
        implicit_output(n, e);
    else if (s[0] == '-' && s[1] == '>')
        explicit_output(n, e, s + 2);
    else
        onnx_bad(n, "its equation has another number of terms than there are inputs");
}

/* ---- one operand ----------------------------------------------------------------------------- */

/* The sum over dimension `at`, which goes. */
static void sum_out(OnnxNode *n, Term *t, int at) {
    if (!t->v)
        return;
    Node *r = onnx_add(n, OP_reduce_sum, "sum", &t->v, 1);
    reduce_attrs(r)->axes = onnx_keep_ints(n, (int64_t[]){at}, 1);
    reduce_attrs(r)->keepdims = false;
    t->v = onnx_done(n, r);
    t->rank--;
    memmove(t->label + at, t->label + at + 1, (size_t)(t->rank - at) * sizeof *t->label);
}

/* A label that is there twice stands for the diagonal: all else becomes 0, and is summed. */
static void diagonals(OnnxNode *n, Term *t) {
    for (int i = 0; i < t->rank; i++)
        for (int k = t->rank - 1; k > i && t->v; k--) {
            if (t->label[i] != t->label[k])
                continue;
            const Shape *s = &t->v->type.shape;
            Value *row = onnx_iota(n, "row", DT_i64, s->dim[i], t->rank, i),
                  *column = onnx_iota(n, "column", DT_i64, s->dim[k], t->rank, k);
            Value *zero = onnx_scalar(n, "zero", t->v->type.dtype, 0);
            t->v = onnx_where(n, "diagonal", onnx_binary(n, OP_equal, "same", row, column), t->v,
                              zero);
            sum_out(n, t, k);
        }
}

/* t as one dimension for each of the labels, in that order: 1 where t hasn't it. */
static Value *aligned(OnnxNode *n, const Term *t, const int *labels, int count) {
    int64_t perm[MAX_RANK];
    Shape s = {.rank = count};
    int rank = 0;
    bool in_order = true;
    if (!t->v)
        return NULL;
    for (int i = 0; i < count; i++) {
        s.dim[i] = 1;
        for (int k = 0; k < t->rank; k++)
            if (t->label[k] == labels[i]) {
                s.dim[i] = t->v->type.shape.dim[k];
                in_order &= k == rank;
                perm[rank++] = k;
            }
    }
    ensure(rank == t->rank);
    Value *v = in_order ? t->v : onnx_transpose(n, "turned", t->v, perm);
    return v && shape_equal(&v->type.shape, &s) ? v : onnx_reshape(n, "aligned", v, &s);
}

/* ---- two operands ---------------------------------------------------------------------------- */

/* The labels of a product, by where they are. */
typedef struct Groups {
    Term both, left, right, summed;
} Groups;

static bool needed_later(const Einsum *e, int next, int label) {
    for (int i = next; i < e->count; i++)
        if (has(&e->in[i], label))
            return true;
    return has(&e->out, label);
}

/* Sums what is in one operand alone, and nowhere else. */
static void sum_alone(OnnxNode *n, const Einsum *e, Term *t, const Term *other, int next) {
    for (int i = t->rank - 1; i >= 0; i--)
        if (!has(other, t->label[i]) && !needed_later(e, next, t->label[i]))
            sum_out(n, t, i);
}

static void group(OnnxNode *n, const Einsum *e, const Term *a, const Term *b, int next, Groups *g) {
    *g = (Groups){{0}, {0}, {0}, {0}};
    for (int i = 0; i < a->rank; i++) {
        bool shared = has(b, a->label[i]), later = needed_later(e, next, a->label[i]);
        push(n, !shared ? &g->left : later ? &g->both : &g->summed, a->label[i]);
    }
    for (int i = 0; i < b->rank; i++)
        if (!has(a, b->label[i]))
            push(n, &g->right, b->label[i]);
}

static void append(OnnxNode *n, Term *t, const Term *more) {
    for (int i = 0; i < more->rank && !n->failed; i++)
        push(n, t, more->label[i]);
}

static int64_t product_of(const Einsum *e, const Term *t) {
    int64_t p = 1;
    for (int i = 0; i < t->rank; i++)
        p *= e->size[t->label[i]];
    return p;
}

/* t as [both, rows, columns], with the dimensions of an ellipsis in full. */
static Value *as_matrices(OnnxNode *n, const Einsum *e, const Term *t, const Term *both,
                          const Term *rows, const Term *columns) {
    Term order = *both;
    Shape full = {0}, to = {0};
    append(n, &order, rows);
    append(n, &order, columns);
    if (n->failed)
        return NULL;
    for (int i = 0; i < order.rank; i++)
        full.dim[full.rank++] = e->size[order.label[i]];
    Value *v = aligned(n, t, order.label, order.rank);
    if (v && !shape_equal(&v->type.shape, &full))
        v = onnx_expand(n, "spread", v, &full);
    if (!v)
        return NULL;
    to = both->rank ? SHAPE(product_of(e, both), product_of(e, rows), product_of(e, columns))
                    : SHAPE(product_of(e, rows), product_of(e, columns));
    return onnx_reshape(n, "matrices", v, &to);
}

static Term matrix_product(OnnxNode *n, const Einsum *e, const Term *a, const Term *b,
                           const Groups *g) {
    Term y = g->both;
    append(n, &y, &g->left);
    append(n, &y, &g->right);
    Value *x = as_matrices(n, e, a, &g->both, &g->left, &g->summed),
          *w = as_matrices(n, e, b, &g->both, &g->summed, &g->right);
    if (n->failed)
        return y;
    Shape to = {.rank = y.rank};
    for (int i = 0; i < y.rank; i++)
        to.dim[i] = e->size[y.label[i]];
    y.v = onnx_reshape(n, "product", onnx_matmul(n, "product", x, w), &to);
    return y;
}

/* Element by element, and then summed. */
static Term elementwise_product(OnnxNode *n, const Term *a, const Term *b, const Groups *g) {
    Term y = g->both;
    append(n, &y, &g->left);
    append(n, &y, &g->right);
    append(n, &y, &g->summed);
    if (n->failed)
        return y;
    y.v = onnx_binary(n, OP_mul, "product", aligned(n, a, y.label, y.rank),
                      aligned(n, b, y.label, y.rank));
    for (int i = 0; i < g->summed.rank; i++)
        sum_out(n, &y, y.rank - 1);
    return y;
}

/* Is it worth a matrix product? Not where one side is a vector for each of what both have, which
 * makes no more elements than the other side has. */
static bool wants_matrices(const Term *a, const Groups *g) {
    bool vector = g->both.rank && (g->left.rank == 0 || g->right.rank == 0);
    return g->summed.rank && !vector && dtype_is_float(a->v->type.dtype);
}

/* The product of a and operand `next`. */
static Term multiply(OnnxNode *n, const Einsum *e, Term a, int next) {
    Term b = e->in[next];
    Groups g;
    sum_alone(n, e, &a, &b, next + 1);
    sum_alone(n, e, &b, &a, next + 1);
    group(n, e, &a, &b, next + 1, &g);
    if (n->failed)
        return a;
    return wants_matrices(&a, &g) ? matrix_product(n, e, &a, &b, &g)
                                  : elementwise_product(n, &a, &b, &g);
}

/* Einsum-12. */
void import_einsum(OnnxNode *n) {
    Einsum e = {0};
    read_equation(n, &e);
    if (n->failed || !onnx_same_dtype(n, n->ninputs))
        return;
    for (int i = 0; i < e.count; i++)
        diagonals(n, &e.in[i]);
    Term y = e.in[0];
    for (int i = 1; i < e.count && !n->failed; i++)
        y = multiply(n, &e, y, i);
    if (n->failed)
        return;
    sum_alone(n, &e, &y, &(Term){0}, e.count);
    Value *v = aligned(n, &y, e.out.label, e.out.rank);
    onnx_set_output(n, 0, onnx_unary(n, OP_identity, NULL, v));
}
