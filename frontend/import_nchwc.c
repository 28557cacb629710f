/* import_nchwc.c: how many channels there are in what ONNX Runtime's optimiser has laid out in
 * blocks of channels (its highest level, domain com.microsoft.nchwc).
 *
 * Such tensors and weights are padded to whole blocks, of 8 or 16 as it suited the machine that
 * saved the file, and the file says neither the size of a block nor the number of channels. Both
 * are found here: the block from what only one of them allows, the channels from what is in use.
 * Tensors that have their channels in common are a group, and channels at its end that nobody
 * writes but with zeros, and whose weights are zero wherever they are read, are left out of all of
 * them. That is right whether they were padding or not. */
#include "frontend/import.h"

#include <string.h>

/* Tensors with the same channels. */
typedef struct Group {
    struct Group *joined; /* NULL: stands for itself */
    int64_t used;         /* channels from here on are zero, or read with weights of zero */
    int64_t told;         /* channels that an operator which leaves the blocks asks for; or 0 */
    bool is_whole;        /* somebody may use all of them */
} Group;

struct NchwcChannels {
    Arena *arena;
    Map groups; /* name -> Group * */
    int64_t block;
};

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static Group *leader(Group *g) {
    for (; g->joined; g = g->joined)
        if (g->joined->joined)
            g->joined = g->joined->joined;
    return g;
}

static Group *group_of(const NchwcChannels *c, const OnnxName *name) {
    Group *g = name ? map_get(&c->groups, name->name) : NULL;
    return g ? leader(g) : NULL;
}

static Group *group_new(NchwcChannels *c, const OnnxName *name) {
    Group *g = ARENA_NEW(c->arena, Group);
    *g = (Group){0};
    map_put(c->arena, &c->groups, name->name, g);
    return g;
}

static Group *join(Group *a, Group *b) {
    if (!a || !b || a == b)
        return a ? a : b;
    a->used = larger(a->used, b->used);
    a->told = larger(a->told, b->told);
    a->is_whole |= b->is_whole;
    b->joined = a;
    return a;
}

/* ---- weights --------------------------------------------------------------------------------- */

static const Tensor *constant_input(const OnnxNode *n, int i) {
    const OnnxName *name = i < n->ninputs ? n->inputs[i] : NULL;
    return name && name->value ? name->value->constant : NULL;
}

static bool is_nchwc(const OnnxNode *n, const char *op) {
    return strcmp(n->domain, NCHWC_DOMAIN) == 0 && strcmp(n->proto->op_type, op) == 0;
}

bool nchwc_filter(const NchwcChannels *c, OnnxNode *n, NchwcFilter *f) {
    const Tensor *w = constant_input(n, 1), *b = constant_input(n, 2);
    if (!w || w->dtype != DT_f32 || w->shape.rank != 4 || (b && b->dtype != DT_f32))
        return false;
    const int64_t *d = w->shape.dim;
    *f = (NchwcFilter){.data = w->data, .bias = b ? b->data : NULL, .block = c->block};
    f->rows = d[0];
    f->columns = d[1];
    f->taps = d[2] * d[3];
    f->group = attr_int(n, "group", 1);
    f->is_depthwise = f->group > 1 && f->group == f->rows && f->columns == 1;
    f->has_blocks_in = !f->is_depthwise && group_of(c, n->inputs[0]);
    return !b || (b->shape.rank == 1 && b->shape.dim[0] == f->rows);
}

/* [rows / block][columns / block][taps][block of columns][block of rows], or
 * [rows / block][columns][taps][block of rows] where the columns have no blocks. */
float nchwc_weight(const NchwcFilter *f, int64_t row, int64_t column, int64_t tap) {
    int64_t b = f->block, in = f->has_blocks_in ? b : 1;
    int64_t at = ((row / b * (f->columns / in) + column / in) * f->taps + tap) * in + column % in;
    return f->data[at * b + row % b];
}

static bool is_zero_row(const NchwcFilter *f, int64_t row) {
    for (int64_t i = 0; i < f->columns; i++)
        for (int64_t t = 0; t < f->taps; t++)
            if (nchwc_weight(f, row, i, t) != 0)
                return false;
    return !f->bias || f->bias[row] == 0;
}

static bool is_zero_column(const NchwcFilter *f, int64_t column) {
    for (int64_t i = 0; i < f->rows; i++)
        for (int64_t t = 0; t < f->taps; t++)
            if (nchwc_weight(f, i, column, t) != 0)
                return false;
    return true;
}

/* One more than the last that isn't zero. */
static int64_t used_rows(const NchwcFilter *f) {
    int64_t n = f->rows;
    while (n > 0 && is_zero_row(f, n - 1))
        n--;
    return n;
}

static int64_t used_columns(const NchwcFilter *f) {
    int64_t n = f->columns;
    while (n > 0 && is_zero_column(f, n - 1))
        n--;
    return n;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Each channel of a result is made of the same channel of the operands. */
static bool keeps_channels(const OnnxNode *n) {
    static const char *const blocked[] = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool",
                                          "MaxPool", "Upsample"};
    static const char *const plain[] = {"Add",         "Clip",      "Elu", "Gelu",      "HardSwish",
                                        "HardSigmoid", "LeakyRelu", "Mul", "QuickGelu", "Relu",
                                        "Sigmoid",     "Sum",       "Tanh"};
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
        if (is_nchwc(n, blocked[i]))
            return true;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(n->domain, NCHWC_DOMAIN) != 0 && strcmp(n->proto->op_type, plain[i]) == 0)
            return true;
    return false;
}

/* All tensors of a node that work channel by channel are one group; of one that is not known to,
 * each is used as it is. */
static void join_all(NchwcChannels *c, const OnnxNode *n) {
    bool keeps = keeps_channels(n);
    Group *all = NULL;
    for (int i = 0; i < n->ninputs; i++)
        if (group_of(c, n->inputs[i]))
            all = join(all, group_of(c, n->inputs[i]));
    if (!all)
        return;
    for (int i = 0; i < n->ninputs; i++)
        keeps &= !n->inputs[i] || group_of(c, n->inputs[i]) ||
                 (strcmp(n->proto->op_type, "Clip") == 0 && i > 0);
    all->is_whole |= !keeps;
    for (int i = 0; i < n->noutputs; i++)
        if (n->outputs[i])
            all = join(all, group_new(c, n->outputs[i]));
}

static void join_conv(NchwcChannels *c, OnnxNode *n) {
    NchwcFilter f;
    Group *x = group_of(c, n->inputs[0]), *y = group_new(c, n->outputs[0]);
    bool known = nchwc_filter(c, n, &f);
    if (known && f.is_depthwise)
        y = join(y, x);
    else if (!known || f.group != 1) {
        y->is_whole = true;
        if (x)
            x->is_whole = true;
    }
    if (n->ninputs > 3)
        join(y, group_of(c, n->inputs[3]));
}

static void join_node(NchwcChannels *c, OnnxNode *n) {
    if (!n->ninputs || !n->inputs[0] || !n->noutputs || !n->outputs[0])
        return;
    Group *x = group_of(c, n->inputs[0]);
    if (is_nchwc(n, "Conv"))
        join_conv(c, n);
    else if (is_nchwc(n, "ReorderInput"))
        group_new(c, n->outputs[0]);
    else if (is_nchwc(n, "ReorderOutput") && x)
        x->told = larger(x->told, attr_int(n, "channels", 0));
    else
        join_all(c, n);
}

/* What is used of the tensors that a convolution reads and writes. */
static void use_conv(NchwcChannels *c, OnnxNode *n) {
    NchwcFilter f;
    if (!is_nchwc(n, "Conv") || !n->noutputs || !group_of(c, n->outputs[0]) ||
        !nchwc_filter(c, n, &f) || !nchwc_fits(&f))
        return;
    Group *x = group_of(c, n->inputs[0]), *y = group_of(c, n->outputs[0]);
    if (!y->is_whole)
        y->used = larger(y->used, used_rows(&f));
    if (f.has_blocks_in && !x->is_whole)
        x->used = larger(x->used, used_columns(&f));
}

/* ---- the block ------------------------------------------------------------------------------- */

enum { SMALL_BLOCK = 8, LARGE_BLOCK = 16 };

/* The upper half of the last large block is padding: zeros that lie between its other half's. */
static bool ends_in_half_block(const NchwcFilter *f) {
    NchwcFilter large = *f;
    large.block = LARGE_BLOCK;
    return nchwc_fits(&large) && used_rows(&large) <= f->rows - SMALL_BLOCK &&
           used_rows(&large) > f->rows - LARGE_BLOCK;
}

/* The only size that fits `channels` in so many rows; 0 where both do, or none. */
static int64_t block_of_padding(int64_t rows, int64_t channels) {
    bool fits = channels <= rows; /* the number of channels may be anything in a file */
    bool small = fits && round_up(channels, SMALL_BLOCK) == rows;
    bool large = fits && round_up(channels, LARGE_BLOCK) == rows;
    return small == large ? 0 : small ? SMALL_BLOCK : LARGE_BLOCK;
}

static int64_t block_of_conv(const NchwcChannels *c, OnnxNode *n) {
    NchwcFilter f;
    if (!is_nchwc(n, "Conv") || !n->ninputs || !nchwc_filter(c, n, &f))
        return 0;
    const Group *y = n->noutputs ? group_of(c, n->outputs[0]) : NULL;
    if (f.rows % LARGE_BLOCK || (f.has_blocks_in && f.columns % LARGE_BLOCK))
        return SMALL_BLOCK;
    if (!f.has_blocks_in && !f.is_depthwise && f.columns >= SMALL_BLOCK)
        return LARGE_BLOCK; /* smaller blocks would have been whole */
    if (ends_in_half_block(&f))
        return LARGE_BLOCK;
    return y && y->told ? block_of_padding(f.rows, y->told) : 0;
}

static int64_t block_of(const NchwcChannels *c, const Scope *s) {
    int64_t block = 0;
    for (size_t i = 0; i < s->order.len && !block; i++)
        block = block_of_conv(c, s->order.data[i]);
    return block;
}

/* ---- the graph ------------------------------------------------------------------------------- */

const NchwcChannels *nchwc_channels(OnnxNode *n) {
    Importer *im = n->im;
    if (n->scope != &im->main) {
        onnx_unsupported(n, "blocks of channels inside of a subgraph are not supported");
        return NULL;
    }
    if (!im->nchwc) {
        NchwcChannels *c = im->nchwc = ARENA_NEW(&im->arena, NchwcChannels);
        *c = (NchwcChannels){.arena = &im->arena};
        for (size_t i = 0; i < im->main.order.len; i++)
            join_node(c, im->main.order.data[i]);
        c->block = block_of(c, &im->main);
        for (size_t i = 0; c->block && i < im->main.order.len; i++)
            use_conv(c, im->main.order.data[i]);
    }
    return im->nchwc;
}

bool nchwc_fits(const NchwcFilter *f) {
    return f->block && f->rows % f->block == 0 && (!f->has_blocks_in || f->columns % f->block == 0);
}

int64_t nchwc_count(const NchwcChannels *c, const OnnxName *name, int64_t padded) {
    const Group *g = group_of(c, name);
    if (!g || g->is_whole)
        return padded;
    int64_t count = larger(g->used, g->told);
    return count < 1 || count > padded ? padded : count;
}

int64_t nchwc_block(const NchwcChannels *c) {
    return c->block;
}
