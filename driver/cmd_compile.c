/* cmd_compile.c: effnetc compile: a model to C, to native code, or to the text of an IR. */
#include "codegen/emit_llvm.h"
#include "driver/driver.h"

#include <string.h>

typedef struct CompileOptions {
    CommonOptions common;
    effnetc_options compiler;
    effnetc_strings emit;
    const char *out;
} CompileOptions;

static const Option rows[] = {
    {NULL, 'o', OPT_TEXT, offsetof(CompileOptions, out), "DIR",
     "where files go; - is standard output, for one text", 0, 0},
    {"emit", 0, OPT_LIST, offsetof(CompileOptions, emit), "c,obj,shared,asm,llvm,graph-ir,loop-ir",
     "what is written (default: c); obj, shared, asm and llvm need a build with LLVM", 0, 0},
    {"input", 0, OPT_CHOICE, offsetof(CompileOptions, compiler.input), INPUT_CHOICES,
     "as --input-type", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* What --emit knows. */
typedef struct EmitKind {
    const char *name;
    unsigned bit;
} EmitKind;

static const EmitKind kinds[] = {
    {"c", EFFNETC_C},
    {"obj", EFFNETC_OBJECT},
    {"shared", EFFNETC_SHARED},
    {"asm", EFFNETC_ASSEMBLY},
    {"llvm", EFFNETC_LLVM_IR},
    {"graph-ir", EFFNETC_GRAPH_IR},
    {"loop-ir", EFFNETC_LOOP_IR},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static const EmitKind *find_kind(const char *name, Diag *d) {
    const char *names[NKINDS];
    for (size_t i = 0; i < NKINDS; i++) {
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
        names[i] = kinds[i].name;
    }
    diag_error(d, EXIT_USAGE, "effnetc", "--emit=%s: there is no such output", name);
    note_nearest(d, name, names, NKINDS, "`effnetc compile --help` lists what there is");
    return NULL;
}

/* The bit of one word of --emit; 0 with an error. */
static unsigned emit_bit(const char *word, Diag *d) {
    const EmitKind *k = find_kind(word, d);
    return k ? k->bit : 0;
}

static unsigned emit_bits(effnetc_strings words, Diag *d) {
    unsigned bits = words.count ? 0 : EFFNETC_C;
    for (size_t i = 0; i < words.count; i++)
        bits |= emit_bit(words.items[i], d);
    if (bits & EFFNETC_NATIVE)
        emit_llvm_require(d);
    return bits;
}

/* Asked before any work: where output goes. */
static const char *output_folder(const CompileOptions *o, unsigned what, Diag *d) {
    if (o->out)
        return o->out;
    if (emit_is_one_text(what))
        return "-";
    diag_error(d, EXIT_USAGE, "effnetc", "compile needs to know where the files go");
    diag_note(d, "help", "give a folder with -o DIR");
    return NULL;
}

static void check_selftest(const CompileOptions *o, unsigned what, Diag *d) {
    if (!o->compiler.selftest || !what || what & (EFFNETC_C | EFFNETC_NATIVE))
        return;
    diag_error(d, EXIT_USAGE, "effnetc", "--selftest is a function of generated code");
    diag_note(d, "help", "--emit=c or --emit=obj");
}

/* Tiles are measured in what is to run: code of a C compiler, or of LLVM. */
static effnetc_options compiler_options_for(const CompileOptions *o, unsigned what) {
    effnetc_options c = o->compiler;
    c.native = what & EFFNETC_C ? "c" : NULL;
    return c;
}

static void run(Context *cx, const void *options) {
    const CompileOptions *o = options;
    unsigned what = emit_bits(o->emit, &cx->diag);
    const char *dir = output_folder(o, what, &cx->diag);
    check_selftest(o, what, &cx->diag);
    check_weights_place(&o->compiler, what, &cx->diag);
    if (cx->diag.errors)
        return;
    effnetc_options compiler = compiler_options_for(o, what);
    effnetc_model *m = model_open(&compiler, &cx->diag);
    m->code_only = !(what & EFFNETC_GRAPH_IR);
    if (effnetc_load(m, o->common.args.items[0]) && effnetc_compile(m))
        effnetc_emit(m, what, dir);
    effnetc_free(m);
}

static void defaults(void *options) {
    ((CompileOptions *)options)->compiler = effnetc_default_options();
}

const Command command_compile = {
    .name = "compile",
    .args = "MODEL",
    .summary = "compile a model to C (NAME.c, NAME.h, NAME.weights.bin, NAME.json)",
    .about = "`effnetc MODEL -o DIR` means the same. With --emit=obj or shared, NAME.o or NAME.so "
             "takes\n"
             "the place of NAME.c.",
    .groups = {{&own, 0},
               {&code_options, offsetof(CompileOptions, compiler)},
               {&compiler_options, offsetof(CompileOptions, compiler)},
               {&tune_options, offsetof(CompileOptions, compiler)},
               {&pass_options, offsetof(CompileOptions, compiler)}},
    .size = sizeof(CompileOptions),
    .defaults = defaults,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
