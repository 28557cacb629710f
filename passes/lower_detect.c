/* lower_detect.c: ops that give as many elements as the data make, and how many these are:
 * non_max_suppression, non_zero, compress. What is behind the last element is zero. */
#include "passes/lower.h"

#include <math.h>

static Reg *const_i64(Builder *b, const char *name, int64_t x) {
    return build_const_i(b, name, ltype(DT_i64, 1), x);
}

static Reg *const_f32(Builder *b, const char *name, double x) {
    return build_const_f(b, name, ltype(DT_f32, 1), x);
}

static void add_to(Builder *b, Reg *x, int64_t n) {
    build_op_to(b, INST_add, x, x, const_i64(b, "n", n), NULL);
}

/* Zeroes the elements from a number that is computed to `end`. */
static void zero_rest(Builder *b, Addr at, Reg *from, int64_t end) {
    LType t = ltype(at.base->type.dtype, 1);
    Reg *zero =
        dtype_is_float(t.dtype) ? build_const_f(b, "zero", t, 0) : build_const_i(b, "zero", t, 0);
    Reg *i = build_for(b, "i", bound_reg(from), bound_const(end), 1);
    build_store(b, addr_plus(at, i, 1), zero);
    build_close(b);
}

/* The result `count`, or where nobody wants it, NULL. */
static Reg *count_param(Kernel *k, const Node *n) {
    return node_result(n, "count") ? kernel_param_ptr(k, "count", DT_i64) : NULL;
}

static void store_count(Builder *b, Reg *count, Reg *made) {
    if (count)
        build_store(b, addr_of(count, 0), made);
}

static void push_value(Lower *lo, Arg *args, int *n, const Value *v) {
    if (v)
        args[(*n)++] = arg_addr(lower_plain(lo, v));
}

/* The operands that are there, the result, and the count where it is asked for; returns how
 * many. */
static int value_args(Lower *lo, const Node *n, Arg *args) {
    int nargs = 0;
    for (int i = 0; i < n->noperands; i++)
        push_value(lo, args, &nargs, node_in(n, i));
    push_value(lo, args, &nargs, node_out(n));
    push_value(lo, args, &nargs, node_result(n, "count"));
    return nargs;
}

/* ---- non_max_suppression --------------------------------------------------------------------- */

typedef struct BoxRegs {
    Reg *top, *left, *bottom, *right, *area;
} BoxRegs;

typedef struct Nms {
    Builder *b;
    const Node *n;
    Reg *boxes, *scores, *alive; /* of one class of one image: [box][4], [box], [box] */
    Reg *out, *made;             /* where the next row goes; how many there are */
    Reg *limit, *iou, *score;    /* score: NULL where there is no bound */
    BoxRegs last;                /* the box that was kept last; at first one without an area */
    Reg *best, *going;           /* the box that is next, -1: none; whether it is looked for */
} Nms;

/* Of two corners, or of [x, y, width, height] around a centre: as read_box in
 * ir/graph_eval_nms.c. */
static BoxRegs read_box(const Nms *k, Reg *at) {
    Builder *b = k->b;
    Reg *v[4];
    BoxRegs r;
    for (int i = 0; i < 4; i++)
        v[i] = build_load(b, "v", 1, addr_of(at, i));
    if (nms_attrs(k->n)->center) {
        Reg *half = const_f32(b, "half", 0.5);
        Reg *w = build_op(b, INST_mul, "w", v[2], half, NULL);
        Reg *h = build_op(b, INST_mul, "h", v[3], half, NULL);
        r.top = build_op(b, INST_sub, "top", v[1], h, NULL);
        r.left = build_op(b, INST_sub, "left", v[0], w, NULL);
        r.bottom = build_op(b, INST_add, "bottom", v[1], h, NULL);
        r.right = build_op(b, INST_add, "right", v[0], w, NULL);
    } else {
        r.top = build_op(b, INST_min, "top", v[0], v[2], NULL);
        r.left = build_op(b, INST_min, "left", v[1], v[3], NULL);
        r.bottom = build_op(b, INST_max, "bottom", v[0], v[2], NULL);
        r.right = build_op(b, INST_max, "right", v[1], v[3], NULL);
    }
    Reg *h = build_op(b, INST_sub, "h", r.bottom, r.top, NULL);
    Reg *w = build_op(b, INST_sub, "w", r.right, r.left, NULL);
    r.area = build_op(b, INST_mul, "area", h, w, NULL);
    return r;
}

static Reg *extent(Builder *b, Reg *a_from, Reg *a_to, Reg *c_from, Reg *c_to) {
    Reg *to = build_op(b, INST_min, "to", a_to, c_to, NULL);
    Reg *from = build_op(b, INST_max, "from", a_from, c_from, NULL);
    return build_op(b, INST_sub, "extent", to, from, NULL);
}

/* As overlap in ir/graph_eval_nms.c, with the same roundings. */
static Reg *overlap(const Nms *k, const BoxRegs *c) {
    Builder *b = k->b;
    const BoxRegs *a = &k->last;
    Reg *h = extent(b, a->top, a->bottom, c->top, c->bottom);
    Reg *w = extent(b, a->left, a->right, c->left, c->right);
    Reg *common = build_op(b, INST_mul, "common", h, w, NULL);
    Reg *both = build_op(b, INST_add, "both", a->area, c->area, NULL);
    Reg *all = build_op(b, INST_sub, "all", both, common, NULL);
    Reg *ratio = build_op(b, INST_div, "ratio", common, all, NULL);
    Reg *positive[] = {h, w, common, a->area, c->area, all}, *zero = const_f32(b, "zero", 0);
    Reg *yes = build_op(b, INST_lt, "yes", k->iou, ratio, NULL);
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        yes = build_op(b, INST_and, "yes", yes,
                       build_op(b, INST_lt, "is_positive", zero, positive[i], NULL), NULL);
    return yes;
}

/* Which boxes may be kept: those whose score is a number, and larger than the bound. */
static void find_candidates(const Nms *k, int64_t boxes) {
    Builder *b = k->b;
    Reg *one = const_f32(b, "one", 1), *zero = const_f32(b, "zero", 0);
    Reg *i = build_for(b, "i", bound_const(0), bound_const(boxes), 1);
    Reg *s = build_load(b, "s", 1, addr_plus(addr_of(k->scores, 0), i, 1));
    Reg *may = k->score ? build_op(b, INST_lt, "may", k->score, s, NULL)
                        : build_op(b, INST_eq, "may", s, s, NULL);
    build_store(b, addr_plus(addr_of(k->alive, 0), i, 1),
                build_op(b, INST_select, "alive", may, one, zero));
    build_close(b);
}

/* Box i is a candidate: the last one suppresses it, or it may be the best. */
static void judge_box(const Nms *k, Reg *i, Reg *top) {
    Builder *b = k->b;
    BoxRegs box = read_box(k, build_lea(b, "box", addr_plus(addr_of(k->boxes, 0), i, 4)));
    build_if(b, overlap(k, &box));
    build_store(b, addr_plus(addr_of(k->alive, 0), i, 1), const_f32(b, "zero", 0));
    build_else(b);
    Reg *s = build_load(b, "s", 1, addr_plus(addr_of(k->scores, 0), i, 1));
    Reg *is_first = build_op(b, INST_lt, "is_first", k->best, const_i64(b, "none", 0), NULL);
    Reg *is_more = build_op(b, INST_lt, "is_more", top, s, NULL);
    build_if(b, build_op(b, INST_or, "is_best", is_first, is_more, NULL));
    build_op_to(b, INST_mov, k->best, i, NULL, NULL);
    build_op_to(b, INST_mov, top, s, NULL, NULL);
    build_close(b);
    build_close(b);
}

static void find_best(const Nms *k, int64_t boxes) {
    Builder *b = k->b;
    Reg *top = const_f32(b, "top", -INFINITY), *zero = const_f32(b, "zero", 0);
    build_const_i_to(b, k->best, -1);
    Reg *i = build_for(b, "i", bound_const(0), bound_const(boxes), 1);
    Reg *alive = build_load(b, "alive", 1, addr_plus(addr_of(k->alive, 0), i, 1));
    build_if(b, build_op(b, INST_lt, "may", zero, alive, NULL));
    judge_box(k, i, top);
    build_close(b);
    build_close(b);
}

/* Writes the row of the best box, which is the last one from now on. */
static void keep_best(const Nms *k, Reg *image, Reg *class, Reg *kept) {
    Builder *b = k->b;
    Reg *row[] = {image, class, k->best};
    for (int i = 0; i < 3; i++)
        build_store(b, addr_of(k->out, i), row[i]);
    advance_by(b, k->out, 3);
    add_to(b, k->made, 1);
    add_to(b, kept, 1);
    build_store(b, addr_plus(addr_of(k->alive, 0), k->best, 1), const_f32(b, "zero", 0));
    Reg *at = build_lea(b, "best_box", addr_plus(addr_of(k->boxes, 0), k->best, 4));
    BoxRegs box = read_box(k, at);
    Reg *const to[] = {k->last.top, k->last.left, k->last.bottom, k->last.right, k->last.area};
    Reg *const from[] = {box.top, box.left, box.bottom, box.right, box.area};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        build_op_to(b, INST_mov, to[i], from[i], NULL, NULL);
    build_op_to(b, INST_lt, k->going, kept, k->limit, NULL);
}

/* Each round drops what the last box suppresses, and finds the best one that is left. */
static void keep_class(Nms *k, int64_t boxes, Reg *image, Reg *class) {
    Builder *b = k->b;
    Reg *kept = const_i64(b, "kept", 0);
    find_candidates(k, boxes);
    k->last = (BoxRegs){const_f32(b, "last_top", 0), const_f32(b, "last_left", 0),
                        const_f32(b, "last_bottom", 0), const_f32(b, "last_right", 0),
                        const_f32(b, "last_area", 0)};
    k->best = const_i64(b, "best", -1);
    k->going = build_op(b, INST_lt, "going", kept, k->limit, NULL);
    build_while(b, k->going);
    find_best(k, boxes);
    build_op_to(b, INST_le, k->going, const_i64(b, "none", 0), k->best, NULL);
    build_if(b, k->going);
    keep_best(k, image, class, kept);
    build_close(b);
    build_close(b);
}

/* The operand in a slot, one element; or a number where it is absent. */
static Reg *number_param(Kernel *k, const Node *n, int slot) {
    const Value *v = node_in(n, slot);
    return v ? kernel_param_ptr(k, op_operand(n->op, slot).name, v->type.dtype) : NULL;
}

static Kernel *nms_kernel(Lower *lo, const Node *n) {
    const Shape *s = &node_in(n, 1)->type.shape;
    int64_t images = s->dim[0], classes = s->dim[1], boxes = s->dim[2];
    Kernel *kernel = kernel_new(lo->m, "non_max_suppression");
    Reg *x = kernel_param_ptr(kernel, "x", DT_f32), *p = kernel_param_ptr(kernel, "p", DT_f32);
    Reg *max = number_param(kernel, n, 2), *iou = number_param(kernel, n, 3);
    Reg *score = number_param(kernel, n, 4), *to = kernel_param_ptr(kernel, "to", DT_i64);
    Reg *count = count_param(kernel, n), *alive = kernel_param_ptr(kernel, "alive", DT_f32);
    Builder b = build_begin(kernel);
    Nms k = {.b = &b, .n = n, .alive = alive};
    k.limit = const_i64(&b, "limit", nms_attrs(n)->limit);
    if (max)
        k.limit = build_op(&b, INST_min, "limit", k.limit,
                           build_load(&b, "most", 1, addr_of(max, 0)), NULL);
    k.iou = iou ? build_load(&b, "iou_bound", 1, addr_of(iou, 0)) : const_f32(&b, "iou_bound", 0);
    k.score = score ? build_load(&b, "score_bound", 1, addr_of(score, 0)) : NULL;
    k.made = const_i64(&b, "made", 0);
    k.out = copy_pointer(&b, "out", to);
    k.scores = copy_pointer(&b, "scores", p);
    k.boxes = copy_pointer(&b, "boxes", x);
    Reg *image = build_for(&b, "image", bound_const(0), bound_const(images), 1);
    Reg *class = build_for(&b, "class", bound_const(0), bound_const(classes), 1);
    keep_class(&k, boxes, image, class);
    advance_by(&b, k.scores, boxes);
    build_close(&b);
    advance_by(&b, k.boxes, 4 * boxes);
    build_close(&b);
    store_count(&b, count, k.made);
    Reg *from = build_op(&b, INST_mul, "from", k.made, const_i64(&b, "three", 3), NULL);
    zero_rest(&b, addr_of(to, 0), from, shape_elems(&node_out(n)->type.shape));
    build_end(&b);
    return kernel;
}

/* Which boxes are still candidates. */
int64_t scratch_non_max_suppression(const Node *n, const PassContext *cx) {
    (void)cx;
    return node_in(n, 1)->type.shape.dim[2];
}

bool lower_non_max_suppression(Lower *lo, Node *n) {
    Arg args[8];
    int nargs = value_args(lo, n, args);
    args[nargs++] =
        arg_addr(node_result(n, "scratch") ? lower_scratch(lo, n) : lower_plain(lo, node_in(n, 1)));
    lower_call(lo, nms_kernel(lo, n), args, nargs);
    return true;
}

/* ---- non_zero, compress ---------------------------------------------------------------------- */

/* Whether an element is zero, in a register. */
static Reg *is_zero(Builder *b, Addr at) {
    Reg *x = build_load(b, "x", 1, at);
    if (dtype_set(x->type.dtype) == TYPES_H)
        x = build_convert(b, INST_convert, "x", ltype(DT_f32, 1), x);
    Reg *zero = dtype_is_float(x->type.dtype) ? build_const_f(b, "zero", x->type, 0)
                                              : build_const_i(b, "zero", x->type, 0);
    return build_op(b, INST_eq, "is_zero", x, zero, NULL);
}

static Kernel *non_zero_kernel(Lower *lo, const Node *n) {
    const Shape *s = &node_in(n, 0)->type.shape;
    int64_t elems = shape_elems(s);
    Kernel *k = kernel_new(lo->m, "non_zero");
    Reg *x = kernel_param_ptr(k, "a", node_in(n, 0)->type.dtype);
    Reg *to = kernel_param_ptr(k, "to", DT_i64), *count = count_param(k, n), *at[MAX_RANK];
    Builder bb = build_begin(k), *b = &bb;
    Reg *made = const_i64(b, "made", 0), *p = copy_pointer(b, "p", x);
    for (int d = 0; d < s->rank; d++)
        at[d] = build_for(b, "at", bound_const(0), bound_const(s->dim[d]), 1);
    build_if(b, is_zero(b, addr_of(p, 0)));
    build_else(b);
    for (int d = 0; d < s->rank; d++)
        build_store(b, addr_plus(addr_of(to, d * elems), made, 1), at[d]);
    add_to(b, made, 1);
    build_close(b);
    advance_by(b, p, 1);
    for (int d = 0; d < s->rank; d++)
        build_close(b);
    store_count(b, count, made);
    for (int d = 0; d < s->rank; d++)
        zero_rest(b, addr_of(to, d * elems), made, elems);
    build_end(b);
    return k;
}

bool lower_non_zero(Lower *lo, Node *n) {
    Arg args[3];
    int nargs = value_args(lo, n, args);
    lower_call(lo, non_zero_kernel(lo, n), args, nargs);
    return true;
}

/* x is [outer][dim][inner], y is [outer][rows][inner]. */
static Kernel *compress_kernel(Lower *lo, const Node *n) {
    const Shape *s = &node_in(n, 0)->type.shape;
    int axis = (int)axis_attrs(n)->axis;
    int64_t rows = node_in(n, 1)->type.shape.dim[0], dim = s->dim[axis];
    int64_t outer = dims_product(s, 0, axis), inner = dims_product(s, axis + 1, s->rank);
    Kernel *kernel = kernel_new(lo->m, "compress");
    Reg *x = kernel_param_ptr(kernel, "a", node_out(n)->type.dtype);
    Reg *condition = kernel_param_ptr(kernel, "condition", DT_bool);
    Reg *to = kernel_param_ptr(kernel, "to", node_out(n)->type.dtype);
    Reg *count = count_param(kernel, n);
    Builder bb = build_begin(kernel), *b = &bb;
    Reg *made = const_i64(b, "made", 0), *end = const_i64(b, "end", 0);
    Reg *k = build_for(b, "k", bound_const(0), bound_const(rows), 1);
    build_if(b, build_load(b, "is_wanted", 1, addr_plus(addr_of(condition, 0), k, 1)));
    Reg *o = build_for(b, "o", bound_const(0), bound_const(outer), 1);
    Reg *from = build_lea(b, "from", addr_plus(addr_plus(addr_of(x, 0), o, dim * inner), k, inner));
    Reg *y = build_lea(b, "y", addr_plus(addr_plus(addr_of(to, 0), o, rows * inner), end, 1));
    Reg *j = build_for(b, "j", bound_const(0), bound_const(inner), 1);
    build_store(b, addr_plus(addr_of(y, 0), j, 1),
                build_load(b, "v", 1, addr_plus(addr_of(from, 0), j, 1)));
    build_close(b);
    build_close(b);
    add_to(b, made, 1);
    add_to(b, end, inner);
    build_close(b);
    build_close(b);
    store_count(b, count, made);
    Reg *rest = build_for(b, "o", bound_const(0), bound_const(outer), 1);
    zero_rest(b, addr_plus(addr_of(to, 0), rest, rows * inner), end, rows * inner);
    build_close(b);
    build_end(b);
    return kernel;
}

bool lower_compress(Lower *lo, Node *n) {
    Arg args[4];
    int nargs = value_args(lo, n, args);
    lower_call(lo, compress_kernel(lo, n), args, nargs);
    return true;
}
