/* c_prelude.c: what stands above the kernels in a generated file: pragmas, includes, vector types
 * and the macros that the kernels use. */
#include "codegen/c_printer.h"

#include <stdlib.h>
#include <string.h>

enum { ONE = 0, VEC = -1 };

typedef struct PreludeRow {
    InstOp op;
    const char *to;
    int bytes;
    const char *from, *needs, *text;
} PreludeRow;

static const PreludeRow rows[] = {
#define PRELUDE(op, to, bytes, from, needs, text) {INST_##op, #to, bytes, #from, needs, text},
#include "codegen/c_prelude.def"
#undef PRELUDE
};

static bool type_fits(const char *pattern, DType t) {
    bool half = t == DT_f16 || t == DT_bf16;
    if (!strcmp(pattern, "any"))
        return true;
    if (!strcmp(pattern, "half"))
        return half;
    if (!strcmp(pattern, "float"))
        return dtype_is_float(t) && !half;
    if (!strcmp(pattern, "int"))
        return !dtype_is_float(t);
    return !strcmp(pattern, dtype_name(t));
}

static bool width_fits(int bytes, LType t) {
    if (bytes == ONE || t.lanes == 1)
        return bytes == ONE && t.lanes == 1;
    return bytes == VEC || bytes == ltype_bytes(t);
}

static bool target_has(const Target *t, const char *feature) {
    if (!*feature)
        return true;
    if (!strcmp(feature, "ftz"))
        return t->flush_to_zero;
    if (!strncmp(feature, "prefetch ", 9))
        return target_prefetch_cache(t) == feature[9] - '0';
    size_t n = strlen(feature);
    for (const char *s = t->features; (s = strstr(s, feature)); s += n)
        if ((s == t->features || s[-1] == ',') && (s[n] == ',' || !s[n]))
            return true;
    return false;
}

const char *c_prelude_find(const Target *t, InstOp op, LType to, LType from) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const PreludeRow *r = &rows[i];
        if (r->op == op && width_fits(r->bytes, to) && type_fits(r->to, to.dtype) &&
            type_fits(r->from, from.dtype) && target_has(t, r->needs))
            return r->text;
    }
    return NULL;
}

/* Macros are named by what they yield, conversions by what they take as well: convert_f32_i8. */
static const char *macro_name(Arena *a, InstOp op, LType to, LType from) {
    const char *name = inst_info(op)->name, *suffix = c_type_suffix(a, to);
    if (inst_info(op)->form == FORM_CONVERT)
        return arena_printf(a, "%s_%s_%s", name, suffix, c_type_suffix(a, from));
    return arena_printf(a, "%s_%s", op == INST_splat_load ? "splat" : name, suffix);
}

const char *c_macro(CPrinter *p, InstOp op, LType to, LType from) {
    const char *name = macro_name(&p->arena, op, to, from);
    CMacro *m = map_get(&p->macro_names, name);
    if (m)
        return m->name;
    m = ARENA_NEW(&p->arena, CMacro);
    *m = (CMacro){op == INST_splat_load ? INST_splat : op, to, from, name};
    map_put(&p->arena, &p->macro_names, name, m);
    vec_push(&p->arena, &p->macros, m);
    return name;
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *parameters(InstOp op) {
    switch (inst_info(op)->form) {
    case FORM_BINARY:
        return "a, b";
    case FORM_TERNARY:
        return "a, b, c";
    case FORM_SELECT:
        return "m, a, b";
    case FORM_LOAD:
        return "p";
    case FORM_STORE:
        return "p, x";
    case FORM_PREFETCH:
        return "p, i";
    default:
        return "x";
    }
}

static void put_macro(CPrinter *p, Buf *b, const CMacro *m) {
    const char *text = c_prelude_find(p->m->target, m->op, m->to, m->from);
    if (!text)
        die("no C for %s on %s", m->name, p->m->target->name);
    CBindings v = {.type = m->to, .wide = true, .from = m->from, .op = m->op};
    if (*text == '{') {
        const char *to = c_type(&p->arena, &p->types, m->to);
        const char *from = c_type(&p->arena, &p->types, m->from);
        buf_printf(b, "static inline %s %s(%s x) ", to, m->name, from);
    } else {
        buf_printf(b, "#define %s(%s) ", m->name, parameters(m->op));
    }
    c_expand(p, b, text, &v);
    buf_putc(b, '\n');
}

static int by_name(const void *x, const void *y) {
    const CMacro *const *a = x, *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

/* The macros of macros are found while printing, hence the loop to a fixed point. */
static void put_macros(CPrinter *p, Buf *b) {
    for (size_t done = 0; done < p->macros.len;) {
        size_t from = done;
        done = p->macros.len;
        qsort(p->macros.data + from, done - from, sizeof *p->macros.data, by_name);
        for (size_t i = from; i < done; i++)
            put_macro(p, b, p->macros.data[i]);
    }
}

/* Predictive commoning keeps what the next round of a loop will load in registers that the tiles of
 * kernels need. */
static const char generic_pragmas[] =
    "/* Each operation rounds once, in every compiler alike. */\n"
    "#ifdef __FAST_MATH__\n"
    "#error \"compile without -ffast-math\"\n"
    "#endif\n"
    "#if defined(__GNUC__) && !defined(__clang__)\n"
    "#pragma GCC optimize(\"fp-contract=off\", \"no-tree-loop-distribute-patterns\")\n"
    "#pragma GCC optimize(\"no-predictive-commoning\")\n"
    "#else\n"
    "#pragma STDC FP_CONTRACT OFF\n"
    "#endif\n";

/* Loops must not become calls of memset, and neither inlining nor cloning of kernels pays. */
static const char kernel_macro[] =
    "\n"
    "#if defined(__clang__)\n"
    "#define KERNEL static __attribute__((noinline, no_builtin(\"memset\", \"memcpy\")))\n"
    "#elif defined(__GNUC__)\n"
    "#define KERNEL static __attribute__((noinline, noclone))\n"
    "#else\n"
    "#define KERNEL static\n"
    "#endif\n";

static bool asks_for_features(const Target *t) {
    return *t->features && target_arch(t)->asks_for_features;
}

static void put_target(const Target *t, Buf *b) {
    const Arch *arch = target_arch(t);
    if (!*t->features)
        return;
    buf_printf(b,
               "\n"
               "#if !defined(__GNUC__)\n"
               "#error \"this file needs GCC or Clang; effnetc --target=generic writes plain C\"\n"
               "#elif !(%s)\n"
               "#error \"this file is for %s%s%s\"\n",
               arch->c_test, t->name, *t->c_flags ? ": compile it with " : "", t->c_flags);
    if (asks_for_features(t))
        buf_printf(b,
                   "#elif defined(__clang__)\n"
                   "#pragma clang attribute push(__attribute__((target(\"%s\"))), apply_to = "
                   "function)\n"
                   "#else\n"
                   "#pragma GCC target(\"%s\")\n",
                   t->features, t->features);
    buf_puts(b, "#endif\n");
    if (*arch->gcc_options)
        buf_printf(b,
                   "#if defined(__GNUC__) && !defined(__clang__)\n"
                   "#pragma GCC optimize(\"%s\")\n"
                   "#endif\n",
                   arch->gcc_options);
    buf_printf(b, "#include <%s>\n", arch->header);
}

void c_put_prelude(CPrinter *p, Buf *b) {
    Buf macros = {0};
    put_macros(p, &macros);
    buf_puts(b, generic_pragmas);
    put_target(p->m->target, b);
    buf_puts(b, kernel_macro);
    if (macros.len) {
        buf_putc(b, '\n');
        c_put_typedefs(b, &p->types);
        buf_puts(b, buf_str(&macros));
    }
    buf_putc(b, '\n');
    buf_free(&macros);
}

void c_put_epilogue(CPrinter *p, Buf *b) {
    if (asks_for_features(p->m->target))
        buf_puts(b, "\n#if defined(__clang__)\n#pragma clang attribute pop\n#endif\n");
}
