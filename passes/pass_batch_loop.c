/* batch-loop: of a batch, one image after the other goes through a run of nodes, instead of all
 * images through one node after the other: what lies between the nodes is then no larger than for
 * one image, and stays in the cache. What only they use gets memory for one image.
 *
 * The run starts at the first node that can work image by image. It ends where the weights, which
 * are read anew for each image, begin to cost more than the way of all images' values to memory
 * and back: classifiers have the large weights at their end. Needs: layout. Leaves alone: graphs of
 * one image, and those whose inputs don't agree about the size of the batch. */
#include "passes/lower.h"

#include <math.h>

/* Cycles a byte: of weights that are read again, from beyond the cache, in the order in which they
 * are needed; and of values that are written, and read, beyond it. */
static const double WEIGHT_AGAIN = 0.05, FAR_VALUE = 0.08;

static const bool by_images[OP_COUNT] = {
    [OP_conv2d] = true,      [OP_dwconv2d] = true,
    [OP_conv2d_mean] = true, [OP_conv2d_dwconv2d] = true,
    [OP_se] = true,          [OP_global_avg_pool] = true,
    [OP_pad] = true,         [OP_reorder] = true,
    [OP_max_pool] = true,    [OP_avg_pool] = true,
    [OP_resize] = true,      [OP_interleave] = true,
    [OP_pixels] = true,
};

static bool has_images(const Value *v, int64_t images) {
    const Shape *s = &v->type.shape;
    return (s->rank == 2 || s->rank == 4) && s->dim[0] == images;
}

bool node_by_images(const Node *n, int64_t images) {
    bool op = by_images[n->op] ||
              (lowering_of(n->op)->layout == LAYOUT_FOLLOW && node_out(n)->type.layout.block > 0);
    for (int i = 0; op && i < n->noperands; i++)
        op = !node_in(n, i) || node_in(n, i)->constant || has_images(node_in(n, i), images);
    for (int i = 0; op && i < n->nresults; i++)
        op = value_is_scratch(n->results[i]) || has_images(n->results[i], images);
    return op;
}

static bool takes_turns(const Node *n) {
    for (int i = 0; i < n->noperands; i++)
        if (node_in(n, i) && node_in(n, i)->type.layout.one_image)
            return true;
    for (int i = 0; i < n->nresults; i++)
        if (n->results[i]->type.layout.one_image)
            return true;
    return false;
}

BatchLoop batch_loop_of(const Graph *g) {
    BatchLoop loop = {.first = -1, .last = -1};
    int at = 0;
    FOR_EACH_NODE(g, n) {
        if (takes_turns(n)) {
            loop.first = loop.first < 0 ? at : loop.first;
            loop.last = at;
            loop.images = node_out(n)->type.shape.dim[0];
        }
        at++;
    }
    return loop;
}

/* The batch of all inputs; 1 where there is none. */
static int64_t batch_of(const Graph *g) {
    int64_t images = g->inputs.len ? 0 : 1;
    for (size_t i = 0; i < g->inputs.len; i++) {
        const Shape *s = &g->inputs.data[i]->type.shape;
        int64_t n = s->rank == 4 ? s->dim[0] : 1;
        images = images == 0 || images == n ? n : 1;
    }
    return images;
}

/* What it costs to have n in the loop, less what it costs to have it behind. */
static double extra_cycles(const Node *n, int64_t images, const PassContext *cx) {
    double weights = 0, values = 0;
    for (int i = 0; i < n->noperands; i++) {
        const Value *v = node_in(n, i);
        if (v && v->constant)
            weights += (double)type_storage_bytes(&v->type);
        else if (v)
            values += fmax(0, (double)(type_storage_bytes(&v->type) - pass_l2_bytes(cx)));
    }
    values += fmax(0, (double)(type_storage_bytes(&node_out(n)->type) - pass_l2_bytes(cx)));
    return WEIGHT_AGAIN * weights * (double)(images - 1) - FAR_VALUE * values;
}

typedef struct Run {
    Node *first, *end; /* nodes first .. before end (NULL: all) */
} Run;

/* The run of nodes for which the sum of extra cycles is least. */
static Run pick_run(const Graph *g, int64_t images, const PassContext *cx) {
    Run run = {NULL, NULL};
    double sum = 0, least = 0;
    FOR_EACH_NODE(g, n) {
        if (node_by_images(n, images)) {
            if (!run.first)
                run.first = run.end = n;
            sum += extra_cycles(n, images, cx);
            if (sum < least) {
                least = sum;
                run.end = n->next;
            }
        } else if (run.first) {
            break;
        }
    }
    return run;
}

/* Whether all users of v are between its maker and `end`, by the marks. */
static bool stays_inside(const Value *v, int first, int end) {
    for (const Use *u = v->uses; u; u = u->next)
        if (!u->user || u->user->mark < first || u->user->mark >= end)
            return false;
    return true;
}

bool pass_batch_loop(Graph *g, PassContext *cx) {
    int64_t images = batch_of(g);
    Run run = images > 1 ? pick_run(g, images, cx) : (Run){NULL, NULL};
    if (run.first == run.end)
        return true;
    int nodes = graph_number_nodes(g), end = run.end ? run.end->mark : nodes, inside = 0;
    for (Node *n = run.first; n != run.end; n = n->next)
        for (int i = 0; i < n->nresults; i++) {
            Value *v = n->results[i];
            v->type.layout.one_image = !value_is_scratch(v) && v->type.layout.block > 0 &&
                                       stays_inside(v, run.first->mark, end);
            inside += v->type.layout.one_image;
        }
    diag_remark(cx->diag, cx->where,
                "%%%s to %%%s: the %lld images one after the other; %d values have memory for one",
                node_out(run.first)->name, node_out(run.end ? run.end->prev : g->last)->name,
                (long long)images, inside);
    return true;
}
