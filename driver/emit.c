/* emit.c: the files of a compiled model. */
#include "codegen/emit_llvm.h"
#include "driver/driver.h"

#include <string.h>

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

static void emit_source(effnetc_model *m, Outputs *out, const char *dir, const EmitInfo *info) {
    Buf source = {0};
    emit_c_source(&source, m->program.module, info);
    add_text(m, out, dir, ".c", &source);
}

static void emit_header(effnetc_model *m, Outputs *out, const char *dir, const EmitInfo *info) {
    Buf header = {0};
    emit_c_header(&header, m->program.module, info);
    add_text(m, out, dir, ".h", &header);
}

bool emit_c_files(effnetc_model *m, Outputs *out, const char *dir) {
    EmitInfo info = model_emit_info(m);
    if (!emit_c_check(m->program.module, m->path, m->diag))
        return false;
    emit_source(m, out, dir, &info);
    emit_header(m, out, dir, &info);
    return true;
}

/* What is beside the code of every kind: the header, the contract, the weights. */
static void emit_beside(effnetc_model *m, Outputs *out, const char *dir, const EmitInfo *info) {
    const Module *module = m->program.module;
    Buf json = {0};
    emit_header(m, out, dir, info);
    emit_json(&json, module, info);
    add_text(m, out, dir, ".json", &json);
    if (!info->weights_inside)
        outputs_add(out, arena_printf(&m->arena, "%s/%s.weights.bin", dir, m->name),
                    module->weights->data, (size_t)module->weights_bytes);
}

/* Kinds of native code. */
static const struct {
    unsigned bit;
    LlvmFile kind;
    const char *suffix;
} natives[] = {{EFFNETC_OBJECT, LLVM_OBJECT, ".o"},
               {EFFNETC_ASSEMBLY, LLVM_ASSEMBLY, ".s"},
               {EFFNETC_LLVM_IR, LLVM_IR, ".ll"}};

static bool emit_natives(effnetc_model *m, Outputs *out, const char *dir, unsigned what,
                         const EmitInfo *info) {
    LlvmOptions options = {.opt_level = m->options.opt_level, .debug = m->options.debug};
    for (size_t i = 0; i < sizeof natives / sizeof *natives; i++) {
        Buf code = {0};
        if (!(what & natives[i].bit))
            continue;
        if (!emit_llvm(&code, m->program.module, info, natives[i].kind, &options, m->diag))
            return false;
        add_text(m, out, dir, natives[i].suffix, &code);
    }
    return true;
}

/* Code of the kinds in `what`, and what is beside it. */
static bool emit_code(effnetc_model *m, Outputs *out, const char *dir, unsigned what) {
    EmitInfo info = model_emit_info(m);
    uint64_t *hashes = ARENA_ARRAY(&m->arena, m->outputs.len + 1, uint64_t);
    if (!emit_c_check(m->program.module, m->path, m->diag))
        return false;
    if (m->options.selftest && !selftest_hashes(m, hashes))
        return false;
    info.selftest = m->options.selftest ? hashes : NULL;
    info.weights_inside = m->options.weights && !strcmp(m->options.weights, "obj");
    if (what & EFFNETC_C)
        emit_source(m, out, dir, &info);
    if (!emit_natives(m, out, dir, what, &info))
        return false;
    emit_beside(m, out, dir, &info);
    return true;
}

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

/* Standard output takes one text. */
static bool check_stdout(effnetc_model *m, unsigned what, const char *constants) {
    bool one_text = what == EFFNETC_GRAPH_IR || what == EFFNETC_LOOP_IR;
    if (one_text && strcmp(constants, "file") != 0)
        return true;
    diag_error(m->diag, EXIT_USAGE, "effnetc", "standard output takes one text, not several files");
    diag_note(m->diag, "help", "give a folder with -o DIR");
    return false;
}

bool effnetc_emit(effnetc_model *m, unsigned what, const char *dir) {
    const char *constants = m->options.ir_constants ? m->options.ir_constants : "elided";
    const unsigned code = EFFNETC_C | EFFNETC_NATIVE;
    Outputs out = {0};
    ensure(m->program.module);
    if (!strcmp(dir, "-") && !check_stdout(m, what, constants))
        return false;
    bool ok = !(what & code) || emit_code(m, &out, dir, what);
    if (what & EFFNETC_GRAPH_IR)
        emit_graph(m, &out, dir, constants);
    if (what & EFFNETC_LOOP_IR)
        emit_loops(m, &out, dir, constants);
    ok = ok && outputs_commit(&out, m->diag);
    outputs_free(&out);
    return ok;
}
