/* target.c: the rows of targets.def and archs.def, and which of them this machine runs. */
#include "target/target.h"

#include <string.h>

/* ---- detection: does this machine have what the row's features say? ------------------------- */

static bool runs_always(void) {
    return true;
}

/* GCC's and Clang's builtin reads cpuid and asks whether the system saves the registers too. */
#if defined(__GNUC__) && defined(__x86_64__)
#define CPU_HAS(feature) (__builtin_cpu_supports(feature) != 0)
#else
#define CPU_HAS(feature) false
#endif

static bool runs_x86_64_v2(void) {
    return CPU_HAS("sse4.2") && CPU_HAS("sse4.1") && CPU_HAS("ssse3") && CPU_HAS("sse3");
}

static bool runs_x86_64_v3(void) {
    return CPU_HAS("avx2") && CPU_HAS("fma") && CPU_HAS("bmi") && CPU_HAS("bmi2");
}

static bool runs_x86_64_v4(void) {
    return runs_x86_64_v3() && CPU_HAS("avx512f") && CPU_HAS("avx512dq") && CPU_HAS("avx512bw") &&
           CPU_HAS("avx512vl");
}

/* ARMv8-A has NEON wherever it has floating point. */
static bool runs_aarch64(void) {
#if defined(__aarch64__) && !defined(__AARCH64EB__)
    return true;
#else
    return false;
#endif
}

/* By an engine alone. */
static bool runs_nowhere(void) {
    return false;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const Arch archs[] = {
#define ARCH(name, llvm, memory, prefetch, issue, cpu, header, asks, options, test)                \
    {name, memory, prefetch, issue, cpu, header, asks, options, test},
#define C_ARCH(name, memory, prefetch, issue, header, asks, options, test)                         \
    ARCH(name, , memory, prefetch, issue, NULL, header, asks, options, test)
#include "target/archs.def"
#undef C_ARCH
#undef ARCH
};

typedef struct Row {
    Target target;
    bool (*runs)(void);
} Row;

static const Row rows[] = {
#define TARGET(id, name, triple, vec, regs, fma, ftz, scale2, l1, l2, features, flags, runs,       \
               summary)                                                                            \
    {{name, triple, vec, regs, fma, ftz, scale2, (l1)*1024, (l2)*1024, features, flags, summary},  \
     runs},
#include "target/targets.def"
#undef TARGET
};

enum { COUNT = sizeof rows / sizeof *rows };

size_t target_count(void) {
    return COUNT;
}

const Target *target_at(size_t i) {
    ensure(i < COUNT);
    return &rows[i].target;
}

const Target *target_native(void) {
    for (size_t i = COUNT; i-- > 1;)
        if (rows[i].runs())
            return &rows[i].target;
    return &rows[0].target;
}

const Target *target_find(const char *name) {
    if (strcmp(name, "native") == 0)
        return target_native();
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(rows[i].target.name, name) == 0)
            return &rows[i].target;
    return NULL;
}

const Arch *target_arch(const Target *t) {
    size_t n = strcspn(t->triple, "-");
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strlen(archs[i].name) == n && !strncmp(archs[i].name, t->triple, n))
            return &archs[i];
    die("the triple %s is of no row of archs.def", t->triple);
}

bool target_runs_here(const Target *t) {
    for (size_t i = 0; i < COUNT; i++)
        if (&rows[i].target == t)
            return rows[i].runs();
    die("target %s is not a row of the table", t->name);
}
