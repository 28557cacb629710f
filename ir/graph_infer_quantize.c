/* graph_infer_quantize.c: shape rules of quantize, dequantize and their relatives. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <math.h>

static bool want_f32(const Node *n, int slot, Buf *why) {
    DType dt = node_in(n, slot)->type.dtype;
    if (dt == DT_f32)
        return true;
    return refuse(why, "operand %s must be f32, it is %s", op_operand(n->op, slot).name,
                  dtype_name(dt));
}

/* scale, and zero where it is there: one number, or one for each element along the axis. */
static bool want_parameters(const Node *n, int64_t axis, Buf *why) {
    const Shape *x = shape_in(n, 0), *scale = shape_in(n, 1);
    if (!want_f32(n, 1, why))
        return false;
    if (scale->rank == 0)
        return want_shape(n, 2, *scale, why);
    if (!want_axis(axis, x->rank, why))
        return false;
    Shape along = SHAPE(x->dim[axis]);
    return want_shape(n, 1, along, why) && want_shape(n, 2, along, why);
}

static bool want_zero_type(const Node *n, DType dt, Buf *why) {
    const Value *zero = node_in(n, 2);
    if (!zero || zero->type.dtype == dt)
        return true;
    return refuse(why, "operand zero must be %s, it is %s", dtype_name(dt),
                  dtype_name(zero->type.dtype));
}

/* f32 arithmetic must be exact in the type: so no more than 16 bits. */
static bool is_quantized(DType dt) {
    return dt == DT_i8 || dt == DT_u8 || dt == DT_i16 || dt == DT_u16;
}

bool infer_quantize(const Node *n, Type *results, Buf *why) {
    const QuantizeAttrs *a = quantize_attrs(n);
    if (!want_f32(n, 0, why))
        return false;
    if (!is_quantized(a->to))
        return refuse(why, "to must be i8, u8, i16 or u16, it is %s", dtype_name(a->to));
    if (!want_parameters(n, a->axis, why) || !want_zero_type(n, a->to, why))
        return false;
    results[0] = type_plain(a->to, *shape_in(n, 0));
    return true;
}

bool infer_dequantize(const Node *n, Type *results, Buf *why) {
    DType dt = dtype_in(n, 0);
    if (!is_quantized(dt) && dt != DT_i32)
        return refuse(why, "operand x must be i8, u8, i16, u16 or i32, it is %s", dtype_name(dt));
    if (!want_parameters(n, axis_attrs(n)->axis, why) || !want_zero_type(n, dt, why))
        return false;
    results[0] = type_plain(DT_f32, *shape_in(n, 0));
    return true;
}

bool infer_dynamic_range(const Node *n, Type *results, Buf *why) {
    if (!want_f32(n, 0, why))
        return false;
    results[0] = results[1] = type_plain(DT_f32, (Shape){0});
    return true;
}

bool infer_quantize_shifted(const Node *n, Type *results, Buf *why) {
    DType to = shifted_attrs(n)->to;
    for (int i = 0; i < 3; i++)
        if (!want_f32(n, i, why))
            return false;
    if (!is_quantized(to))
        return refuse(why, "to must be i8, u8, i16 or u16, it is %s", dtype_name(to));
    if (!want_rank(n, 1, 0, why) || !want_rank(n, 2, 0, why))
        return false;
    results[0] = type_plain(DT_f32, *shape_in(n, 0));
    return true;
}

/* Within 2^22 the kernel's way to round is exact. */
static bool want_steps(const FakeQuantAttrs *a, Buf *why) {
    const double limit = 1 << 22;
    if (isnan(a->divide) || isnan(a->times))
        return refuse(why, "divide and times must be numbers");
    if (!(-limit <= a->min && a->min <= 0 && 0 <= a->max && a->max <= limit) ||
        a->min != rint(a->min) || a->max != rint(a->max))
        return refuse(why, "min and max must be integers, one not over and one not under 0");
    return true;
}

bool infer_fake_quant(const Node *n, Type *results, Buf *why) {
    if (!want_f32(n, 0, why) || !want_steps(fake_quant_attrs(n), why))
        return false;
    results[0] = type_plain(DT_f32, *shape_in(n, 0));
    return true;
}

bool infer_requantize(const Node *n, Type *results, Buf *why) {
    if (!want_f32(n, 0, why) || !want_f32(n, 1, why) || !want_steps(fake_quant_attrs(n), why) ||
        !infer_broadcast(n, results, why))
        return false;
    return shape_equal(&results[0].shape, shape_in(n, 0)) ||
           refuse(why, "operand by must broadcast to x");
}

bool infer_requantize_sum(const Node *n, Type *results, Buf *why) {
    const RequantizeSumAttrs *a = requantize_sum_attrs(n);
    FakeQuantAttrs steps = requantize_sum_steps(n);
    if (isnan(a->by_a) || isnan(a->by_b))
        return refuse(why, "by_a and by_b must be numbers");
    if (!want_f32(n, 0, why) || !want_f32(n, 1, why) || !want_steps(&steps, why) ||
        !want_shape(n, 1, *shape_in(n, 0), why))
        return false;
    results[0] = type_plain(DT_f32, *shape_in(n, 0));
    return true;
}
