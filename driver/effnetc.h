/* effnetc.h: the public interface of the library effnetc::effnetc. The command is a thin client.
 *
 *     effnetc_model *m = effnetc_open(NULL);
 *     if (effnetc_load(m, "b0.onnx") && effnetc_compile(m) && effnetc_emit(m, EFFNETC_C, "out"))
 *         puts("done");
 *     effnetc_print_diagnostics(m, stderr, false);
 *     int code = effnetc_exit_code(m);
 *     effnetc_free(m);
 *
 * A model is used by one thread at a time; different models are independent. Functions that return
 * bool return false after adding errors to the model's diagnostics. Strings and arrays that are
 * passed in are read during the call alone, except those of the options, which must outlive the
 * model. Strings and arrays that are handed out live until effnetc_free. */
#ifndef EFFNETC_H
#define EFFNETC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct effnetc_model effnetc_model;

typedef struct effnetc_strings {
    const char *const *items;
    size_t count;
} effnetc_strings;

/* A zeroed struct asks for the defaults, but for numbers: start from effnetc_default_options.
 * effnetc_load checks them all. */
typedef struct effnetc_options {
    const char *target;   /* a row of `effnetc targets`; NULL or "native": this machine */
    const char *name;     /* prefix of generated names and files; NULL: from the file's name */
    effnetc_strings dims; /* "NAME=N": values of symbolic dimensions */
    const char *input;    /* "u8-rgb": the input is u8[N,H,W,3], normalised inside; "u8-rgb-any":
                             the code also takes pictures of any size; NULL: the model's input */
    const char *input_layout, *output_layout; /* "nchw", "nhwc": of tensors with four dimensions;
                                                 NULL, "model": the model's */
    effnetc_strings mean; /* of "u8-rgb": one number or three; none, of both: the member's */
    effnetc_strings std;
    const char *channels; /* of "u8-rgb", the model's own: "rgb" or "bgr"; NULL: the member's */
    /* How pictures become the network's size, as of `effnetc run`; 0, NULL: as for the member. */
    double crop, crop_pct;
    int resize;
    const char *fit, *filter;
    int pillow;               /* major version; 0: any from 13 on */
    int max_side;             /* pixels, of "u8-rgb-any"; 0: as many as `effnetc run` takes */
    int opt_level;            /* 0..3 */
    effnetc_strings disabled; /* passes to leave out */
    int64_t max_arena;        /* bytes that the arena must not exceed; 0: any, for speed */
    const char *print_after;  /* print the IR after this pass, "all", "changed", "diff" */
    const char *dump_dir;     /* a folder for the IR after every pass */
    const char *ir_constants; /* of printed IR: "elided" (NULL), "inline" or "file" */
    bool no_winograd;         /* compute all convolutions directly; so it is below opt_level 2 */
    bool time_passes;         /* print the time of each pass */
    bool verify_passes;       /* check the IR and its values after each pass */
    bool remarks;             /* keep remarks, and print what each pass did */
    const char *schedule;     /* a file of tiles to use; NULL: the cost model's */
    bool tune;                /* measure tiles first; they go to the file `schedule`, if any */
    int tune_seconds;         /* how long that may take */
    const char *native;       /* "c" or "llvm": the native code that is tuned and timed; NULL: as
                                 effnetc_native_backend says, but c where cc is given or input is
                                 "u8-rgb-any" */
    const char *cc;           /* C compiler of EFFNETC_BACKEND_C; NULL: $CC, else cc */
    bool selftest;            /* generated code has NAME_selftest, too */
    int threads;              /* of native code; 0: as many as this process has CPUs */
    const char *cache;        /* a folder for code of EFFNETC_BACKEND_LLVM: what is there is neither
                                 loaded nor compiled again; NULL: none is kept */
    int64_t cache_limit;      /* bytes of that folder: beyond them, what was used longest ago is
                                 removed; 0: any */
    bool debug;               /* native code has debug information: lines of NAME.loop.ir */
    const char *weights;      /* "bin" (NULL): in a file; "incbin": and NAME.weights.S, which links
                                 that as NAME_weights; "text": as numbers, NAME_weights of
                                 NAME.weights.c; "obj": NAME_weights of native code, which is
                                 emitted without C then */
    bool perf_map;            /* EFFNETC_BACKEND_LLVM writes /tmp/perf-PID.map */
    FILE *log;                /* where passes are printed; NULL: stderr */
} effnetc_options;

effnetc_options effnetc_default_options(void);

/* ---- models --------------------------------------------------------------------------------- */

/* Never NULL. The options are copied (not what they point at); NULL takes the defaults. */
effnetc_model *effnetc_open(const effnetc_options *options);
void effnetc_free(effnetc_model *m);

/* Loads an ONNX file, or graph IR text where the name ends in .ir or is "-" (standard input).
 * Once a model. */
bool effnetc_load(effnetc_model *m, const char *path);

/* Runs the passes and lowers to loop IR, for the target. Once a model, after effnetc_load. */
bool effnetc_compile(effnetc_model *m);

/* ---- files ---------------------------------------------------------------------------------- */

enum {
    EFFNETC_C = 1,        /* NAME.c */
    EFFNETC_GRAPH_IR = 2, /* NAME.graph.ir: the graph after its last pass */
    EFFNETC_LOOP_IR = 4,  /* NAME.loop.ir */
    /* Native code through LLVM, with the functions that the C has: */
    EFFNETC_OBJECT = 8,    /* NAME.o */
    EFFNETC_ASSEMBLY = 16, /* NAME.s */
    EFFNETC_LLVM_IR = 32,  /* NAME.ll */
    EFFNETC_SHARED = 64,   /* NAME.so, by ld or ld.lld */
    EFFNETC_NATIVE = EFFNETC_OBJECT | EFFNETC_ASSEMBLY | EFFNETC_LLVM_IR | EFFNETC_SHARED
};

/* Writes what the bits of `what` say into a folder, all files or none; folders are made. With code
 * of any kind come NAME.h, NAME.json and, unless they are inside, NAME.weights.bin. "-" is standard
 * output, for one text alone. After effnetc_compile. */
bool effnetc_emit(effnetc_model *m, unsigned what, const char *dir);

/* ---- execution ------------------------------------------------------------------------------ */

enum { EFFNETC_MAX_RANK = 8 };

typedef struct effnetc_tensor {
    const char *name;  /* ONNX name */
    const char *dtype; /* "f32", "i64", ... */
    int rank;
    int64_t dims[EFFNETC_MAX_RANK];
    size_t bytes; /* row-major, no padding */
    int count;    /* of an output: which one (i64[]) says how many elements of it are there along */
    int axis;     /* this axis, where that depends on data; -1: all are */
    int unread;   /* of an input: 1 where nothing reads it, so that any values do */
} effnetc_tensor;

/* After effnetc_load. */
size_t effnetc_input_count(const effnetc_model *m);
size_t effnetc_output_count(const effnetc_model *m);
effnetc_tensor effnetc_input(const effnetc_model *m, size_t i);
effnetc_tensor effnetc_output(const effnetc_model *m, size_t i);

typedef enum effnetc_backend {
    EFFNETC_BACKEND_INTERP,      /* the graph as loaded, in float64, before any pass */
    EFFNETC_BACKEND_LOOP_INTERP, /* the compiled loop IR, interpreted */
    EFFNETC_BACKEND_C,           /* the generated C, built with a C compiler and loaded */
    EFFNETC_BACKEND_LLVM         /* machine code made in memory; where LLVM is built in */
} effnetc_backend;

/* The backend that makes native code without other programs: EFFNETC_BACKEND_LLVM where LLVM is
 * built in, else EFFNETC_BACKEND_C. */
effnetc_backend effnetc_native_backend(void);

/* Runs the model on in[i] for each input into out[i] for each output, of the sizes above. All
 * backends but the first compile the model if that was not done yet. */
bool effnetc_run(effnetc_model *m, effnetc_backend backend, const void *const *in,
                 void *const *out);

/* ---- diagnostics ---------------------------------------------------------------------------- */

/* Prints all errors, warnings and (if asked for) remarks so far, with ANSI colours if `color`. */
void effnetc_print_diagnostics(const effnetc_model *m, FILE *f, bool color);
/* What a command should end with: 0 without errors; 1 usage, 2 bad model, 3 unsupported, 4 budget
 * exceeded, 5 verification failed, 74 input/output. */
int effnetc_exit_code(const effnetc_model *m);
const char *effnetc_version(void);

#ifdef __cplusplus
}
#endif

#endif
