/* Networks by their stages: those of relatives.def, members that are scaled by
 * other factors, and the blocks of variants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "passes/family.h"
#include "passes/passes.h"

/* ---- what inspect sees of a graph
 * ------------------------------------------------------------ */

static void prepare(Graph *g) {
    Diag d = {0};
    PassContext cx = {.target = target_find("generic"), .where = "net", .diag = &d};
    Program p = {.graph = g};
    const char *names[MAX_PIPELINE];
    int n = pipeline_canonical(true, names);
    bool ok = run_passes(&p, names, n, &cx, &(RunnerOptions){.verify_each = false});
    diag_print(&d, stderr, false);
    assert_true(ok);
    diag_free(&d);
}

/* ---- definitions
 * -----------------------------------------------------------------------------
 */

typedef struct Row {
    const char *network;
    BlockKind kind;
    unsigned kernels;
    int64_t stride;
    double expand;
    int64_t times, channels;
    bool gated;
    int64_t repeats;
} Row;

enum { ANY = -1, FIXED = 0, UP, NEAREST };
#define K(kernel) (1u << (kernel))

typedef struct Definition {
    const char *id, *name;
    bool family;
    int rounds;
    double round_limit;
    int64_t stem;
} Definition;

typedef struct Size {
    const char *network, *name;
    double width, depth;
} Size;

#define NETWORK(id, ...) {#id, __VA_ARGS__},
#define RUN(...)
#define SIZE(...)
static const Definition networks[] = {
#include "passes/relatives.def"
};
#undef NETWORK
#undef RUN
#undef SIZE
#define NETWORK(...)
#define RUN(id, kind, ...) {#id, BLOCK_##kind, __VA_ARGS__},
#define SIZE(...)
static const Row rows[] = {
#include "passes/relatives.def"
};
#undef RUN
#undef SIZE
#define RUN(...)
#define SIZE(id, ...) {#id, __VA_ARGS__},
static const Size sizes[] = {
#include "passes/relatives.def"
};
enum {
    NNETWORKS = sizeof networks / sizeof *networks,
    NROWS = sizeof rows / sizeof *rows,
    NSIZES = sizeof sizes / sizeof *sizes
};

static int64_t kernel_of(unsigned kernels) {
    int64_t k = 0;
    while (kernels >> k > 1)
        k++;
    return k;
}

static int64_t repeats(const Definition *d, const Row *r, double depth) {
    double n = (double)r->repeats * depth;
    if (r->repeats == ANY || d->rounds == FIXED)
        return r->repeats == ANY ? 1 : r->repeats;
    return (int64_t)(d->rounds == UP ? ceil(n - 1e-9) : fmax(rint(n), 1));
}

/* Its blocks; false where network_build makes no such ones: of several kernels,
 * or with a projection to as many channels. */
static bool plan(NetPlan *p, const Definition *d, double width, double depth, Arena *a) {
    int64_t in = d->stem ? d->stem : scaled_channels(d->round_limit, 32, width);
    *p = (NetPlan){.family = member_find("b0")->family, .resolution = 64, .stem = in, .head = 64};
    for (int i = 0; i < NROWS; i++) {
        const Row *r = &rows[i];
        if (strcmp(r->network, d->id) != 0)
            continue;
        if (r->kernels != K(kernel_of(r->kernels)) || r->times > 1 ||
            (r->kind == BLOCK_FUSED && r->expand <= 1))
            return false;
        for (int64_t k = 0, n = repeats(d, r, depth); k < n; k++) {
            BlockPlan b = {.kind = r->kind,
                           .kernel = kernel_of(r->kernels),
                           .stride = k ? 1 : r->stride,
                           .in = in,
                           .middle = (int64_t)rint(r->expand * (double)in),
                           .out = scaled_channels(d->round_limit, r->channels, width),
                           .squeezed = r->gated ? 8 : 0,
                           .repeats = n};
            b.residual = b.stride == 1 && b.in == b.out;
            vec_push(a, &p->blocks, b);
            in = b.out;
        }
    }
    return true;
}

/* Builds it without weights: batch norms stay where they are, and count for
 * nothing. */
static Network recognise(const NetPlan *p, Arena *a) {
    Graph *g = network_build(p, "net", &(BuildOptions){.classes = 10, .batch = 1});
    Network net;
    prepare(g);
    network_recognise(g, a, &net);
    graph_free(g);
    return net;
}

static bool check_network(const Definition *d, const char *name, double width, double depth) {
    Arena a = {0};
    NetPlan p;
    bool built = plan(&p, d, width, depth, &a);
    if (built) {
        Network net = recognise(&p, &a);
        if (!net.name || strcmp(net.name, name) != 0 || fabs(net.width_factor - width) > 1e-9 ||
            (d->rounds != FIXED && fabs(net.depth_factor - depth) > 1e-9))
            fail_msg("%s, %g and %g: found %s, %g and %g", name, width, depth,
                     net.name ? net.name : "nothing", net.width_factor, net.depth_factor);
        assert_int_equal(net.relative, !d->family);
        assert_null(net.decoder);
    }
    arena_free(&a);
    return built;
}

/* A run takes all blocks that fit it: none may begin as the one before goes on.
 */
static void check_apart(const Row *r, const Row *next) {
    bool goes_on = !strcmp(r->network, next->network) && r->kind == next->kind &&
                   r->kernels == next->kernels && r->expand == next->expand &&
                   r->times * r->channels == next->times * next->channels &&
                   r->gated == next->gated && next->stride == 1;
    if (goes_on)
        fail_msg("%s: two runs of %d channels are one", r->network, (int)r->channels);
}

static void test_relatives(void **state) {
    (void)state;
    for (int i = 0; i + 1 < NROWS; i++)
        check_apart(&rows[i], &rows[i + 1]);
    int built = 0;
    for (int i = 0; i < NNETWORKS; i++) {
        const Definition *d = &networks[i];
        if (!d->stem)
            built += check_network(d, d->name, 1, 1) && check_network(d, d->name, 1.3, 1);
        for (int k = 0; k < NSIZES; k++)
            if (!strcmp(sizes[k].network, d->id))
                check_network(d, sizes[k].name, sizes[k].width, sizes[k].depth);
    }
    assert_true(built >= 18);
}

/* Members that nobody published, by the factors with the fewest digits that
 * give their blocks. */
static void test_scaled(void **state) {
    (void)state;
    static const struct {
        const char *base, *name;
        double width, depth;
    } all[] = {
        {"b0", "EfficientNet-B0 scaled", 0.5, 1.5},
        {"lite0", "EfficientNet-Lite0 scaled", 1.3, 2},
        {"edgetpu-s", "EfficientNet-EdgeTPU-S scaled", 0.7, 1},
        {"v2-b0", "EfficientNetV2-B0 scaled", 0.6, 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        Arena a = {0};
        NetPlan p;
        net_plan(&p, member_find(all[i].base)->family, &(Scaling){all[i].width, all[i].depth, 64},
                 &a);
        Graph *g = network_build(
            &p, "net", &(BuildOptions){.classes = 10, .batch = 1, .weights = WEIGHTS_RANDOM});
        Network net;
        prepare(g);
        network_recognise(g, &a, &net);
        assert_non_null(net.name);
        assert_string_equal(net.name, all[i].name);
        assert_null(net.member);
        assert_false(net.relative);
        assert_true(fabs(net.width_factor - all[i].width) < 1e-9);
        assert_true(fabs(net.depth_factor - all[i].depth) < 1e-9);
        graph_free(g);
        arena_free(&a);
    }
}

/* ---- what blocks have beside
 * ----------------------------------------------------------------- */

/* Of a network with a stem of 8 channels at %x; its blocks but for the stem,
 * and what is outside. */
static void check_blocks(const char *nodes, const char *out, const char *want) {
    Arena a = {0};
    Diag d = {0};
    Buf b = {0};
    const char *text = arena_printf(&a,
                                    "graph @g(%%in: f32[1,3,32,32]) -> f32%s {\n"
                                    "  const @stem : f32[8,3,3,3] = xxh:0000000000000001\n"
                                    "  const @expand : f32[16,8,1,1] = xxh:0000000000000002\n"
                                    "  const @dw : f32[16,1,3,3] = xxh:0000000000000003\n"
                                    "  const @project : f32[8,16,1,1] = xxh:0000000000000004\n"
                                    "  %%x = conv2d %%in, @stem {kernel=3x3, stride=2x2, "
                                    "pad=1x1x1x1, act=silu} : "
                                    "f32[1,8,16,16]\n%s  return %%y\n}\n",
                                    out, nodes);
    Graph *g = graph_parse(text, strlen(text), "test", NULL, &d);
    diag_print(&d, stderr, false);
    assert_non_null(g);
    Network net;
    network_recognise(g, &a, &net);
    for (size_t i = 1; i < net.blocks.len; i++)
        buf_printf(&b, "%s%s%s", i > 1 ? "; " : "", block_name(&net.blocks.data[i], &a),
                   net.blocks.data[i].residual ? " +" : "");
    if (net.variant)
        buf_printf(&b, " (%s)", net.variant);
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
    graph_free(g);
    diag_free(&d);
    arena_free(&a);
}

#define EXPAND "  %e = conv2d %x, @expand {act=silu} : f32[1,16,16,16]\n"
#define DW                                                                                         \
    "  %d = dwconv2d %e, @dw {kernel=3x3, pad=1x1x1x1, act=silu} : "                               \
    "f32[1,16,16,16]\n"

/* A filter that blurs strides; one that is learned does not blur. */
static void test_blur(void **state) {
    (void)state;
#define QUARTERS "0.25, 0.25, 0.25, 0.25"
#define TWO(x)   x ", " x
#define FOUR(x)  TWO(x) ", " TWO(x)
#define AFTER                                                                                      \
    EXPAND DW "  %b = dwconv2d %d, @blur {kernel=2x2, stride=2x2} : f32[1,16,8,8]\n"               \
              "  %y = conv2d %b, @project : f32[1,8,8,8]\n"
    check_blocks("  const @blur : f32[16,1,2,2] = [" FOUR(FOUR(QUARTERS)) "]\n" AFTER, "[1,8,8,8]",
                 "MBConv2 k3 s2 blur (blur-pooled)");
    check_blocks("  const @blur : f32[16,1,2,2] = xxh:0000000000000005\n" AFTER, "[1,8,8,8]",
                 "MBConv1 k2 s2; other");
}

/* Slices of the channels, each with a kernel of its own. */
static void test_mixed(void **state) {
    (void)state;
    check_blocks("  const @a : f32[8,1,3,3] = xxh:0000000000000005\n"
                 "  const @b : f32[8,1,5,5] = xxh:0000000000000006\n" EXPAND
                 "  %s = slice %e {starts=[0, 0, 0, 0], sizes=[1, 8, 16, 16], steps=[1, "
                 "1, 1, 1]} : "
                 "f32[1,8,16,16]\n"
                 "  %t = slice %e {starts=[0, 8, 0, 0], sizes=[1, 8, 16, 16], steps=[1, "
                 "1, 1, 1]} : "
                 "f32[1,8,16,16]\n"
                 "  %u = dwconv2d %s, @a {kernel=3x3, pad=1x1x1x1} : f32[1,8,16,16]\n"
                 "  %v = dwconv2d %t, @b {kernel=5x5, pad=2x2x2x2} : f32[1,8,16,16]\n"
                 "  %c = concat %u, %v {axis=1} : f32[1,16,16,16]\n"
                 "  %d = silu %c : f32[1,16,16,16]\n"
                 "  %p = conv2d %d, @project : f32[1,8,16,16]\n"
                 "  %y = add %p, %x : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "MBConv2 k3,5 s1 +");
}

/* Statistics of the picture between convolutions, and before the sum. */
static void test_norms(void **state) {
    (void)state;
    check_blocks(EXPAND "  %d = dwconv2d %e, @dw {kernel=3x3, pad=1x1x1x1} : f32[1,16,16,16]\n"
                        "  %m = global_avg_pool %d : f32[1,16,1,1]\n"
                        "  %n = sub %d, %m : f32[1,16,16,16]\n"
                        "  %s = silu %n : f32[1,16,16,16]\n"
                        "  %p = conv2d %s, @project : f32[1,8,16,16]\n"
                        "  %q = global_avg_pool %p : f32[1,8,1,1]\n"
                        "  %r = sub %p, %q : f32[1,8,16,16]\n"
                        "  %y = add %x, %r : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "MBConv2 k3 s1 + (group norms)");
}

/* Filters of several channels, and weights that are computed. */
static void test_groups(void **state) {
    (void)state;
    check_blocks("  const @g : f32[16,4,3,3] = xxh:0000000000000005\n" EXPAND
                 "  %d = conv2d %e, @g {kernel=3x3, pad=1x1x1x1, group=4, act=silu} : "
                 "f32[1,16,16,16]\n"
                 "  %y = conv2d %d, @project : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "MBConv2 k3 s1 g4 (groups of 4 channels)");
    check_blocks("  const @all : f32[3,144] = xxh:0000000000000005\n"
                 "  const @route : f32[3,8] = xxh:0000000000000006\n" EXPAND
                 "  %m = global_avg_pool %x : f32[1,8,1,1]\n"
                 "  %r = dense %m, @route {act=sigmoid} : f32[1,3]\n"
                 "  %w = matmul %r, @all : f32[1,144]\n"
                 "  %v = reshape %w {shape=[16, 1, 3, 3]} : f32[16,1,3,3]\n"
                 "  %d = dwconv2d %e, %v {kernel=3x3, pad=1x1x1x1, act=silu} : "
                 "f32[1,16,16,16]\n"
                 "  %p = conv2d %d, @project : f32[1,8,16,16]\n"
                 "  %y = add %p, %x : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "MBConv2 k3 s1 cc3 + (CondConv of 3 experts)");
}

/* A projection to as many channels ends a block where its input is added, or
 * where it is gated. */
static void test_fused(void **state) {
    (void)state;
#define FUSED                                                                                      \
    "  const @fw : f32[8,8,3,3] = xxh:0000000000000005\n"                                          \
    "  const @q : f32[8,8,1,1] = xxh:0000000000000006\n"                                           \
    "  %f = conv2d %x, @fw {kernel=3x3, pad=1x1x1x1, act=silu} : "                                 \
    "f32[1,8,16,16]\n"
    check_blocks(FUSED "  %p = conv2d %f, @q : f32[1,8,16,16]\n"
                       "  %y = add %p, %x : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "FusedMBConv1 k3 s1 +");
    check_blocks(FUSED "  const @rw : f32[2,8,1,1] = xxh:0000000000000007\n"
                       "  const @rb : f32[2] = [0, 0]\n"
                       "  const @xw : f32[8,2,1,1] = xxh:0000000000000008\n"
                       "  const @xb : f32[8] = [0, 0, 0, 0, 0, 0, 0, 0]\n"
                       "  %g = se %f, @rw, @rb, @xw, @xb : f32[1,8,1,1]\n"
                       "  %y = conv2d %f, @q, scale=%g : f32[1,8,16,16]\n",
                 "[1,8,16,16]", "FusedMBConv1 k3 s1 se 0.25");
    check_blocks(FUSED "  %y = conv2d %f, @q : f32[1,8,16,16]\n", "[1,8,16,16]",
                 "FusedMBConv1 k3 s1; other");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relatives), cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_blur),      cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_norms),     cmocka_unit_test(test_groups),
        cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
