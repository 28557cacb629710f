/* codegen.h: loop IR to text and files. */
#ifndef EFFNETC_CODEGEN_H
#define EFFNETC_CODEGEN_H

#include "ir/loop.h"

/* What code does with pictures of any size. */
typedef struct EmitFit {
    const char *how;    /* in words */
    const char *weight; /* the filter's, at distance d, whose magnitude is x: an expression of C */
    double radius;      /* of the filter */
    bool pillow_13;     /* the order of passes is that of Pillow 13 */
    uint8_t ground[3];  /* the colour around a picture, red first */
    int max_side;       /* pixels that a picture may have in a row or in a column */
    int64_t scratch;    /* bytes that scaling needs for them */
} EmitFit;

/* How pictures become what the code takes: their values are the code's; their geometry too, where
 * it takes any size, else the caller's. */
typedef struct EmitPictures {
    const char *fit; /* "stretch", "letterbox"; NULL: what crop or resize says */
    double crop;     /* 0: no */
    int resize;      /* 0: no */
    const char *filter, *channels;
    float mean[3], std[3]; /* red, green, blue; compiled in */
    size_t input;          /* of the model's, the one that takes them */
    const EmitFit *any;    /* NULL: pictures have the network's size */
} EmitPictures;

/* Where generated code has its weights. */
typedef enum WeightsPlace {
    WEIGHTS_FILE,    /* NAME.weights.bin */
    WEIGHTS_INCLUDE, /* there, and NAME.weights.S makes the constant NAME_weights of it */
    WEIGHTS_TEXT,    /* NAME_weights of NAME.weights.c */
    WEIGHTS_INSIDE   /* NAME_weights of native code */
} WeightsPlace;

/* What the printers say about the model beyond the module itself. */
typedef struct EmitInfo {
    const char *name;    /* C identifier prefix: b0 */
    const char *model;   /* file name of the model, without its folder */
    const char *version; /* of effnetc */
    int64_t macs, parameters;
    const uint64_t *selftest; /* hashes of the outputs for NAME_selftest; NULL: there is none */
    WeightsPlace weights;
    const EmitPictures *pictures; /* where the code takes their bytes; else NULL */
} EmitInfo;

/* ---- emit_c.c: NAME.c and NAME.h ------------------------------------------------------------- */

/* Appends the C source and the header for a module that emit_c_check passed. Deterministic; no
 * dates, no paths. */
void emit_c_source(Buf *out, const Module *m, const EmitInfo *info);
void emit_c_header(Buf *out, const Module *m, const EmitInfo *info);

/* ---- emit_selftest.c: NAME_selftest ---------------------------------------------------------- */

/* Fills an input as NAME_selftest does, whose state starts at SELFTEST_SEED and goes through all
 * inputs in order; and the hash of an output, of that which is there. */
enum { SELFTEST_SEED = 1 };
void selftest_input(Tensor *t, uint64_t *state);
uint64_t selftest_hash(const Tensor *t);

/* ---- emit_check.c ---------------------------------------------------------------------------- */

/* Whether the C printer can print a verified module: false with an error (3) in d for each
 * instruction that has no C on the module's target. */
bool emit_c_check(const Module *m, const char *where, Diag *d);

/* ---- c_names.c ------------------------------------------------------------------------------- */

/* A C identifier from any text: every byte outside [A-Za-z0-9_] becomes '_', a leading digit gets
 * an '_' in front, a leading "__" or "_X" an 'x' in front, names that C, C++, the compiler or
 * generated code use an '_' behind, and "" becomes "model". */
char *c_identifier(Arena *a, const char *text);
/* NAME in upper case: the prefix of macros and enumerators. */
const char *c_upper(Arena *a, const char *name);

/* ---- emit_json.c: NAME.json ------------------------------------------------------------------ */

/* One of the generated files. */
typedef struct EmitFile {
    const char *kind; /* "source", "header", "weights", ... */
    const char *name;
} EmitFile;

/* Appends the contract of these files: inputs, outputs, shapes, sizes, hashes, target. */
void emit_json(Buf *out, const Module *m, const EmitInfo *info, const EmitFile *files,
               size_t nfiles);

/* ---- weights.c: NAME.weights.bin ------------------------------------------------------------- */

/* The weights file is the module's weights as they are: the first 64 bytes are its header (magic
 * "EFFNETCW", format version u32, 4 zero bytes, size u64, FNV-1a-64 over the 64-bit words behind
 * the header u64, zeros), which lowering reserves and this call fills in. Needed before emit_*.
 * The size is a multiple of 8. */
enum { WEIGHTS_VERSION = 1, WEIGHTS_HEADER = 64 };
enum { BLOCK_ALIGN = 64 }; /* of the weights and the arena: a vector's, and a cache line's */
/* A hash is FNV-1a for 64 bits (Fowler, Noll, Vo), over words or elements in place of bytes:
 * hash = (hash ^ bits) * FNV_PRIME. */
#define FNV_START     0xcbf29ce484222325u
#define FNV_PRIME     0x100000001b3u
#define WEIGHTS_MAGIC 0x574354454e464645u /* "EFFNETCW", the lowest byte first */
void seal_weights(Module *m);
/* Appends NAME.weights.S: assembly that makes NAME_weights of NAME.weights.bin. */
void emit_weights_assembly(Buf *out, const Module *m, const EmitInfo *info);
/* Appends NAME.weights.c: NAME_weights as numbers. */
void emit_weights_text(Buf *out, const Module *m, const EmitInfo *info);
uint64_t sealed_checksum(const Module *m); /* what seal_weights wrote; m has weights */

#endif
