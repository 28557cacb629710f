/* driver.h: what the files of the command and of the library share. Sections follow the files. */
#ifndef EFFNETC_DRIVER_H
#define EFFNETC_DRIVER_H

#include "codegen/codegen.h"
#include "driver/effnetc.h"
#include "ir/graph.h"
#include "passes/passes.h"
#include "runtime/runtime.h"
#include "support/printable.h"

#include <signal.h>

/* ---- options.c: command lines from tables --------------------------------------------------- */

typedef enum OptionKind {
    OPT_FLAG,   /* bool; no value */
    OPT_TEXT,   /* const char * */
    OPT_CHOICE, /* const char *: one of the words of `value`, "auto|always|never" */
    OPT_INT,    /* int, min..max */
    OPT_SIZE,   /* int64_t, at least min */
    OPT_REAL,   /* double, not NaN */
    OPT_PART,   /* double, above 0, up to 1 */
    OPT_LIST,   /* effnetc_strings: a,b,c; may be repeated */
    OPT_REPEAT  /* effnetc_strings: one value each time it is given */
} OptionKind;

typedef struct Option {
    const char *name; /* without dashes; NULL: the letter alone */
    char letter;      /* 0: none. Its value may follow at once: -O2 */
    OptionKind kind;
    size_t offset;     /* in the group's struct */
    const char *value; /* what the help calls it */
    const char *help;
    int min, max; /* of OPT_INT and OPT_SIZE */
} Option;

/* Rows for one struct; several commands may share them. */
typedef struct OptionGroup {
    const Option *rows;
    size_t count;
} OptionGroup;

#define OPTION_GROUP(rows)                                                                         \
    { (rows), sizeof(rows) / sizeof *(rows) }

typedef struct GroupUse {
    const OptionGroup *group;
    size_t base; /* offset of the group's struct in the command's */
} GroupUse;

enum { MAX_GROUPS = 6 };

typedef struct Context Context;

/* A command is a table row too: main.c lists them. */
typedef struct Command {
    const char *name;
    const char *args;                /* "MODEL" */
    const char *summary;             /* for the list of commands */
    const char *about;               /* more, for its own help; may be "" */
    GroupUse groups[MAX_GROUPS];     /* unused ones: NULL */
    size_t size;                     /* of its options, which begin with a CommonOptions */
    void (*defaults)(void *options); /* NULL: all zero */
    int min_args, max_args;
    /* Does it; errors go to the diagnostics, and they decide about the exit code. */
    void (*run)(Context *cx, const void *options);
} Command;

/* Every command has these. */
typedef struct CommonOptions {
    bool help;
    const char *color; /* "auto" (NULL), "always", "never" */
    effnetc_strings args;
} CommonOptions;

/* What a command is run with. */
struct Context {
    Arena arena;
    Diag diag;
};

/* Reads argv into *options (of c->size, with its defaults set). All errors go to d (usage). */
bool options_parse(const Command *c, void *options, int argc, char *const *argv, Arena *a, Diag *d);
void options_help(FILE *f, const Command *c);
/* Whether a struct that no command line was read into is as if one had been; zero is always right.
 * False with an error (usage) for each row that isn't. */
bool options_check(const OptionGroup *g, const void *base, Diag *d);
/* Appends to a list that is built in an arena. */
void strings_push(Arena *a, effnetc_strings *list, const char *s);
/* The diagnostics' note "did you mean X?" where a known name is near. */
void note_nearest(Diag *d, const char *name, const char *const *known, size_t n,
                  const char *else_help);

/* ---- cmd_tables.c ---------------------------------------------------------------------------- */

void print_pass_table(void); /* `effnetc passes` */

/* ---- source.c: bytes of a file or of standard input ----------------------------------------- */

typedef struct Source {
    const uint8_t *data; /* not NULL while open, even where it is empty */
    size_t size;
    MappedFile file;
    Buf text;
} Source;

/* path "-" is standard input. False with an error (74). */
bool source_open(Source *s, const char *path, Diag *d);
void source_close(Source *s);

/* ---- session.c: models ---------------------------------------------------------------------- */

/* A file that an option names, read once however often it is asked for. */
typedef struct InputFile {
    const char *path;
    Source source;
} InputFile;

/* The size of a symbolic dimension, and who said so: "--dim" or a file. */
typedef struct ModelDim {
    const char *name;
    int64_t value;
    const char *by;
} ModelDim;

/* A compiled model from a folder of --cache: see cache.c. */
typedef struct CachedCode {
    void *memory;          /* all of it; NULL: none */
    const uint8_t *object; /* with effnetc_entry */
    const uint8_t *weights;
    size_t object_bytes, weights_bytes, arena_bytes;
} CachedCode;

/* What of a model says how its pictures are prepared, if no option and no file does. */
typedef struct ModelKind {
    const char *member, *decoder; /* of the family; NULL: none that is known */
    bool published;               /* the member has the channels of published weights */
    bool pads_ends;               /* strided convolutions pad more at the end, as TensorFlow does */
    bool prepares_itself;         /* it begins with arithmetic of the picture and constants */
} ModelKind;

/* Pictures as they were read, one for each image of a batch. */
typedef struct Shown {
    const uint8_t **rgb;
    int *width, *height;
} Shown;

struct effnetc_model {
    effnetc_options options;
    Arena arena;
    Diag *diag; /* &own, or the command's */
    Diag own;
    const Target *target;
    const char *path;      /* as given */
    const char *name;      /* of generated things: a C identifier */
    Source text;           /* graph IR, mapped or read; empty for ONNX */
    Graph *source;         /* as loaded; NULL once effnetc_compile has taken it */
    Program program;       /* after effnetc_compile: the last graph and the module */
    bool code_only;        /* nobody asks for that graph: a compilation lets go of it and of its
                              constants before LLVM needs memory */
    ScheduleBook *book;    /* after model_schedules; NULL: none */
    void *weights;         /* the module's, once native code has used them; NULL before */
    const char *cache_key; /* what the cached code is made from; NULL: it is not to be kept */
    const ModelKind *kind; /* NULL: nobody has asked; of cached code, as the file says */
    CachedCode cached;     /* in the place of source and program, which are made when asked for */
    VEC(ModelDim) dims;
    VEC(InputFile *) files;
    VEC(effnetc_tensor) inputs, outputs;
    VEC(const char *) output_values; /* names of the loaded graph's values that outputs are */
    VEC(const char *) external;      /* files beside the model that have constants of it */
    int64_t macs, parameters;        /* of the model as loaded */
    /* How pictures are prepared whose bytes the code takes and normalises; NULL: it takes what the
     * model does. */
    const rt_preprocess *pixels;
    size_t picture;               /* the input that they are for */
    const EmitPictures *pictures; /* the same, for the printers */
    /* Of code that takes any size: the pictures that the bytes of the input were made of; NULL:
     * they are all that there is. */
    const Shown *shown;
    PassDone *pass_done; /* of a compilation; NULL: nobody to call */
    void *pass_context;
};

/* As effnetc_open, but diagnostics go to `diag`. */
effnetc_model *model_open(const effnetc_options *options, Diag *diag);
/* The C identifier, version and counts that printers want. */
EmitInfo model_emit_info(const effnetc_model *m);
/* The target of that name (NULL: native), or NULL with an error. */
const Target *find_target(const char *name, Diag *d);
/* The last part of a path. */
const char *base_name(const char *path);

/* ---- load.c --------------------------------------------------------------------------------- */

/* In place of effnetc_load: takes g, whose name is a C identifier. It can't be loaded again. */
bool model_adopt(effnetc_model *m, Graph *g);
/* The graph as loaded, loaded again if a compilation has consumed it. NULL with errors. */
Graph *model_source(effnetc_model *m);

typedef enum IrLevel { IR_UNKNOWN, IR_GRAPH, IR_LOOP } IrLevel;
/* Which IR a text is, by its first word. */
IrLevel ir_level(const char *text, size_t size);
/* Where the constants of an IR text lie, as --dump-ir-dir leaves them: a folder beside it. */
const char *ir_constant_dir(const char *path, Arena *a);

/* Whether a path is that of graph IR rather than of ONNX. */
bool is_ir_path(const char *path);

/* ---- input_type.c: what the compiled code takes ---------------------------------------------- */

#define INPUT_CHOICES  "model|u8-rgb|u8-rgb-any"
#define LAYOUT_CHOICES "model|nchw|nhwc"
bool takes_any_size(const effnetc_options *o); /* "u8-rgb-any" */
/* Native code is shown n pictures from now on; they stay the caller's. Nothing where it takes no
 * pictures of any size. */
void show_pictures(effnetc_model *m, const rt_image *const *pictures, size_t n, Arena *a);
/* A warning where code could take any size, but is given what has the network's. */
void warn_unless_shown(const effnetc_model *m);

/* Makes the graph, as it is in the file, take and give tensors in the layouts of the options. False
 * with an error. */
bool load_layouts(const effnetc_model *m, Graph *g);
/* Makes the graph, as loaded, take the bytes that m->pixels says. */
bool load_bytes(const effnetc_model *m, Graph *g);
/* Where the options want bytes of pictures: chooses how they are normalised (m->pixels), and loads
 * the graph that does it. For a model that is loaded. False with errors. */
bool take_bytes(effnetc_model *m);

/* ---- compile.c ------------------------------------------------------------------------------ */

/* What everything that compiles can be told, and more about passes (both of effnetc_options). */
extern const OptionGroup compiler_options, pass_options;
/* Remarks are for who asks: drops those so far where the options don't. */
void drop_unwanted_remarks(effnetc_model *m);
/* As effnetc_compile, but where it fails m->program stays as the passes left it. */
bool model_compile(effnetc_model *m);
/* The passes of a compilation as far as plan-memory, which doesn't run: in place of
 * effnetc_compile, for who wants the graph alone. */
bool model_prepare(effnetc_model *m);
/* The graph behind the passes that only find what it says, one graph a network: the caller's, who
 * frees it. It takes m's source, which model_source loads again. NULL with errors. */
Graph *model_canonical(effnetc_model *m);
/* The same of a quantised network as if it weren't: for its structure, not for its values. */
Graph *model_structure(effnetc_model *m);
/* What the passes of a compilation get. */
PassContext pass_context(const effnetc_model *m);

/* ---- inspect_memory.c ------------------------------------------------------------------------ */

/* Prints the arenas that a prepared model can have; the fastest and the largest first. */
void print_memory(effnetc_model *m, bool json);

/* ---- schedule.c ----------------------------------------------------------------------------- */

/* Of effnetc_options too: for commands that can tune. */
extern const OptionGroup tune_options;
/* Reads the tiles that the options name, and tunes them if asked to: m->book. False with errors. */
bool model_schedules(effnetc_model *m);
/* A remark on lines of m->book that are for none of these. */
void remark_unused_schedules(effnetc_model *m, const TileProblems *problems);

/* ---- tune.c --------------------------------------------------------------------------------- */

/* Measures the tiles of problems of m on this machine, within the time of m's options, and keeps
 * what it chooses in the book. Says on the log how far it got. False with errors. */
bool tune(effnetc_model *m, const TileProblems *problems, ScheduleBook *book);

/* ---- emit.c, link.c ------------------------------------------------------------------------- */

/* Of effnetc_options: what generated code is to be like. */
extern const OptionGroup code_options;
/* Whether code of these kinds (of effnetc_emit; 0: none) can have its weights where the
 * options want them; false with an error. */
bool check_weights_place(const effnetc_options *o, unsigned what, Diag *d);
/* Adds NAME.c and NAME.h of a compiled model, which live in its arena. False with errors where the
 * C printer lacks something. */
bool emit_c_files(effnetc_model *m, Outputs *out, const char *dir);
/* Whether effnetc_emit can write it to standard output. */
bool emit_is_one_text(unsigned what);
/* The object of a compiled model as a shared library, which shows its public functions alone, by
 * the system's linker. False with errors. */
bool link_shared(effnetc_model *m, const Buf *object, Buf *library);

/* ---- tools.c: other programs ----------------------------------------------------------------- */

/* Runs a program without a shell and waits: its exit code, 127 where it can't be started, 128 + n
 * after signal n. Its output goes to the file `log`. */
int run_program(const char *const *argv, const char *log);
/* Appends the words of a command line; no quoting, as in make's CC. */
void push_words(Arena *a, effnetc_strings *argv, const char *words);
/* The first lines of a log, as notes of the newest diagnostic. */
void quote_log(const char *log, const char *label, Diag *d);

/* A temporary folder, and the files in it that will be removed with it. */
typedef struct Workshop {
    Arena *arena;
    const char *dir, *log; /* log: for run_program */
    effnetc_strings files;
    sigset_t before; /* the signals that this thread had held back already */
} Workshop;

/* A new folder under TMPDIR. What interrupts this process waits until it is closed. False with an
 * error. */
bool workshop_open(Workshop *w, Arena *a, Diag *d);
/* The path of a file there, which is not made. */
const char *workshop_file(Workshop *w, const char *name, const char *suffix);
void workshop_close(const Workshop *w);

/* ---- native.c: compiled code in this process ------------------------------------------------- */

/* Of effnetc_options: what commands that run native code can say of any backend. */
extern const OptionGroup native_options;

typedef struct NativeProgram NativeProgram;

/* Called after each step of a run, in its thread, with the step's number in the module. */
typedef void StepDone(void *context, int step);

typedef struct NativeOptions {
    effnetc_backend backend; /* one that makes native code */
    StepDone *step_done;     /* NULL: none */
    void *context;           /* of step_done */
    /* Whose threads it runs on; NULL: on its own. Is closed later. */
    const NativeProgram *threads_of;
} NativeOptions;

/* Makes and loads the compiled model's code. NULL with errors. */
NativeProgram *native_open(effnetc_model *m, const NativeOptions *o);
/* Fills the arena with NaN patterns first. False with an error. */
bool native_run(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out);
/* The same without that: what is to be timed. */
bool native_run_again(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out);
/* What runs the parts of a step: calls body(arg, i) for each i below n. */
typedef void ParallelFor(void *context, size_t n, rt_body *body, void *arg);
/* As native_run_again, by another parallel_for; context NULL: on the caller's thread alone. */
bool native_run_on(NativeProgram *p, effnetc_model *m, const void *const *in, void *const *out,
                   void *context, ParallelFor *parallel_for);
void native_close(NativeProgram *p);
int native_threads(const NativeProgram *p);
rt_pool *native_pool(const NativeProgram *p); /* NULL: it has one thread */
/* As many threads as the options say. False with an error. */
bool threads_new(rt_pool **pool, effnetc_model *m);
/* What runs compute in. */
void *native_arena(const NativeProgram *p, size_t *bytes);

/* Code that a backend has loaded: the model's public functions and
 *
 *     int effnetc_entry(const void *weights, const void *const *in, void *const *out, void *arena,
 *                       void *pool_context, ParallelFor *parallel_for);
 *
 * which is NAME_run_parallel with one signature for any number of arguments (without a pool where
 * the context is NULL), and, where steps are watched, effnetc_watch(StepDone *, void *context).
 * Where it takes pictures of any size, also
 *
 *     int effnetc_pictures(const void *weights, const uint8_t *const *rgb, const int *width,
 *                          const int *height, void *const *out, void *arena, void *pool_context,
 *                          ParallelFor *parallel_for);
 *     const size_t effnetc_pictures_arena;
 *
 * NAME_run_picture, and the bytes that it wants. */
typedef struct NativeCode {
    void *handle; /* NULL: none */
    /* Sets a pointer to a function, at `function`. False with an error. */
    bool (*symbol)(void *handle, const char *name, void *function, Diag *d);
    void (*close)(void *handle);
} NativeCode;

/* Code of the compiled model m, made on the threads of a pool (NULL: on this one alone). False with
 * errors. */
typedef bool CodeMaker(NativeCode *code, effnetc_model *m, bool watched, rt_pool *threads);

/* ---- backend_c.c: native code from generated C ----------------------------------------------- */

CodeMaker c_code; /* no file is left behind */

/* ---- cache.c: code that is kept -------------------------------------------------------------- */

/* Looks in the folder of m's options for code of the model at m->path, with its dimensions as they
 * are known. Where it is there and sound, fills in m->cached and all that loading finds out. Else,
 * false: m->cache_key says what cache_keep is for. */
bool cache_find(effnetc_model *m);
/* Keeps an object of the compiled model; a warning where that can't be. */
void cache_keep(effnetc_model *m, const Buf *object);

/* ---- cache_limit.c --------------------------------------------------------------------------- */

/* What an entry's name ends with, and that of a file that becomes one begins with. */
#define CACHE_SUFFIX    ".effnetc"
#define CACHE_TEMPORARY ".effnetc-"
/* 4 GiB: some fifteen B7s, or two of L2. */
#define CACHE_LIMIT ((int64_t)4 << 30)
/* Removes entries from the folder, those first that were used longest ago, until the others have
 * no more than `limit` bytes; never the one called `keep`. */
void cache_limit(const char *folder, int64_t limit, const char *keep);

/* ---- perf_map.c ------------------------------------------------------------------------------ */

/* Writes for perf which functions of an object, an ELF file, lie where in this process: the one of
 * that name is at `address`. A warning where that can't be. */
void perf_map_write(effnetc_model *m, const void *object, size_t size, const char *function,
                    uintptr_t address);

/* ---- backend_llvm.c: native code by LLVM, in memory ------------------------------------------ */

/* Of effnetc_options: what commands that run the code can ask of it. */
extern const OptionGroup jit_options;

CodeMaker llvm_code;

/* ---- peak.c: what the FMA units can do ------------------------------------------------------ */

/* A module that computes multiply-adds in registers alone, in so many parts (PEAK_PART_MACS times
 * lanes each) that may run at the same time. Output 0 is f32[parts * lanes]. */
enum { PEAK_CHAINS = 14, PEAK_ROUNDS = 4096, PEAK_PART_MACS = PEAK_CHAINS * PEAK_ROUNDS };
Module *peak_module(const Target *t, int64_t parts);

/* ---- bench.c: times of native code ---------------------------------------------------------- */

typedef struct BenchStats {
    double min, median, p90; /* p90: nine tenths of the samples are no larger (nearest rank) */
} BenchStats;

/* Of n >= 1 samples, which are sorted. */
BenchStats bench_stats(double *samples, size_t n);

/* Times in seconds. */
typedef struct Bench {
    size_t runs;
    BenchStats run;
    double peak; /* multiply-adds a second of all threads together, in registers */
    int threads;
    const double *steps; /* the minimum of each step; NULL where not asked for */
} Bench;

typedef struct Trace Trace; /* trace.h */

/* Runs the compiled model for so many seconds, but BENCH_MIN_RUNS times if that takes no more than
 * BENCH_PATIENCE times as long, and the peak module between the runs. False with errors. */
enum { BENCH_SECONDS = 3 }; /* where nobody says */
enum { BENCH_MIN_RUNS = 50, BENCH_MAX_RUNS = 100000, BENCH_PATIENCE = 4 };
bool bench_model(effnetc_model *m, Tensor *const *in, double seconds, bool steps, Bench *out,
                 Arena *a);
/* The same, and then TRACE_RUNS runs more into the trace, where it isn't NULL. */
bool bench_traced(effnetc_model *m, Tensor *const *in, double seconds, bool steps, Trace *trace,
                  Bench *out, Arena *a);

/* ---- assign.c ------------------------------------------------------------------------------- */

/* For "[NAME=]PATH" arguments of an option: path[i] is that of tensor i, or NULL where it has none.
 * Nameless ones go to the tensors in order. False with errors. */
bool assign_paths(const char *option, effnetc_strings args, const effnetc_tensor *tensors, size_t n,
                  const char **path, Diag *d);

/* ---- tensors.c ------------------------------------------------------------------------------ */

DType tensor_dtype(const effnetc_tensor *t);
Tensor *tensor_for(const effnetc_tensor *t, Arena *a); /* zeroed */
/* The one input of m that is read; -1: there are more, or none. Exporters (Keras 3) leave inputs
 * behind that nothing reads. */
int only_read(const effnetc_model *m);
/* The first `count` elements along an axis. */
Tensor *tensor_first(const Tensor *t, int axis, int64_t count, Arena *a);
/* The type of the array in a .npy file, by its header. False with an error. */
bool npy_type(const Source *s, const char *path, DType wanted, Type *out, Diag *d);
/* An array from a .npy file; NULL with an error. u2 becomes bf16 where that is wanted. */
Tensor *npy_decode(const Source *s, const char *path, DType wanted, Arena *a, Diag *d);
Tensor *npy_load(const char *path, DType wanted, Arena *a, Diag *d);
/* The .npy file of a tensor, in the arena; bf16 becomes u2. */
const void *npy_bytes(const Tensor *t, size_t *size, Arena *a);
/* Adds the runtime's failure with a file to d. */
void file_error(Diag *d, const char *path, int code, const rt_error *err);

/* ---- inputs.c ------------------------------------------------------------------------------- */

typedef struct InputOptions {
    effnetc_strings input; /* "[NAME=]PATH" */
    effnetc_strings mean, std;
    double crop, crop_pct;
    int resize;
    const char *fit, *filter, *channels, *orientation;
    int pillow; /* major version; 0: any from 13 on */
} InputOptions;

extern const OptionGroup input_options;
#define FILTER_CHOICES "bicubic|bilinear|box|hamming|lanczos"

/* Reads every input of m; one without a file that nothing reads is zeros. False with errors, of all
 * inputs at once. */
bool inputs_load(effnetc_model *m, const InputOptions *o, Tensor **in, Arena *a);
/* How pictures become one of the model's inputs. */
typedef struct PictureInput {
    rt_preprocess p;
    bool bytes;     /* the input takes 0..255 as u8, and normalises them itself */
    bool as_stored; /* pictures aren't turned as their EXIF says */
} PictureInput;

bool takes_pictures(const effnetc_tensor *t);
/* Of the input `want`. False with an error, about `path`, where it takes no pictures. */
bool picture_input(effnetc_model *m, const effnetc_tensor *want, const char *path,
                   const InputOptions *o, PictureInput *out);
/* Turns a picture that was just read, unless it is wanted as stored, and fills one image of the
 * input. */
int picture_fill(const PictureInput *in, rt_image *im, void *out, rt_error *err);
/* The bytes of an input's file. NULL with an error. */
const Source *input_source(effnetc_model *m, const char *path);
/* Fills every input with seeded numbers: floats uniform on [-1, 1), integers in 0..7. False with an
 * error where there is no memory for them. */
bool inputs_random(effnetc_model *m, int seed, Tensor **in, Arena *a);

/* ---- preprocess.c ---------------------------------------------------------------------------- */

/* Fills in what a picture is to become besides p's size and layout: as the options say, else
 * NAME.json beside the model, else what published weights of the member were trained with. Says on
 * the log what it is, unless the options said it. False with errors. */
bool preprocess_choose(effnetc_model *m, const InputOptions *o, rt_preprocess *p);
/* The file of labels that NAME.json beside a model names; NULL: none. */
const char *labels_beside(const char *model, Arena *a);
/* For NAME.json. */
EmitPictures preprocess_info(const rt_preprocess *p);
/* For NAME_run_picture, of pictures with so many pixels a side. False with an error, about `where`,
 * where generated code can't do that. */
bool preprocess_fit(const rt_preprocess *p, int max_side, const char *where, EmitFit *out, Arena *a,
                    Diag *d);

/* ---- dims.c: symbolic dimensions ------------------------------------------------------------ */

/* Fills m->dims from the options, once. False with errors. */
bool dims_from_options(effnetc_model *m);
/* effnetc_load, with symbolic dimensions from the shapes of the .npy files that are to go in. Two
 * that disagree, and one that disagrees with --dim, are errors. */
bool load_for_inputs(effnetc_model *m, const char *path, const InputOptions *o);
/* effnetc_load; where just one of a model's inputs has a symbolic first dimension, that is `batch`
 * (0: as the options say). */
bool load_for_batch(effnetc_model *m, const char *path, int batch, const InputOptions *o);
/* Which of --dim are for each of two models: one that only one of them has is for that one. False
 * with errors where they can't be read. */
bool dims_for_two(effnetc_strings dims, const char *const *paths, Arena *a, effnetc_strings *out,
                  Diag *d);

/* ---- memory.c -------------------------------------------------------------------------------- */

/* Whether this machine has so many bytes of memory; false with an error (4), about what m's `what`
 * would take: the system would end whoever has touched more than there is. */
bool memory_suffices(effnetc_model *m, const char *what, uint64_t bytes);
/* Whether it has what all inputs and outputs of m take. */
bool tensors_fit(effnetc_model *m);

/* ---- execute.c ------------------------------------------------------------------------------ */

/* As effnetc_run, on tensors; out[i] is made in the arena. */
bool run_tensors(effnetc_model *m, effnetc_backend backend, Tensor *const *in, Tensor **out,
                 Arena *a);
/* Where tensors lie, by their numbers in the model. */
typedef struct TensorMemory {
    const void **in;
    void **out;
} TensorMemory;

/* That of the inputs, and of outputs out[i], which are made in the arena. */
TensorMemory lay_out(const effnetc_model *m, Tensor *const *in, Tensor **out, Arena *a);
/* As effnetc_run, and `watch` is called behind each step of compiled code. */
bool run_watched(effnetc_model *m, effnetc_backend backend, const void *const *in, void *const *out,
                 const StepWatch *watch);
/* Cuts the outputs whose size depends on data to what is there. False with an error. */
bool cut_outputs(effnetc_model *m, Tensor **out, Arena *a);
/* The same again and again, with code that is made once. */
typedef struct Runner {
    effnetc_model *m;
    effnetc_backend backend;
    NativeProgram *program; /* NULL for the interpreters */
} Runner;

/* False with errors, and then there is nothing to close. */
bool runner_open(Runner *r, effnetc_model *m, effnetc_backend backend);
bool runner_run(Runner *r, Tensor *const *in, Tensor **out, Arena *a);
void runner_close(Runner *r);
/* The backend of that name, as OPT_CHOICE gives it. */
effnetc_backend backend_by_name(const char *name);
const char *backend_name(effnetc_backend backend);
#define NATIVE_CHOICES  "llvm|c"
#define BACKEND_CHOICES "interp|loop-interp|" NATIVE_CHOICES
#define DEFAULT_BACKEND "(default: llvm where it is built in, unless --cc is given; else c)"
/* What makes the native code that options ask for. */
effnetc_backend native_backend(const effnetc_options *o);

/* ---- compare.c: outputs against a reference ------------------------------------------------- */

typedef struct Tolerance {
    double relative;   /* bounds max |out - ref| / max |ref|; infinite: not asked for */
    double atol, rtol; /* each |out - ref| <= atol + rtol * |ref|, where `each` */
    bool each;
} Tolerance;

typedef struct Comparison {
    double max_abs;      /* over the elements that are finite in both */
    double relative;     /* max_abs / max |ref| */
    int64_t worst;       /* index of the first failing element, else of max_abs; -1: no element */
    int64_t not_finite;  /* NaN or infinity against something else */
    int64_t out_of_band; /* elements outside of atol + rtol * |ref| */
    double max_ulp;      /* the largest difference in units in the last place of its reference */
    double cosine;       /* of the angle between both */
    double worst_out, worst_ref; /* the element `worst` */
    bool pass;
} Comparison;

/* Shapes must be equal; dtypes may differ. */
Comparison tensor_compare(const Tensor *out, const Tensor *ref, const Tolerance *t);
/* Why a comparison failed, as notes of the newest diagnostic. */
void note_comparison(Diag *d, const Comparison *c, const Tolerance *t);

/* ---- progress.c ------------------------------------------------------------------------------ */

typedef struct Progress {
    bool shown; /* standard error is a terminal, and there is more than one step */
    size_t total;
    double start;
} Progress;

Progress progress_start(size_t total);
void progress_show(const Progress *p, size_t done, const char *what);
void progress_clear(const Progress *p);

#endif
