/* family_blocks.c: the blocks of a graph: which convolutions belong together, with what lies
 * between them: norms that can't be folded, gates, filters that blur, weights that are computed. */
#include "passes/family.h"

#include "passes/match.h"

typedef struct Recogniser {
    Graph *g;
    Arena *a;
    Network *net;
} Recogniser;

static int64_t channels(const Value *v) {
    return v->type.shape.rank > 1 ? v->type.shape.dim[1] : 0;
}

static bool is_conv(const Node *n) {
    return n && (n->op == OP_conv2d || n->op == OP_dwconv2d);
}

/* ---- layers: a convolution, or some that share the channels ---------------------------------- */

enum { MAX_PARTS = 8 };

/* The parts of a MixConv (Tan & Le 2019) each read a slice of x, and are concatenated. */
typedef struct Layer {
    Node *part[MAX_PARTS], *slice[MAX_PARTS];
    int parts; /* 0: it is no layer */
    Value *x, *y;
    bool depthwise, spatial; /* more than one tap */
    bool active;
} Layer;

static void add_part(Layer *l, Node *conv) {
    const ConvAttrs *a = conv_attrs(conv);
    Value *x = node_in(conv, 0);
    Node *slice = l->y->def != conv && x->def && x->def->op == OP_slice ? x->def : NULL;
    l->x = slice ? node_in(slice, 0) : x;
    l->slice[l->parts] = slice;
    l->part[l->parts++] = conv;
    l->depthwise |= conv->op == OP_dwconv2d;
    l->spatial |= a->kernel.v[0] > 1;
    l->active |= a->act != ACT_none;
}

/* The layer whose result n gives. */
static Layer layer_of(Node *n) {
    Layer l = {.y = n ? node_out(n) : NULL};
    if (is_conv(n))
        add_part(&l, n);
    if (!n || n->op != OP_concat || axis_attrs(n)->axis != 1 || n->noperands > MAX_PARTS)
        return l;
    const Value *whole = NULL;
    for (int i = 0; i < n->noperands; i++) {
        Node *conv = node_in(n, i)->def;
        if (!is_conv(conv) || !value_single_user(node_out(conv)))
            return (Layer){0};
        add_part(&l, conv);
        if (!l.slice[i] || (whole && l.x != whole))
            return (Layer){0};
        whole = l.x;
    }
    return l;
}

/* Is the convolution one of several parts? */
static bool is_part(const Node *conv) {
    Node *user = value_single_user(node_out(conv));
    return user && user->op == OP_concat && layer_of(user).parts > 1;
}

static const ConvAttrs *attrs_of(const Layer *l) {
    return conv_attrs(l->part[0]);
}

/* A layer of 1x1 convolutions of one group, with a gate or without. */
static bool is_one_tap(const Layer *l) {
    return l->parts && !l->depthwise && !l->spatial && attrs_of(l)->group == 1;
}

/* And of every pixel. */
static bool is_pointwise(const Layer *l) {
    return is_one_tap(l) && attrs_of(l)->stride.v[0] == 1;
}

/* One filter for each channel, or for a few of them. */
static bool is_filter(const Layer *l) {
    return l->depthwise ||
           (l->parts && l->spatial && attrs_of(l)->group > 1 && channels(l->x) == channels(l->y));
}

static bool is_spatial(const Layer *l) {
    return l->parts == 1 && l->spatial && !is_filter(l);
}

/* ---- trails: what a layer's result went through ---------------------------------------------- */

enum { MAX_TRAIL = 24 };

typedef struct Trail {
    Layer from;  /* no parts: v isn't a layer's result */
    Value *gate; /* [N,C,1,1] that it was multiplied by; NULL: none */
    Node *node[MAX_TRAIL];
    int n;
    int64_t stride; /* of what blurs */
    bool active, normed;
} Trail;

/* A depthwise convolution by one filter for all channels (Zhang 2019, arXiv 1904.11486), or a mean.
 */
static bool blurs(const Node *n) {
    if (n->op == OP_avg_pool)
        return true;
    const float *w = n->op == OP_dwconv2d ? constant_f32(node_in(n, 1)) : NULL;
    if (!w || conv_attrs(n)->act != ACT_none || node_in(n, 2))
        return false;
    const Shape *s = &node_in(n, 1)->type.shape;
    int64_t taps = s->dim[2] * s->dim[3], all = shape_elems(s);
    bool same = taps > 1;
    for (int64_t i = 0; i < all && same; i++)
        same = w[i] >= 0 && w[i] == w[i % taps];
    return same;
}

static bool is_gate(const Value *v) {
    const Node *n = v->def;
    const Act *act = n ? fused_act((Node *)n) : NULL;
    Act by;
    if (!n || v->type.shape.rank != 4 || v->type.shape.dim[2] * v->type.shape.dim[3] != 1)
        return false;
    return n->op == OP_se || op_is_act(n->op, &by) || (act && *act != ACT_none);
}

static bool is_made_of(const Value *gate, const Value *x) {
    enum { MAX_STEPS = 8 };
    for (int i = 0; i < MAX_STEPS && gate != x && gate->def && node_in(gate->def, 0); i++)
        gate = node_in(gate->def, 0);
    return gate == x;
}

/* The operand of n that has its elements, where there is just one that is computed. Planes of one
 * pixel are as large as their gate, which is made of them. */
static Value *main_operand(const Node *n) {
    int64_t elems = shape_elems(&node_out(n)->type.shape);
    Value *found = NULL;
    for (int i = 0; i < n->noperands; i++) {
        Value *v = node_in(n, i);
        if (!v || v->constant || shape_elems(&v->type.shape) != elems)
            continue;
        if (found && n->op == OP_mul && is_made_of(v, found))
            continue;
        if (found && !(n->op == OP_mul && is_made_of(found, v)))
            return NULL;
        found = v;
    }
    return found;
}

/* One step back from n's result; NULL: it isn't one that a trail may lead through. */
static Value *step_back(Trail *t, const Node *n) {
    Act act;
    t->active |= op_is_act(n->op, &act) || n->op == OP_clip;
    if (n->op == OP_pad)
        return node_in(n, 0);
    if (blurs(n)) {
        t->stride *= n->op == OP_avg_pool ? pool_attrs(n)->stride.v[0] : conv_attrs(n)->stride.v[0];
        return node_in(n, 0);
    }
    if (n->op != OP_reshape && n->op != OP_batch_norm && !(op_info(n->op)->flags & OPF_ELEMENTWISE))
        return NULL;
    Value *v = main_operand(n);
    for (int i = 0; v && i < n->noperands; i++) {
        Value *other = node_in(n, i);
        if (other == v || !other || other->constant)
            continue;
        if (n->op == OP_mul && is_gate(other))
            t->gate = other;
        else if (shape_equal(&other->type.shape, &v->type.shape))
            t->active = true; /* a product of what both are made of: GELU */
        else
            t->normed = true;
    }
    return v;
}

static Trail trail_of(Value *v) {
    Trail t = {.stride = 1};
    while (v && v->def) {
        Node *n = v->def;
        if (!blurs(n))
            t.from = layer_of(n);
        if (t.from.parts || t.n == MAX_TRAIL)
            break;
        t.node[t.n++] = n;
        v = step_back(&t, n);
    }
    t.active |= t.from.active;
    return t;
}

/* ---- gates ----------------------------------------------------------------------------------- */

/* How many channels it comes from: those that a squeeze leaves. */
static int64_t squeezed_by(const Value *gate) {
    enum { MAX_STEPS = 8 };
    for (int i = 0; i < MAX_STEPS && gate && gate->def; i++) {
        const Node *n = gate->def;
        if (n->op == OP_se)
            return node_in(n, 1)->type.shape.dim[0];
        if (has_weights(n))
            return channels(node_in(n, 0));
        gate = n->op == OP_reshape ? node_in(n, 0) : main_operand(n);
    }
    return 0;
}

/* Is the gate's input a mean that is weighted by a softmax over pixels (Cao et al. 2019)? */
static bool is_by_context(const Value *gate) {
    enum { MAX_STEPS = 24 };
    for (int i = 0; i < MAX_STEPS && gate && gate->def; i++) {
        const Node *n = gate->def;
        if (n->op == OP_matmul)
            for (int k = 0; k < 2; k++) {
                const Value *v = node_in(n, k);
                while (v->def && (v->def->op == OP_reshape || v->def->op == OP_transpose))
                    v = node_in(v->def, 0);
                if (v->def && v->def->op == OP_softmax)
                    return true;
            }
        gate = node_in(n, 0);
    }
    return false;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void own(Node *n, int block) {
    if (n && n->mark < 0)
        n->mark = block;
}

static void own_layer(const Layer *l, int block) {
    for (int i = 0; i < l->parts; i++) {
        own(l->part[i], block);
        own(l->slice[i], block);
    }
    if (l->parts)
        own(l->y->def, block);
}

static void own_trail(const Trail *t, int block) {
    for (int i = 0; i < t->n; i++)
        own(t->node[i], block);
}

/* How many sets of weights those of a convolution are mixed from (Yang et al. 2019, arXiv
 * 1904.04971); 0: they are constant. */
static int64_t experts_of(const Layer *l) {
    const Value *w = node_in(l->part[0], 1);
    while (w->def && w->def->op == OP_reshape)
        w = node_in(w->def, 0);
    const Node *n = w->def;
    if (!n || (n->op != OP_matmul && n->op != OP_dense))
        return 0;
    const Shape *s = &node_in(n, 0)->type.shape;
    return s->dim[s->rank - 1];
}

static int64_t group_size(const Layer *l) {
    int64_t groups = attrs_of(l)->group;
    return l->depthwise ? 1 : groups > 1 ? channels(node_in(l->part[0], 0)) / groups : 0;
}

static NetBlock new_block(BlockKind kind, const Layer *l, const Value *x, const Value *y) {
    const ConvAttrs *a = attrs_of(l);
    NetBlock b = {.kind = kind,
                  .stride = a->stride.v[0],
                  .dilation = a->dilation.v[0],
                  .group_size = group_size(l),
                  .in = channels(x),
                  .middle = channels(l->y),
                  .out = channels(y),
                  .experts = experts_of(l),
                  .x = x,
                  .y = y,
                  .first = l->part[0]};
    for (int i = 0; i < l->parts; i++)
        b.kernels |= kernel_bit(conv_attrs(l->part[i])->kernel.v[0]);
    return b;
}

static int push(Recogniser *r, NetBlock b) {
    vec_push(r->a, &r->net->blocks, b);
    return (int)r->net->blocks.len - 1;
}

/* The nodes between the block that gives x and x itself are that one's, and its result is x. */
static void settle(Recogniser *r, Value *x) {
    Trail t = trail_of(x);
    int block = t.from.parts ? t.from.y->def->mark : -1;
    if (block < 0 || t.n == 0)
        return;
    own_trail(&t, block);
    r->net->blocks.data[block].y = x;
    r->net->blocks.data[block].normed |= t.normed;
    r->net->blocks.data[block].stride *= t.stride;
}

static Value *gate_of(const Layer *project, const Trail *t) {
    const Node *n = project->part[0];
    Value *gate = n->op == OP_conv2d ? node_in(n, node_slot(n, "scale")) : NULL;
    return gate ? gate : t->gate;
}

/* A block that ends in `project`, and begins with `expand` where that has parts. */
static void push_projected(Recogniser *r, BlockKind kind, const Trail *expand, const Trail *middle,
                           const Layer *project) {
    bool expands = expand && expand->from.parts;
    const Layer *first = expands ? &expand->from : &middle->from;
    Value *gate = gate_of(project, middle);
    settle(r, first->x);
    NetBlock b = new_block(kind, &middle->from, first->x, project->y);
    b.stride *= attrs_of(project)->stride.v[0] * middle->stride;
    b.squeezed = gate ? squeezed_by(gate) : 0;
    b.by_context = gate && is_by_context(gate);
    b.blurred = middle->stride > 1;
    b.normed = middle->normed || (expands && expand->normed);
    b.first = first->part[0];
    int id = push(r, b);
    if (expands) {
        own_layer(&expand->from, id);
        own_trail(expand, id);
    }
    own_layer(&middle->from, id);
    own_trail(middle, id);
    own_layer(project, id);
    if (gate)
        own(gate->def, id);
}

/* Is y added to x, perhaps behind a norm? */
static bool is_added_to(const Value *y, const Value *x, int depth) {
    for (const Use *u = y->uses; u && depth > 0; u = u->next) {
        const Node *n = u->user;
        if (n && n->op == OP_add && (node_in(n, 0) == x || node_in(n, 1) == x))
            return true;
        if (n && op_info(n->op)->flags & OPF_ELEMENTWISE && main_operand(n) == y &&
            is_added_to(node_out(n), x, depth - 1))
            return true;
    }
    return false;
}

enum { MAX_DEPTH = 6 }; /* of what may lie between a layer and the next one, or a sum */

/* Does a block of two layers begin with one from x to `middle` channels, and end with this one? */
static bool closes(const Layer *project, const Value *x, int64_t middle) {
    if (!is_one_tap(project) || project->active)
        return false;
    Trail t = trail_of(project->x);
    return middle != channels(x) || gate_of(project, &t) || is_added_to(project->y, x, MAX_DEPTH);
}

/* A block that ends in the layer of n. That of a FusedMBConv may be what strides: the first EdgeTPU
 * networks have it so. One channel is a gate's: the weights of pixels. */
static bool match_projected(Recogniser *r, Node *n) {
    Layer project = layer_of(n);
    if (!is_one_tap(&project) || project.active || channels(project.y) == 1 ||
        (is_conv(n) && is_part(n)))
        return false;
    Trail t = trail_of(project.x);
    if (!t.from.parts || t.from.y->def->mark >= 0)
        return false;
    if (is_pointwise(&project) && is_filter(&t.from)) {
        Trail e = trail_of(t.from.x);
        bool expands = is_pointwise(&e.from) && e.active && e.from.y->def->mark < 0;
        push_projected(r, BLOCK_MBCONV, expands ? &e : NULL, &t, &project);
        return true;
    }
    if (!is_spatial(&t.from) || !t.active || !closes(&project, t.from.x, channels(t.from.y)))
        return false;
    push_projected(r, BLOCK_FUSED, NULL, &t, &project);
    return true;
}

/* Does v go into the last layer of a block that begins with the convolution n? */
static bool is_projected(const Node *n, const Value *v, int depth) {
    for (const Use *u = v->uses; u && depth > 0; u = u->next) {
        Node *user = u->user;
        if (!user)
            continue;
        Layer l = layer_of(user);
        if (l.parts == 1 && !blurs(user)) {
            if (closes(&l, node_in(n, 0), channels(node_out(n))))
                return true;
        } else if ((blurs(user) || user->op == OP_pad || main_operand(user) == v) &&
                   is_projected(n, node_out(user), depth - 1)) {
            return true;
        }
    }
    return false;
}

/* The stem, or a FusedMBConv of one convolution. */
static bool match_spatial(Recogniser *r, Node *n) {
    Layer l = layer_of(n);
    bool first = r->net->blocks.len == 0;
    if (!is_spatial(&l) || (!first && (!l.active || is_projected(n, l.y, MAX_DEPTH))))
        return false;
    if (!first)
        settle(r, l.x);
    NetBlock b = new_block(first ? BLOCK_STEM : BLOCK_FUSED, &l, l.x, l.y);
    if (!first) {
        b.middle = b.in;
        b.single = true;
    }
    own_layer(&l, push(r, b));
    return true;
}

/* The sum of a block's result and its input. */
static bool match_sum(Recogniser *r, Node *n) {
    for (int side = 0; n->op == OP_add && side < 2; side++) {
        Trail t = trail_of(node_in(n, side));
        int id = t.from.parts ? t.from.y->def->mark : -1;
        NetBlock *b = id >= 0 ? &r->net->blocks.data[id] : NULL;
        if (!b || b->x != node_in(n, 1 - side))
            continue;
        b->residual = true;
        b->y = node_out(n);
        own_trail(&t, id);
        own(n, id);
        return true;
    }
    return false;
}

static bool match_head(Recogniser *r, Node *n) {
    if (n->op != OP_global_avg_pool)
        return false;
    Trail t = trail_of(node_in(n, 0));
    if (!is_pointwise(&t.from) || !t.active || t.from.y->def->mark >= 0)
        return false;
    settle(r, t.from.x);
    int id = push(r, new_block(BLOCK_HEAD, &t.from, t.from.x, node_out(n)));
    own_layer(&t.from, id);
    own_trail(&t, id);
    own(n, id);
    return true;
}

static bool match_fc(Recogniser *r, Node *n) {
    const Shape *s = &node_in(n, 0)->type.shape;
    if (n->op != OP_dense || s->rank < 2)
        return false;
    NetBlock b = {.kind = BLOCK_FC,
                  .in = s->dim[1],
                  .out = channels(node_out(n)),
                  .x = node_in(n, 0),
                  .y = node_out(n),
                  .first = n};
    own(n, push(r, b));
    return true;
}

/* The only block that reads n's results; -1: there is none, or it is more than a part of one. */
static int sole_reader(const Recogniser *r, const Node *n) {
    int block = -1;
    for (int i = 0; i < n->nresults; i++)
        for (const Use *u = n->results[i]->uses; u; u = u->next) {
            if (!u->user || u->user->mark < 0 || (block >= 0 && u->user->mark != block))
                return -1;
            block = u->user->mark;
        }
    if (block < 0)
        return -1;
    return r->net->blocks.data[block].x == node_out(n) ? -1 : block;
}

/* What only one block needs is of that block: how gates, statistics and weights are computed. */
static void take_in(Recogniser *r) {
    Node *last = r->g->first;
    while (last && last->next)
        last = last->next;
    for (Node *n = last; n; n = n->prev)
        if (n->mark < 0)
            n->mark = sole_reader(r, n);
}

void network_find_blocks(Graph *g, Arena *a, Network *out) {
    Recogniser r = {g, a, out};
    FOR_EACH_NODE(g, n) {
        n->mark = -1;
    }
    FOR_EACH_NODE(g, n) {
        (void)(match_projected(&r, n) || match_spatial(&r, n) || match_sum(&r, n) ||
               match_head(&r, n));
    }
    take_in(&r);
    FOR_EACH_NODE(g, n) {
        (void)(n->mark < 0 && match_fc(&r, n));
    }
}
