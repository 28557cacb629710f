/* emit.c: the files of a compiled model. */
#include "driver/driver.h"

#include "codegen/emit_llvm.h"

#include <inttypes.h>
#include <string.h>

static const Option code_rows[] = {
    {"mean", 0, OPT_LIST, offsetof(effnetc_options, mean), "M|R,G,B",
     "u8-rgb: subtracted from channel values 0..255 (default: the member's)", 0, 0},
    {"std", 0, OPT_LIST, offsetof(effnetc_options, std), "S|R,G,B",
     "u8-rgb: what the difference is divided by", 0, 0},
    {"channels", 0, OPT_CHOICE, offsetof(effnetc_options, channels), "rgb|bgr",
     "u8-rgb: the order in which the model wants them", 0, 0},
    {"crop", 0, OPT_PART, offsetof(effnetc_options, crop), "F",
     "u8-rgb-any, as this and the next ones of `effnetc run`: cut out a centred square", 0, 0},
    {"crop-pct", 0, OPT_PART, offsetof(effnetc_options, crop_pct), "F",
     "scale the shorter side to the input's size / F, then cut out the centre", 0, 0},
    {"resize", 0, OPT_INT, offsetof(effnetc_options, resize), "N",
     "scale the shorter side to N, then cut out the centre", 1, RT_MAX_SIDE},
    {"fit", 0, OPT_CHOICE, offsetof(effnetc_options, fit), "stretch|letterbox",
     "take all of a picture (default of all four: the member's)", 0, 0},
    {"filter", 0, OPT_CHOICE, offsetof(effnetc_options, filter), FILTER_CHOICES,
     "how pictures are scaled; hamming and lanczos are not in generated code", 0, 0},
    {"pillow", 0, OPT_INT, offsetof(effnetc_options, pillow), "VERSION",
     "to the bit as by this version of Pillow (default: 13)", 1, 99},
    {"max-side", 0, OPT_INT, offsetof(effnetc_options, max_side), "PIXELS",
     "u8-rgb-any: of a picture's rows and columns, which scratch memory is for (default: 32767)", 1,
     RT_MAX_SIDE},
    {"name", 0, OPT_TEXT, offsetof(effnetc_options, name), "NAME",
     "prefix of files and of C names (default: from MODEL)", 0, 0},
    {"weights", 0, OPT_CHOICE, offsetof(effnetc_options, weights), "bin|incbin|text|obj",
     "NAME.weights.bin; or the constant NAME_weights: of that file by NAME.weights.S, as "
     "numbers in NAME.weights.c, or in native code (default: bin)",
     0, 0},
    {NULL, 'g', OPT_FLAG, offsetof(effnetc_options, debug), NULL,
     "native code has debug information: ONNX names, and lines of --emit=loop-ir", 0, 0},
    {"threads", 0, OPT_INT, offsetof(effnetc_options, threads), "N",
     "threads that make native code, the same one; 0: as many as CPUs (default: 1)", 0,
     RT_MAX_THREADS},
    {"selftest", 0, OPT_FLAG, offsetof(effnetc_options, selftest), NULL,
     "add NAME_selftest, which checks the code where it runs; takes an interpreted run", 0, 0},
};
const OptionGroup code_options = OPTION_GROUP(code_rows);

/* Runs the module on the inputs of NAME_selftest; hash[i] is that of output i. */
static bool selftest_hashes(effnetc_model *m, uint64_t *hash) {
    Arena a = {0};
    uint64_t state = SELFTEST_SEED;
    Tensor **in = ARENA_ARRAY(&a, m->inputs.len + 1, Tensor *);
    Tensor **out = ARENA_ARRAY(&a, m->outputs.len + 1, Tensor *);
    for (size_t i = 0; i < m->inputs.len; i++) {
        in[i] = tensor_for(&m->inputs.data[i], &a);
        selftest_input(in[i], &state);
    }
    bool ok = run_tensors(m, EFFNETC_BACKEND_LOOP_INTERP, in, out, &a);
    for (size_t i = 0; ok && i < m->outputs.len; i++)
        hash[i] = selftest_hash(out[i]);
    arena_free(&a);
    return ok;
}

/* Adds DIR/NAME<suffix> with a text, which moves into the model's arena. */
static void add_text(effnetc_model *m, Outputs *out, const char *dir, const char *suffix,
                     Buf *text) {
    const char *path =
        strcmp(dir, "-") ? arena_printf(&m->arena, "%s/%s%s", dir, m->name, suffix) : "-";
    outputs_add(out, path, arena_copy(&m->arena, buf_str(text), text->len), text->len);
    buf_free(text);
}

/* ---- code ---- */

static bool print_c(effnetc_model *m, const EmitInfo *info, Buf *out) {
    emit_c_source(out, m->program.module, info);
    return true;
}

static bool print_llvm(effnetc_model *m, const EmitInfo *info, Buf *out, LlvmFile file) {
    rt_pool *pool = NULL;
    if (m->options.threads != 1 && !threads_new(&pool, m))
        return false;
    LlvmOptions o = {.opt_level = m->options.opt_level,
                     .debug = m->options.debug,
                     .parallel_for = pool ? rt_pool_for : NULL,
                     .pool = pool};
    bool ok = emit_llvm(out, m->program.module, info, file, &o, m->diag);
    rt_pool_free(pool);
    return ok;
}

static bool print_object(effnetc_model *m, const EmitInfo *info, Buf *out) {
    return print_llvm(m, info, out, LLVM_OBJECT);
}

static bool print_assembly(effnetc_model *m, const EmitInfo *info, Buf *out) {
    return print_llvm(m, info, out, LLVM_ASSEMBLY);
}

static bool print_llvm_ir(effnetc_model *m, const EmitInfo *info, Buf *out) {
    return print_llvm(m, info, out, LLVM_IR);
}

static bool print_shared(effnetc_model *m, const EmitInfo *info, Buf *out) {
    Buf object = {0};
    bool ok = print_object(m, info, &object) && link_shared(m, &object, out);
    buf_free(&object);
    return ok;
}

typedef struct CodeKind {
    unsigned what;
    const char *name, *suffix; /* name: in NAME.json */
    bool (*print)(effnetc_model *m, const EmitInfo *info, Buf *out);
} CodeKind;

static const CodeKind code_kinds[] = {
    {EFFNETC_C, "source", ".c", print_c},
    {EFFNETC_OBJECT, "object", ".o", print_object},
    {EFFNETC_ASSEMBLY, "assembly", ".s", print_assembly},
    {EFFNETC_LLVM_IR, "llvm", ".ll", print_llvm_ir},
    {EFFNETC_SHARED, "library", ".so", print_shared},
};
enum { NCODE_KINDS = sizeof code_kinds / sizeof *code_kinds };

typedef VEC(EmitFile) EmitFiles;

static void add_file(effnetc_model *m, EmitFiles *files, const char *kind, const char *suffix) {
    EmitFile f = {kind, arena_printf(&m->arena, "%s%s", m->name, suffix)};
    vec_push(&m->arena, files, f);
}

/* Adds the code of the kinds that are asked for, and names it in `files`. */
static bool emit_code(effnetc_model *m, const EmitInfo *info, Outputs *out, const char *dir,
                      unsigned what, EmitFiles *files) {
    if (!emit_c_check(m->program.module, m->path, m->diag))
        return false;
    for (size_t i = 0; i < NCODE_KINDS; i++) {
        const CodeKind *k = &code_kinds[i];
        Buf text = {0};
        if (!(what & k->what))
            continue;
        if (!k->print(m, info, &text))
            return false;
        add_text(m, out, dir, k->suffix, &text);
        add_file(m, files, k->name, k->suffix);
    }
    return true;
}

static void emit_header(effnetc_model *m, const EmitInfo *info, Outputs *out, const char *dir) {
    Buf header = {0};
    emit_c_header(&header, m->program.module, info);
    add_text(m, out, dir, ".h", &header);
}

/* Source code of NAME_weights. */
static void emit_weights_source(effnetc_model *m, const EmitInfo *info, Outputs *out,
                                const char *dir, EmitFiles *files) {
    const Module *module = m->program.module;
    bool text = info->weights == WEIGHTS_TEXT;
    const char *suffix = text ? ".weights.c" : ".weights.S";
    Buf source = {0};
    (text ? emit_weights_text : emit_weights_assembly)(&source, module, info);
    add_text(m, out, dir, suffix, &source);
    add_file(m, files, "weights_source", suffix);
}

static void emit_weights(effnetc_model *m, const EmitInfo *info, Outputs *out, const char *dir,
                         EmitFiles *files) {
    const Module *module = m->program.module;
    if ((info->weights == WEIGHTS_INCLUDE || info->weights == WEIGHTS_TEXT) &&
        module->weights_bytes)
        emit_weights_source(m, info, out, dir, files);
    if (info->weights == WEIGHTS_INSIDE || info->weights == WEIGHTS_TEXT)
        return;
    outputs_add(out, arena_printf(&m->arena, "%s/%s.weights.bin", dir, m->name),
                module->weights->data, (size_t)module->weights_bytes);
    add_file(m, files, "weights", ".weights.bin");
}

/* What users of the code need beside it. */
static void emit_companions(effnetc_model *m, const EmitInfo *info, Outputs *out, const char *dir,
                            EmitFiles *files) {
    const Module *module = m->program.module;
    Buf json = {0};
    emit_header(m, info, out, dir);
    add_file(m, files, "header", ".h");
    emit_weights(m, info, out, dir, files);
    emit_json(&json, module, info, files->data, files->len);
    add_text(m, out, dir, ".json", &json);
}

bool emit_c_files(effnetc_model *m, Outputs *out, const char *dir) {
    EmitFiles files = {0};
    EmitInfo info = model_emit_info(m);
    if (!emit_code(m, &info, out, dir, EFFNETC_C, &files))
        return false;
    emit_header(m, &info, out, dir);
    return true;
}

static WeightsPlace weights_place(const effnetc_options *o) {
    const char *place = o->weights ? o->weights : "bin";
    return !strcmp(place, "obj")      ? WEIGHTS_INSIDE
           : !strcmp(place, "incbin") ? WEIGHTS_INCLUDE
           : !strcmp(place, "text")   ? WEIGHTS_TEXT
                                      : WEIGHTS_FILE;
}

bool check_weights_place(const effnetc_options *o, unsigned what, Diag *d) {
    bool native = (what & EFFNETC_NATIVE) && !(what & EFFNETC_C);
    if (weights_place(o) != WEIGHTS_INSIDE || !what || native)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "--weights=obj is for native code alone");
    diag_note(d, "help", "--emit=obj, or --weights=incbin");
    return false;
}

/* LLVM counts the bytes of a constant in 32 bits. */
static bool check_weights_inside(effnetc_model *m, const EmitInfo *info) {
    int64_t bytes = m->program.module->weights_bytes;
    if (info->weights != WEIGHTS_INSIDE || bytes <= UINT32_MAX)
        return true;
    diag_error(m->diag, EXIT_UNSUPPORTED, "effnetc",
               "weights of %" PRId64 " bytes are too large to be inside of the code", bytes);
    diag_note(m->diag, "help", "--weights=bin");
    return false;
}

/* A text alone, on standard output, comes without companions. */
static bool emit_code_files(effnetc_model *m, Outputs *out, const char *dir, unsigned what) {
    EmitFiles files = {0};
    EmitInfo info = model_emit_info(m);
    uint64_t *hashes = ARENA_ARRAY(&m->arena, m->outputs.len + 1, uint64_t);
    if (m->options.selftest && !selftest_hashes(m, hashes))
        return false;
    info.selftest = m->options.selftest ? hashes : NULL;
    info.weights = weights_place(&m->options);
    if (!check_weights_inside(m, &info) || !emit_code(m, &info, out, dir, what, &files))
        return false;
    if (strcmp(dir, "-") != 0)
        emit_companions(m, &info, out, dir, &files);
    return true;
}

/* ---- IR ---- */

static void emit_graph(effnetc_model *m, Outputs *out, const char *dir, const char *constants) {
    Buf text = {0};
    ConstantForm form = !strcmp(constants, "inline") ? CONSTANTS_INLINE : CONSTANTS_ELIDED;
    graph_print(&text, m->program.graph, form);
    add_text(m, out, dir, ".graph.ir", &text);
    if (!strcmp(constants, "file"))
        graph_write_constants(m->program.graph, arena_printf(&m->arena, "%s/constants", dir), out);
}

static void emit_loops(effnetc_model *m, Outputs *out, const char *dir, const char *constants) {
    Buf text = {0};
    module_print(&text, m->program.module);
    add_text(m, out, dir, ".loop.ir", &text);
    if (!strcmp(constants, "file"))
        module_write_weights(m->program.module, arena_printf(&m->arena, "%s/constants", dir), out);
}

/* ---- all of it ---- */

bool emit_is_one_text(unsigned what) {
    static const unsigned texts[] = {EFFNETC_GRAPH_IR, EFFNETC_LOOP_IR, EFFNETC_ASSEMBLY,
                                     EFFNETC_LLVM_IR};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (what == texts[i])
            return true;
    return false;
}

static bool check_stdout(effnetc_model *m, unsigned what, const char *constants) {
    if (emit_is_one_text(what) && strcmp(constants, "file") != 0)
        return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "standard output takes one text, not several files");
    diag_note(m->diag, "help", "give a folder with -o DIR");
    return false;
}

bool effnetc_emit(effnetc_model *m, unsigned what, const char *dir) {
    const char *constants = m->options.ir_constants ? m->options.ir_constants : "elided";
    unsigned code = what & (EFFNETC_C | EFFNETC_NATIVE);
    Outputs out = {0};
    ensure(m->program.module);
    if (!check_weights_place(&m->options, code, m->diag) ||
        (!strcmp(dir, "-") && !check_stdout(m, what, constants)))
        return false;
    bool ok = !code || emit_code_files(m, &out, dir, code);
    if (what & EFFNETC_GRAPH_IR)
        emit_graph(m, &out, dir, constants);
    if (what & EFFNETC_LOOP_IR)
        emit_loops(m, &out, dir, constants);
    ok = ok && outputs_commit(&out, m->diag);
    outputs_free(&out);
    return ok;
}
