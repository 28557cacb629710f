/* backend_llvm.c: native code by LLVM, made and loaded in memory. */
#include "driver/driver.h"

#include "codegen/emit_llvm.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

static const Option jit_rows[] = {
    {"cache", 0, OPT_TEXT, offsetof(effnetc_options, cache), "DIR",
     "keep the llvm backend's code in a folder: the next time it is there", 0, 0},
    {"cache-limit", 0, OPT_SIZE, offsetof(effnetc_options, cache_limit), "BYTES",
     "remove from it what was used longest ago where it has more (default: 4294967296; 0: any)", 0,
     0},
    {NULL, 'g', OPT_FLAG, offsetof(effnetc_options, debug), NULL,
     "say for debuggers which ONNX nodes the llvm backend's code comes from", 0, 0},
    {"perf-map", 0, OPT_FLAG, offsetof(effnetc_options, perf_map), NULL,
     "write /tmp/perf-PID.map: perf then names the llvm backend's functions", 0, 0},
};
const OptionGroup jit_options = OPTION_GROUP(jit_rows);

static bool find_symbol(void *jit, const char *name, void *function, Diag *d) {
    return llvm_jit_symbol(jit, name, function, d);
}

static void unload(void *jit) {
    llvm_jit_close(jit);
}

static bool load(NativeCode *code, effnetc_model *m, const void *object, size_t size) {
    static const char any[] = "effnetc_entry";
    uintptr_t address;
    *code = (NativeCode){llvm_jit_open(object, size, m->path, m->diag), find_symbol, unload};
    if (!code->handle || !find_symbol(code->handle, any, &address, m->diag))
        return false;
    if (m->options.perf_map)
        perf_map_write(m, object, size, any, address);
    return true;
}

static bool make_object(Buf *object, effnetc_model *m, bool watched, rt_pool *threads) {
    EmitInfo info = model_emit_info(m);
    LlvmOptions o = {.opt_level = m->options.opt_level,
                     .debug = m->options.debug,
                     .step_hook = watched,
                     .entry = true,
                     .parallel_for = threads ? rt_pool_for : NULL,
                     .pool = threads};
    return emit_c_check(m->program.module, m->path, m->diag) &&
           emit_llvm(object, m->program.module, &info, LLVM_OBJECT, &o, m->diag);
}

/* What the passes needed goes back to the system before LLVM begins, and what LLVM needed before
 * the weights are in memory again and the arena is allocated. */
static void trim_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* LLVM needs some 50 MB. Where the weights are more, the passes have needed more than both. */
static void spill_weights(Module *m) {
    enum { FEW = 1 << 20, MANY = 64 << 20 };
    if (m->weights_bytes >= FEW && m->weights_bytes <= MANY)
        module_spill_weights(m);
}

bool llvm_code(NativeCode *code, effnetc_model *m, bool watched, rt_pool *threads) {
    Buf object = {0};
    if (!m->program.module)
        return load(code, m, m->cached.object, m->cached.object_bytes);
    spill_weights(m->program.module);
    trim_memory();
    bool ok = emit_llvm_require(m->diag) && make_object(&object, m, watched, threads);
    loaded_release(emit_llvm_address());
    trim_memory();
    ok = ok && load(code, m, object.data, object.len);
    if (ok && !watched)
        cache_keep(m, &object);
    buf_free(&object);
    return ok;
}
