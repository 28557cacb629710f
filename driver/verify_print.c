/* verify_print.c: what effnetc verify found, as tables and as JSON. */
#include "driver/describe.h"
#include "driver/verify.h"

#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

static void print_result(const Comparison *c, const char *result) {
    printf("%10.3g %10.3g %10.3g %12.9f  %s", c->max_abs, c->relative, c->max_ulp, c->cosine,
           result);
}

static void print_figures(const Comparison *c) {
    print_result(c, c->pass ? "PASS" : "FAIL");
}

static void print_no_figures(const char *result) {
    printf("%10s %10s %10s %12s  %s", "-", "-", "-", "-", result);
}

static void print_titles(void) {
    printf("%10s %10s %10s %12s  %s", "max abs", "relative", "ulp", "cosine", "result");
}

static void print_outputs(const VerifyReport *r) {
    Arena a = {0};
    printf("%-24s ", "output");
    print_titles();
    for (size_t i = 0; i < r->m->outputs.len; i++) {
        const OutputCheck *o = &r->outputs[i];
        printf("\n%-24s ", printable(&a, o->name));
        if (o->compared && !o->resized)
            print_figures(&o->c);
        else
            print_no_figures(o->resized ? "FAIL" : "not compared");
    }
    putchar('\n');
    arena_free(&a);
}

static void print_layers(const Layers *l) {
    Arena a = {0};
    printf("%-16s %-24s ", "op", "result");
    print_titles();
    printf("  %s\n", "from");
    for (size_t i = 0; i < l->list.len; i++) {
        const Layer *x = &l->list.data[i];
        Type t = type_plain(x->value->type.dtype, x->value->type.shape);
        printf("%-16s %-24s ", op_info(x->node->op)->name, type_str(&a, &t));
        const char *result = !x->compared      ? "-"
                             : layer_drifts(x) ? "DRIFT"
                             : x->c.pass       ? "PASS"
                                               : "FAIL";
        if (x->compared)
            print_result(&x->c, result);
        else
            print_no_figures(result);
        printf("%*s%s\n", 8 - (int)strlen(result), "", printed_origin(x->node->origin, &a));
    }
    putchar('\n');
    arena_free(&a);
}

static void print_passes(const Bisection *b) {
    printf("%-18s %-8s %7s ", "behind", "level", "size");
    print_titles();
    putchar('\n');
    for (size_t i = 0; i < b->passes.len; i++) {
        const PassCheck *p = &b->passes.data[i];
        printf("%-18s %-8s ", p->name, p->level);
        if (p->size)
            printf("%7d ", p->size);
        else
            printf("%7s ", "");
        print_figures(&p->worst);
        puts(p->same ? ", changed nothing" : "");
    }
}

static void print_text(const VerifyReport *r) {
    if (r->bisection)
        print_passes(r->bisection);
    if (r->layers)
        print_layers(r->layers);
    if (r->outputs)
        print_outputs(r);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Adds the figures of a comparison to an object. */
static json_t *with_figures(json_t *o, const Comparison *c) {
    json_object_set_new(o, "max_abs", json_number(c->max_abs));
    json_object_set_new(o, "relative", json_number(c->relative));
    json_object_set_new(o, "max_ulp", json_number(c->max_ulp));
    json_object_set_new(o, "cosine", json_number(c->cosine));
    json_object_set_new(o, "not_finite", json_integer(c->not_finite));
    json_object_set_new(o, "pass", json_boolean(c->pass));
    return o;
}

static json_t *json_outputs(const VerifyReport *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->m->outputs.len; i++) {
        const OutputCheck *o = &r->outputs[i];
        json_t *x = json_pack("{s:o, s:b}", "name", json_text(o->name), "compared",
                              (int)(o->compared && !o->resized));
        if (o->compared && !o->resized)
            with_figures(x, &o->c);
        else
            json_object_set_new(x, "pass", o->resized ? json_false() : json_null());
        json_array_append_new(list, x);
    }
    return list;
}

static json_t *json_layer(const Layer *x, int step) {
    const Type *t = &x->value->type;
    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:o, s:o, s:o, s:b}", "step", step, "op", op_info(x->node->op)->name,
        "dtype", dtype_name(t->dtype), "shape", json_dims(t->shape.rank, t->shape.dim), "from",
        json_text(x->node->origin), "value", x->source ? json_text(x->source) : json_null(),
        "compared", (int)x->compared);
    if (x->compared && x->drift > 0)
        json_object_set_new(o, "drift", json_number(x->drift));
    return x->compared ? with_figures(o, &x->c) : o;
}

static json_t *json_layers(const Layers *l) {
    json_t *list = json_array();
    int step = 0;
    for (size_t i = 0; i < l->list.len; i++) {
        while (l->step.data[step + 1] <= i)
            step++;
        json_array_append_new(list, json_layer(&l->list.data[i], step));
    }
    return list;
}

/* The place in the list of the first layer that differs; null where none does. */
static json_t *json_first(const Layers *l) {
    const Layer *first = layers_first(l);
    return first ? json_integer(first - l->list.data) : json_null();
}

static json_t *json_passes(const Bisection *b) {
    json_t *list = json_array();
    for (size_t i = 0; i < b->passes.len; i++) {
        const PassCheck *p = &b->passes.data[i];
        json_t *o = json_pack("{s:s, s:s, s:o, s:b}", "name", p->name, "level", p->level, "size",
                              p->size ? json_integer(p->size) : json_null(), "changed", !p->same);
        json_array_append_new(list, with_figures(o, &p->worst));
    }
    return list;
}

static json_t *json_tolerance(const Tolerance *t) {
    return json_pack("{s:o, s:o, s:o}", "relative", json_number(t->relative), "atol",
                     t->each ? json_number(t->atol) : json_null(), "rtol",
                     t->each ? json_number(t->rtol) : json_null());
}

static void print_json(const VerifyReport *r) {
    const effnetc_model *m = r->m;
    json_t *root =
        json_pack("{s:o, s:s, s:i, s:s, s:o, s:o, s:b}", "model", json_text(base_name(m->path)),
                  "target", m->target->name, "opt_level", m->options.opt_level, "backend",
                  r->backend, "reference", json_text(r->reference), "tolerance",
                  json_tolerance(&r->tolerance), "pass", m->diag->errors == 0);
    ensure(root);
    if (r->outputs)
        json_object_set_new(root, "outputs", json_outputs(r));
    if (r->bisection) {
        const PassCheck *first = r->bisection->first;
        json_object_set_new(root, "passes", json_passes(r->bisection));
        json_object_set_new(root, "first_pass", first ? json_string(first->name) : json_null());
    }
    if (r->layers) {
        json_object_set_new(root, "layers", json_layers(r->layers));
        json_object_set_new(root, "first_layer", json_first(r->layers));
    }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

void verify_print(const VerifyReport *r, bool json) {
    if (json)
        print_json(r);
    else
        print_text(r);
}
