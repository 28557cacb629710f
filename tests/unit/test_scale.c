/* Compound scaling under budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "driver/scale.h"

typedef struct Fixture {
    Arena arena;
    Diag diag;
    effnetc_options options;
    Scale s;
} Fixture;

static Scale *begin(Fixture *f, const char *base, const Budget *b) {
    const Member *m = member_find(base);
    *f = (Fixture){.options = effnetc_default_options()};
    f->options.target = "x86-64-v3";
    f->s = (Scale){
        .compiler = &f->options,
        .base = {.name = "net", .family = m->family, .by = m->scaling, .classes = 10, .batch = 1},
        .budget = *b,
        .arena = &f->arena,
        .diag = &f->diag};
    return &f->s;
}

static void end(Fixture *f) {
    arena_free(&f->arena);
    diag_free(&f->diag);
}

static const Compound paper = {0, PAPER_ALPHA, PAPER_BETA, PAPER_GAMMA};

static void test_grid(void **state) {
    (void)state;
    Arena a = {0};
    size_t n, papers = 0;
    const Compound *all = scale_grid(&n, &a);
    assert_true(n >= 8);
    for (size_t i = 0; i < n; i++) {
        const Compound *c = &all[i];
        assert_true(fabs(c->alpha * c->beta * c->beta * c->gamma * c->gamma - 2) < 0.1);
        assert_true(c->alpha >= 1 && c->beta >= 1 && c->gamma >= 1);
        papers += c->alpha == 1.2 && c->beta == 1.1 && c->gamma == 1.15;
    }
    assert_int_equal(papers, 1);
    assert_true(all[0].alpha == 1.2 && all[0].beta == 1.1); /* the last may be left out */
    arena_free(&a);
}

/* Within the budget, and the next step isn't. */
static void test_macs(void **state) {
    (void)state;
    /* At 20e6 and 620e6 the next resolution makes all planes larger: the width has the rest. */
    static const double budgets[] = {20e6, 390e6, 500e6, 575e6, 620e6, 900e6, 5e9};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        Fixture f;
        Scale *s = begin(&f, "b0", &(Budget){.macs = budgets[i]});
        Candidates all;
        assert_true(scale_search(s, &paper, 1, &all));
        const Candidate *c = &all.items.data[all.chosen];
        assert_true((double)c->size.macs <= budgets[i]);
        assert_true((double)c->size.macs > 0.95 * budgets[i]);
        assert_true(c->arena > 0 && c->flash > 0 && c->cycles > 0);
        end(&f);
    }
}

/* All budgets at once hold, and the costs are those of the network that is named. */
static void test_memory(void **state) {
    (void)state;
    Fixture f;
    Budget b = {.ms = 3, .arena = 600e3, .flash = 4e6};
    Scale *s = begin(&f, "lite0", &b);
    s->cycles_per_ms = 2e6;
    Candidates all;
    assert_true(scale_search(s, &paper, 1, &all));
    Candidate c = all.items.data[all.chosen], again = {.net = c.net};
    assert_true((double)c.arena <= b.arena && (double)c.flash <= b.flash);
    assert_true(candidate_ms(s, &c) <= b.ms);
    assert_true((double)c.arena > 0.7 * b.arena || (double)c.flash > 0.7 * b.flash);
    s->known.len = 0;
    assert_true(candidate_cost(s, &again, true));
    assert_int_equal(again.arena, c.arena);
    assert_int_equal(again.flash, c.flash);
    end(&f);
}

static void test_too_small(void **state) {
    (void)state;
    Fixture f;
    Scale *s = begin(&f, "b0", &(Budget){.macs = 1000, .arena = 100});
    Candidates all;
    assert_false(scale_search(s, &paper, 1, &all));
    assert_int_equal(diag_exit_code(&f.diag), EXIT_BUDGET);
    assert_int_equal(f.diag.errors, 1);
    assert_int_equal(f.diag.items.data[0]->notes.len, 3); /* both, and help */
    end(&f);
}

/* Of networks that were measured, what was measured counts; of others a prediction by it. */
static void test_learning(void **state) {
    (void)state;
    Fixture f;
    Scale *s = begin(&f, "b0", &(Budget){.ms = 1});
    Candidate base = {.net = s->base}, other = {.net = s->base};
    other.net.by.resolution = 64;
    assert_true(candidate_cost(s, &base, false) && candidate_cost(s, &other, false));
    assert_true(candidate_ms(s, &base) == 0);
    s->known.data[0].measured = 10;
    scale_learn(s);
    assert_true(fabs(predicted_ms(s, &base) - 10) < 1e-6);
    s->known.data[1].measured = 2;
    scale_learn(s);
    assert_true(fabs(predicted_ms(s, &other) - 2) < 1e-6);
    assert_true(candidate_cost(s, &base, false));
    assert_true(fabs(candidate_ms(s, &base) - 10) < 1e-6);
    end(&f);
}

/* A base network that was measured says nothing about those that are larger. */
static void test_measured_base(void **state) {
    (void)state;
    Fixture f;
    Scale *s = begin(&f, "lite0", &(Budget){.ms = 2.2});
    Candidate base = {.net = s->base};
    Candidates all;
    base.net.by = s->base.by = (Scaling){0.25, 0.5, 64};
    assert_true(candidate_cost(s, &base, false));
    s->known.data[0].measured = 1;
    scale_learn(s);
    assert_true(scale_search(s, &paper, 1, &all));
    const Candidate *c = &all.items.data[0];
    assert_true(c->measured == 0);
    assert_true(predicted_ms(s, c) > 1.5 && predicted_ms(s, c) <= 2.2);
    end(&f);
}

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

/* Three panels of four curves, and no number that isn't one. */
static void test_figure(void **state) {
    (void)state;
    Fixture f;
    Scale *s = begin(&f, "lite0", &(Budget){0});
    Buf svg = {0};
    s->base.by = (Scaling){0.2, 0.5, 64};
    assert_true(scale_figure(s, &paper, &svg));
    assert_int_equal(count(buf_str(&svg), "<polyline"), 12);
    assert_int_equal(count(buf_str(&svg), "</svg>"), 1);
    assert_int_equal(count(buf_str(&svg), "nan") + count(buf_str(&svg), "inf"), 0);
    assert_int_equal(count(buf_str(&svg), "http"), 1); /* the name space */
    buf_free(&svg);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),          cmocka_unit_test(test_macs),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_learning),      cmocka_unit_test(test_figure),
        cmocka_unit_test(test_measured_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
