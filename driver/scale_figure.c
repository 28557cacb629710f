/* scale_figure.c: what it costs to make a network larger, way by way: curves over its MACs. */
#include "driver/scale.h"

#include <math.h>

enum { WAYS = 4, POINTS = 7 }; /* a point is sqrt 2 times the MACs of the one before */

typedef struct Curve {
    const char *name, *class;
    Candidate at[POINTS];
} Curve;

/* ---- costs ----------------------------------------------------------------------------------- */

static Scaling grown(const Scaling *base, int way, double macs, const Compound *by) {
    Scaling s = *base;
    Compound c = {.alpha = 1, .beta = 1, .gamma = 1};
    switch (way) {
    case 0:
        s.width *= sqrt(macs);
        return s;
    case 1:
        s.depth *= macs;
        return s;
    case 2:
        c.gamma = sqrt(macs);
        c.phi = 1;
        break;
    default:
        c = *by;
        c.phi = log2(macs) / log2(by->alpha * by->beta * by->beta * by->gamma * by->gamma);
    }
    return scaling_compound(base, &c);
}

static bool compute(Scale *s, const Compound *by, Curve *curves) {
    static const char *const names[] = {"width", "depth", "resolution", "compound"};
    static const char *const classes[] = {"w", "d", "r", "c"};
    for (int way = 0; way < WAYS; way++) {
        curves[way].name = names[way];
        curves[way].class = classes[way];
        for (int i = 0; i < POINTS; i++) {
            Candidate *c = &curves[way].at[i];
            c->net = s->base;
            c->net.by = grown(&s->base.by, way, pow(2, i / 2.0), by);
            if (!candidate_cost(s, c, true))
                return false;
        }
    }
    return true;
}

/* ---- panels ---------------------------------------------------------------------------------- */

enum { PANEL = 300, LEFT = 54, TOP = 84, PLOT_W = 226, PLOT_H = 210, HEIGHT = 348, PANELS = 3 };

static double gmacs(const Scale *s, const Candidate *c) {
    (void)s;
    return 1e-9 * (double)c->size.macs;
}

static double time_of(const Scale *s, const Candidate *c) {
    return s->cycles_per_ms > 0 ? candidate_ms(s, c) : 1e-6 * c->cycles;
}

static double arena_of(const Scale *s, const Candidate *c) {
    (void)s;
    return 1e-6 * (double)c->arena;
}

static double weights_of(const Scale *s, const Candidate *c) {
    (void)s;
    return 1e-6 * (double)c->flash;
}

typedef double Figure(const Scale *s, const Candidate *c);

typedef struct Axis {
    double low, high; /* decimal logarithms */
} Axis;

static Axis axis_of(const Scale *s, const Curve *curves, Figure *value) {
    Axis a = {INFINITY, -INFINITY};
    for (int way = 0; way < WAYS; way++)
        for (int i = 0; i < POINTS; i++) {
            double x = log10(value(s, &curves[way].at[i]));
            a.low = fmin(a.low, x);
            a.high = fmax(a.high, x);
        }
    double room = fmax(0.04 * (a.high - a.low), 0.02);
    return (Axis){a.low - room, a.high + room};
}

/* Share of the axis. */
static double along(const Axis *a, double x) {
    return (log10(x) - a->low) / (a->high - a->low);
}

/* 1, 2 and 5 times the powers of ten that are on the axis. */
static size_t ticks(const Axis *a, double *out, size_t max) {
    static const double steps[] = {1, 2, 5};
    size_t n = 0;
    for (int e = (int)floor(a->low); e <= (int)ceil(a->high); e++)
        for (int k = 0; k < 3; k++) {
            double x = steps[k] * pow(10, e), at = along(a, x);
            if (at >= 0 && at <= 1 && n < max)
                out[n++] = x;
        }
    return n;
}

static void draw_axes(Buf *b, double left, const Axis *x, const Axis *y) {
    enum { MAX_TICKS = 24 };
    double at[MAX_TICKS];
    for (size_t i = 0, n = ticks(x, at, MAX_TICKS); i < n; i++) {
        double px = left + PLOT_W * along(x, at[i]);
        buf_printf(b, "<path class=\"grid\" d=\"M%.1f %d v%d\"/>\n", px, TOP, PLOT_H);
        buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", px,
                   TOP + PLOT_H + 16, at[i]);
    }
    for (size_t i = 0, n = ticks(y, at, MAX_TICKS); i < n; i++) {
        double py = TOP + PLOT_H * (1 - along(y, at[i]));
        buf_printf(b, "<path class=\"grid\" d=\"M%.1f %.1f h%d\"/>\n", left, py, PLOT_W);
        buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", left - 6,
                   py + 4, at[i]);
    }
}

static void draw_panel(Buf *b, const Scale *s, const Curve *curves, int panel, const char *title,
                       Figure *value) {
    double left = panel * PANEL + LEFT;
    Axis x = axis_of(s, curves, gmacs), y = axis_of(s, curves, value);
    buf_printf(b, "<text class=\"title\" x=\"%.1f\" y=\"%d\">%s</text>\n", left, TOP - 12, title);
    draw_axes(b, left, &x, &y);
    for (int way = 0; way < WAYS; way++) {
        buf_printf(b, "<polyline class=\"%s\" points=\"", curves[way].class);
        for (int i = 0; i < POINTS; i++) {
            const Candidate *c = &curves[way].at[i];
            buf_printf(b, "%s%.1f,%.1f", i ? " " : "", left + PLOT_W * along(&x, gmacs(s, c)),
                       TOP + PLOT_H * (1 - along(&y, value(s, c))));
        }
        buf_puts(b, "\"/>\n");
    }
    buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">GMACs</text>\n",
               left + PLOT_W / 2.0, TOP + PLOT_H + 36);
}

/* ---- the picture ----------------------------------------------------------------------------- */

/* Hues that most eyes tell apart (Okabe & Ito 2008), lighter on dark paper. */
static const char style[] =
    "<style>\n"
    "svg{font:12px system-ui,sans-serif;--paper:#fff;--ink:#222;--line:#ddd;--w:#0072b2;"
    "--d:#c44e00;--r:#00795a;--c:#222}\n"
    "@media (prefers-color-scheme:dark){svg{--paper:#16181c;--ink:#ddd;--line:#3a3d44;--w:#56b4e9;"
    "--d:#f0a04b;--r:#3fc9a0;--c:#fff}}\n"
    ".paper{fill:var(--paper)}text{fill:var(--ink)}.title{font-weight:600;font-size:13px}\n"
    ".grid{stroke:var(--line);fill:none}polyline,.key{fill:none;stroke-width:2}\n"
    ".w{stroke:var(--w)}.d{stroke:var(--d);stroke-dasharray:7 3}\n"
    ".r{stroke:var(--r);stroke-dasharray:2 3}.c{stroke:var(--c);stroke-width:3.5}\n"
    "</style>\n";

static void draw_key(Buf *b, const Scale *s, const Curve *curves) {
    enum { STEP = 120 };
    buf_printf(b,
               "<text class=\"title\" x=\"%d\" y=\"24\">%s for %s: what it costs to make it "
               "larger by</text>\n",
               LEFT, s->base.name, find_target(s->compiler->target, s->diag)->name);
    for (int way = 0; way < WAYS; way++) {
        int x = LEFT + way * STEP;
        buf_printf(b, "<path class=\"key %s\" d=\"M%d 42 h28\"/>\n", curves[way].class, x);
        buf_printf(b, "<text x=\"%d\" y=\"46\">%s</text>\n", x + 34, curves[way].name);
    }
}

bool scale_figure(Scale *s, const Compound *by, Buf *svg) {
    static Curve none[WAYS];
    Curve *curves = arena_copy(s->arena, none, sizeof none);
    if (!compute(s, by, curves))
        return false;
    int width = PANELS * PANEL;
    buf_printf(svg,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
               "height=\"%d\" role=\"img\">\n<title>Costs of scaling %s</title>\n%s",
               width, HEIGHT, width, HEIGHT, s->base.name, style);
    buf_printf(svg, "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", width, HEIGHT);
    draw_key(svg, s, curves);
    draw_panel(svg, s, curves, 0,
               s->cycles_per_ms > 0 ? "Time, ms (predicted)" : "Time, 10^6 cycles (predicted)",
               time_of);
    draw_panel(svg, s, curves, 1, "Arena, MB", arena_of);
    draw_panel(svg, s, curves, 2, "Weights, MB", weights_of);
    buf_puts(svg, "</svg>\n");
    return true;
}
