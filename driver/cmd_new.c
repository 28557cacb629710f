/* cmd_new.c: effnetc new: a member of the family from its definition, as ONNX. */
#include "driver/member.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct NewOptions {
    CommonOptions common;
    const char *output, *batch, *padding;
    bool list, json, dry_run, external, unmeasured;
    double phi, alpha, beta, gamma, width, depth; /* NaN: not given */
    int resolution;                               /* 0: not given */
    int classes, seed;
} NewOptions;

static const Option rows[] = {
    {"output", 'o', OPT_TEXT, offsetof(NewOptions, output), "FILE.onnx", "the file to write", 0, 0},
    {"list", 0, OPT_FLAG, offsetof(NewOptions, list), NULL, "print all members instead", 0, 0},
    {"json", 0, OPT_FLAG, offsetof(NewOptions, json), NULL, "with --list: print JSON", 0, 0},
    {"dry-run", 0, OPT_FLAG, offsetof(NewOptions, dry_run), NULL,
     "print the network's parameters and MACs, and write nothing", 0, 0},
    {"phi", 0, OPT_REAL, offsetof(NewOptions, phi), "PHI",
     "scale MEMBER (default: b0): depth by alpha^phi, width by beta^phi, resolution by gamma^phi",
     0, 0},
    {"alpha", 0, OPT_REAL, offsetof(NewOptions, alpha), "A", "(default: 1.2)", 0, 0},
    {"beta", 0, OPT_REAL, offsetof(NewOptions, beta), "B", "(default: 1.1)", 0, 0},
    {"gamma", 0, OPT_REAL, offsetof(NewOptions, gamma), "G", "(default: 1.15)", 0, 0},
    {"width", 0, OPT_REAL, offsetof(NewOptions, width), "W",
     "channels, as a multiple of the family's smallest member", 0, 0},
    {"depth", 0, OPT_REAL, offsetof(NewOptions, depth), "D", "blocks of a stage, likewise", 0, 0},
    {"resolution", 0, OPT_INT, offsetof(NewOptions, resolution), "R",
     "rows and columns of the input", 32, 4096},
    {"classes", 0, OPT_INT, offsetof(NewOptions, classes), "N", "outputs (default: 1000)", 1,
     1000000},
    {"batch", 0, OPT_TEXT, offsetof(NewOptions, batch), "N|NAME",
     "images at a time, or the name of a symbolic dimension (default: 1)", 0, 0},
    {"padding", 0, OPT_CHOICE, offsetof(NewOptions, padding), "symmetric|same",
     "PyTorch's or TensorFlow's, where strides make them differ (default: symmetric)", 0, 0},
    {"seed", 0, OPT_INT, offsetof(NewOptions, seed), "N", "of the weights (default: 1)", 0,
     INT32_MAX},
    {"unmeasured", 0, OPT_FLAG, offsetof(NewOptions, unmeasured), NULL,
     "leave the batch norms' statistics at 0 and 1: it takes less time, but values may grow", 0, 0},
    {"external-data", 0, OPT_FLAG, offsetof(NewOptions, external), NULL,
     "put the weights into FILE.onnx.data; so they are beyond 2 GB", 0, 0},
};
static const OptionGroup own = OPTION_GROUP(rows);

/* ---- tables ---- */

static void print_header(void) {
    printf("%-18s %-24s %6s %6s %10s %12s %14s\n", "id", "name", "width", "depth", "resolution",
           "parameters", "MACs");
}

static void print_row(const char *id, const char *name, const MemberSpec *s) {
    MemberSize size = member_size(s);
    printf("%-18s %-24s %6.4g %6.4g %10lld %12lld %14lld\n", id, name, s->by.width, s->by.depth,
           (long long)s->by.resolution, (long long)size.parameters, (long long)size.macs);
}

/* As published. */
static MemberSpec spec_of(const Member *m) {
    return (MemberSpec){
        .name = m->id, .family = m->family, .by = m->scaling, .classes = 1000, .batch = 1};
}

static void print_list(void) {
    print_header();
    for (size_t i = 0; i < member_count(); i++) {
        MemberSpec s = spec_of(member_at(i));
        print_row(s.name, member_at(i)->name, &s);
    }
}

static void print_list_json(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < member_count(); i++) {
        const Member *m = member_at(i);
        MemberSpec s = spec_of(m);
        MemberSize size = member_size(&s);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:I, s:f, s:I, s:I}", "id",
                                              m->id, "family", m->family->name, "name", m->name,
                                              "width", s.by.width, "depth", s.by.depth,
                                              "resolution", (json_int_t)s.by.resolution, "dropout",
                                              m->dropout, "parameters", (json_int_t)size.parameters,
                                              "macs", (json_int_t)size.macs));
    }
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

/* ---- what is asked for ---- */

static bool given(double x) {
    return !isnan(x);
}

static bool is_compound(const NewOptions *o) {
    return given(o->phi) || given(o->alpha) || given(o->beta) || given(o->gamma);
}

static bool is_scaled(const NewOptions *o) {
    return is_compound(o) || given(o->width) || given(o->depth) || o->resolution;
}

static bool check_real(const char *option, double x, double low, double high, Diag *d) {
    return !given(x) || check_between(option, x, low, high, d);
}

static bool check_scaling(const NewOptions *o, Diag *d) {
    bool ok = check_real("--phi", o->phi, -16, 16, d);
    ok &= check_real("--alpha", o->alpha, 1, 4, d);
    ok &= check_real("--beta", o->beta, 1, 4, d);
    ok &= check_real("--gamma", o->gamma, 1, 4, d);
    ok &= check_real("--width", o->width, 0.05, 16, d);
    ok &= check_real("--depth", o->depth, 0.05, 16, d);
    bool needs_phi = !given(o->phi) && is_compound(o);
    bool twice = is_compound(o) && (given(o->width) || given(o->depth) || o->resolution);
    if (needs_phi)
        diag_error(d, EXIT_USAGE, "effnetc", "--alpha, --beta and --gamma need --phi");
    if (twice)
        diag_error(d, EXIT_USAGE, "effnetc",
                   "--phi and --width, --depth or --resolution say the same twice");
    return ok && !needs_phi && !twice;
}

static Scaling scaling(const NewOptions *o, const Member *m) {
    Scaling s = m->scaling;
    if (given(o->phi))
        s = scaling_compound(&s, &(Compound){.phi = o->phi,
                                             .alpha = given(o->alpha) ? o->alpha : PAPER_ALPHA,
                                             .beta = given(o->beta) ? o->beta : PAPER_BETA,
                                             .gamma = given(o->gamma) ? o->gamma : PAPER_GAMMA});
    s.width = given(o->width) ? o->width : s.width;
    s.depth = given(o->depth) ? o->depth : s.depth;
    s.resolution = o->resolution ? o->resolution : s.resolution;
    return s;
}

/* A number of images, or a name for it: *name. */
static bool read_batch(const char *text, int64_t *batch, const char **name, Arena *a, Diag *d) {
    enum { MAX_BATCH = 1024 };
    bool number = text && strspn(text, "+-0123456789") > 0;
    *batch = 1;
    *name = text && !number ? text : NULL;
    if (!text || (number && parse_i64(text, batch) && *batch >= 1 && *batch <= MAX_BATCH))
        return true;
    if (!number && *text && !strcmp(c_identifier(a, text), text))
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "--batch takes 1 to %d or a name, not \"%s\"", MAX_BATCH,
               text);
    return false;
}

static bool read_spec(const NewOptions *o, MemberSpec *s, const char **batch, Context *cx) {
    Diag *d = &cx->diag;
    const char *name = o->common.args.count ? o->common.args.items[0] : NULL;
    bool no_name = !name && !is_scaled(o), no_file = !o->output && !o->dry_run;
    const Member *m = no_name ? NULL : find_member(name ? name : "b0", d);
    bool ok = check_scaling(o, d);
    ok &= read_batch(o->batch, &s->batch, batch, &cx->arena, d);
    if (no_name)
        diag_error(d, EXIT_USAGE, "effnetc", "new needs a MEMBER, or how to scale one");
    if (no_file)
        diag_error(d, EXIT_USAGE, "effnetc", "new needs -o FILE.onnx, or --dry-run");
    if (no_name || no_file)
        diag_note(d, "help", "`effnetc new --help` lists what there is");
    if (!m || !ok || no_file)
        return false;
    s->name = is_scaled(o) ? arena_printf(&cx->arena, "%s_scaled", m->id) : m->id;
    s->name = c_identifier(&cx->arena, s->name);
    s->family = m->family;
    s->by = scaling(o, m);
    s->classes = o->classes;
    s->seed = o->seed;
    s->same_padding = o->padding && !strcmp(o->padding, "same");
    return member_valid(s, d);
}

/* ---- the command ---- */

static bool small_enough(const MemberSpec *s, Diag *d) {
    int64_t n = member_size(s).parameters;
    if (n <= MEMBER_MAX_PARAMETERS)
        return true;
    diag_error(d, EXIT_USAGE, "effnetc", "the network has %lld parameters, %d can be written",
               (long long)n, MEMBER_MAX_PARAMETERS);
    diag_note(d, "help", "--dry-run prints its size alone");
    return false;
}

static bool write(const NewOptions *o, const MemberSpec *s, const char *batch, Diag *d) {
    return member_write(s, o->unmeasured ? WEIGHTS_RANDOM : WEIGHTS_MEASURED, o->output,
                        &(OnnxWriteOptions){batch, o->external}, d);
}

/* Options that would say nothing. */
static bool check_list(const NewOptions *o, Diag *d) {
    bool one = o->common.args.count > 0 || o->output || o->dry_run || is_scaled(o);
    if (o->json && !o->list)
        diag_error(d, EXIT_USAGE, "effnetc", "--json is for --list");
    if (o->list && one)
        diag_error(d, EXIT_USAGE, "effnetc",
                   "--list prints all members: it goes with no MEMBER, scaling, -o or --dry-run");
    return (o->list || !o->json) && !(o->list && one);
}

static void run(Context *cx, const void *options) {
    const NewOptions *o = options;
    MemberSpec s = {0};
    const char *batch;
    if (!check_list(o, &cx->diag))
        return;
    if (o->list && o->json)
        print_list_json();
    else if (o->list)
        print_list();
    if (o->list)
        return;
    if (!read_spec(o, &s, &batch, cx))
        return;
    if (!o->dry_run && (!small_enough(&s, &cx->diag) || !write(o, &s, batch, &cx->diag)))
        return;
    if (!o->dry_run && !strcmp(o->output, "-"))
        return;
    print_header();
    print_row(s.name, o->dry_run ? "-" : base_name(o->output), &s);
}

static void defaults(void *options) {
    NewOptions *o = options;
    o->phi = o->alpha = o->beta = o->gamma = o->width = o->depth = NAN;
    o->classes = 1000;
    o->seed = 1;
}

const Command command_new = {
    .name = "new",
    .args = "MEMBER",
    .summary = "write a member of the family as ONNX, from its definition, with random weights",
    .about =
        "MEMBER is b0..b8, l2, lite0..lite4, edgetpu-s, -m, -l, v2-b0..v2-b3, v2-s, -m, -l or\n"
        "-xl; --list says what they are. Widths and repeats are rounded as the authors' code\n"
        "does. The same seed gives the same file. Values stay near 1 in all layers, so that\n"
        "such a model serves for measuring and testing.",
    .groups = {{&own, 0}},
    .size = sizeof(NewOptions),
    .defaults = defaults,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
