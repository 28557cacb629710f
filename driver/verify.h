/* verify.h: what the files of effnetc verify share. Sections follow the files. */
#ifndef EFFNETC_DRIVER_VERIFY_H
#define EFFNETC_DRIVER_VERIFY_H

#include "driver/driver.h"

/* ---- verify_layers.c: every value that compiled code stores ---------------------------------- */

/* A result of a node of the compiled graph, beside the value of the reference's graph, as loaded,
 * that it equals. */
typedef struct Layer {
    const Node *node;
    const Value *value;
    const char *source; /* that value's name; NULL: none is it */
    const Tensor *ref;  /* NULL: the reference has none, or of another size */
    Tensor *images;     /* of a value whose images take turns in its memory: those so far */
    int64_t images_so_far;
    bool compared;
    Comparison c;
    double drift; /* relative to the largest element: what a last bit of the inputs changes */
} Layer;

typedef struct Layers {
    VEC(Layer) list;  /* in the order of the steps */
    VEC(size_t) step; /* the first one of each step; one more at the end */
    Map refs;         /* name -> Tensor: inputs, and what layers ask for */
    Tolerance tolerance;
    Arena *arena;
    void *const *out; /* where the run puts the graph's outputs */
    const Graph *graph;
} Layers;

/* The layers of m's graph as far as its passes have run, with the values of the reference, which
 * may be m itself; ref[i]: its outputs. m's sources were tracked (graph_track_sources). False with
 * errors. */
bool layers_open(Layers *l, effnetc_model *m, effnetc_model *reference, Tensor *const *in,
                 Tensor **ref, const Tolerance *t, Arena *a);
/* Compares what the graph's interpreter computes, or a backend: out[i] is made in the arena. */
bool layers_eval(Layers *l, Tensor *const *in, Diag *d);
bool layers_run(Layers *l, effnetc_model *m, effnetc_backend backend, Tensor *const *in,
                Tensor **out);
/* Fills in how far values drift: evaluates the reference with inputs that differ in their last bit.
 * A layer that differs by no more than some times that says nothing about the code. False with
 * errors.
 */
bool layers_find_drift(Layers *l, effnetc_model *reference, Tensor *const *in);
/* Whether it differs, and by no more than that. */
bool layer_drifts(const Layer *x);
/* The first one that differs, and doesn't drift; NULL where none does. */
const Layer *layers_first(const Layers *l);
/* The first one that drifts. */
const Layer *layers_first_drift(const Layers *l);
size_t layers_compared(const Layers *l); /* how many have a counterpart */

/* ---- verify_passes.c: the program after each pass -------------------------------------------- */

/* The outputs after a pass, or of the backend behind all. */
typedef struct PassCheck {
    const char *name;  /* "fuse-act", "c" */
    const char *level; /* "graph", "loop", "backend" */
    int size;          /* ops or kernels; 0: a backend */
    bool same;         /* the pass changed nothing: the figures are those before it */
    Comparison worst;  /* of the output that is furthest from its reference */
} PassCheck;

typedef struct Bisection {
    VEC(PassCheck) passes;
    const PassCheck *first; /* that brought a difference; NULL: none did */
    Layers layers;          /* behind it, where first is not NULL */
} Bisection;

/* Compiles m, whose sources were tracked, and compares the outputs after each pass with ref, and
 * those of the backend; ends at the first that differ. False with errors (not for differences). */
bool bisect_passes(Bisection *b, effnetc_model *m, effnetc_model *reference,
                   effnetc_backend backend, Tensor *const *in, Tensor *const *ref,
                   const Tolerance *t, Arena *a);

/* ---- verify_print.c -------------------------------------------------------------------------- */

typedef struct OutputCheck {
    const char *name;
    bool compared; /* there is a reference */
    bool resized;  /* its size depends on data, and is another one */
    Comparison c;
} OutputCheck;

/* All that one call of the command found. */
typedef struct VerifyReport {
    const effnetc_model *m;
    const char *backend, *reference; /* "c"; "interpreter", or the name of a file */
    Tolerance tolerance;
    OutputCheck *outputs; /* one for each output of m; NULL where passes were bisected */
    const Layers *layers; /* NULL: not asked for */
    const Bisection *bisection;
} VerifyReport;

void verify_print(const VerifyReport *r, bool json);

#endif
