/* options.c: command lines from tables: parsing, help, suggestions. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

static const Option common_rows[] = {
    {"help", 'h', OPT_FLAG, offsetof(CommonOptions, help), NULL, "print this help", 0, 0},
    {"color", 0, OPT_CHOICE, offsetof(CommonOptions, color), "auto|always|never",
     "colours in messages; NO_COLOR is obeyed by auto", 0, 0},
};
static const OptionGroup common_group = OPTION_GROUP(common_rows);
static const GroupUse common_use = {&common_group, 0};

/* The groups of a command: its own, then the common one; NULL behind the last. */
static const GroupUse *group_at(const Command *c, size_t i) {
    size_t n = 0;
    while (n < MAX_GROUPS && c->groups[n].group)
        n++;
    return i < n ? &c->groups[i] : i == n ? &common_use : NULL;
}

/* There is room up to the next power of two. */
void strings_push(Arena *a, effnetc_strings *list, const char *s) {
    size_t n = list->count;
    if ((n & (n - 1)) == 0) {
        const char **grown = ARENA_ARRAY(a, n ? 2 * n : 1, const char *);
        if (n)
            memcpy(grown, list->items, n * sizeof *grown);
        list->items = grown;
    }
    ((const char **)list->items)[list->count++] = s;
}

void note_nearest(Diag *d, const char *name, const char *const *known, size_t n,
                  const char *else_help) {
    const char *near = nearest_name(name, known, n);
    if (near)
        diag_note(d, "help", "did you mean %s?", near);
    else
        diag_note(d, "help", "%s", else_help);
}

/* ---- parsing ---- */

typedef struct Parser {
    const Command *command;
    char *options;
    int argc, at;
    char *const *argv;
    Arena *arena;
    Diag *diag;
    bool ok;
} Parser;

PRINTF_LIKE(2, 3) static void usage_error(Parser *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_error(p->diag, EXIT_USAGE, "effnetc", "%s", arena_vprintf(p->arena, fmt, ap));
    va_end(ap);
    p->ok = false;
}

/* `effnetc compile --help lists ...` */
static const char *help_hint(Parser *p) {
    return arena_printf(p->arena, "`effnetc %s --help` lists what there is", p->command->name);
}

typedef bool RowTest(const Option *o, const void *key);

/* The first row that matches, and the struct that it writes to; NULL where none does. */
static const Option *find_row(Parser *p, RowTest *matches, const void *key, char **base) {
    const GroupUse *u;
    for (size_t i = 0; (u = group_at(p->command, i)); i++)
        for (size_t k = 0; k < u->group->count; k++)
            if (matches(&u->group->rows[k], key)) {
                *base = p->options + u->base;
                return &u->group->rows[k];
            }
    return NULL;
}

static bool has_name(const Option *o, const void *name) {
    return o->name && !strcmp(o->name, name);
}

static bool has_letter(const Option *o, const void *letter) {
    return o->letter == *(const char *)letter;
}

static void unknown_option(Parser *p, const char *arg) {
    enum { MAX_NAMES = 64 };
    const char *names[MAX_NAMES];
    const GroupUse *u;
    size_t n = 0;
    for (size_t i = 0; (u = group_at(p->command, i)); i++)
        for (size_t k = 0; k < u->group->count && n < MAX_NAMES; k++)
            if (u->group->rows[k].name)
                names[n++] = arena_printf(p->arena, "--%s", u->group->rows[k].name);
    const char *name = arena_strndup(p->arena, arg, strcspn(arg, "="));
    usage_error(p, "%s has no option %s", p->command->name, name);
    note_nearest(p->diag, name, names, n, help_hint(p));
}

/* Whether `value` is one of the words of "a|b|c". */
static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *s = choices; n > 0; s++) {
        size_t len = strcspn(s, "|");
        if (len == n && !memcmp(s, value, n))
            return true;
        s += len;
        if (!*s)
            break;
    }
    return false;
}

static void set_choice(Parser *p, const Option *o, const char *as, const char **slot,
                       const char *value) {
    if (is_choice(o->value, value))
        *slot = value;
    else
        usage_error(p, "%s takes %s, not \"%s\"", as, o->value, value);
}

static void set_int(Parser *p, const Option *o, const char *as, int *slot, const char *value) {
    int64_t n;
    if (parse_i64(value, &n) && n >= o->min && n <= o->max)
        *slot = (int)n;
    else
        usage_error(p, "%s takes a whole number from %d to %d, not \"%s\"", as, o->min, o->max,
                    value);
}

static void set_size(Parser *p, const Option *o, const char *as, int64_t *slot, const char *value) {
    int64_t n;
    double x;
    bool ok = parse_i64(value, &n);
    if (!ok && parse_amount(value, &x) && x == floor(x) && fabs(x) < 0x1p53) {
        n = (int64_t)x;
        ok = true;
    }
    if (ok && n >= o->min)
        *slot = n;
    else
        usage_error(p, "%s takes a whole number from %d on, as 4000000, 4M or 512Ki, not \"%s\"",
                    as, o->min, value);
}

static void set_real(Parser *p, const char *as, double *slot, const char *value) {
    double x;
    if (parse_f64(value, &x) && !isnan(x))
        *slot = x;
    else
        usage_error(p, "%s takes a number, not \"%s\"", as, value);
}

static void set_part(Parser *p, const char *as, double *slot, const char *value) {
    double x;
    if (parse_f64(value, &x) && x > 0 && x <= 1)
        *slot = x;
    else
        usage_error(p, "%s takes a part above 0, up to 1, not \"%s\"", as, value);
}

/* "a,b,c" appended word by word; empty words are errors. */
static void set_list(Parser *p, const char *as, effnetc_strings *slot, const char *value) {
    for (;;) {
        size_t n = strcspn(value, ",");
        if (n == 0)
            usage_error(p, "%s has an empty item", as);
        strings_push(p->arena, slot, arena_strndup(p->arena, value, n));
        if (!value[n])
            return;
        value += n + 1;
    }
}

static void set_option(Parser *p, const Option *o, char *base, const char *as, const char *value) {
    void *slot = base + o->offset;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)slot = true;
        break;
    case OPT_TEXT:
        if (*value)
            *(const char **)slot = value;
        else
            usage_error(p, "%s takes %s, not \"\"", as, o->value);
        break;
    case OPT_CHOICE:
        set_choice(p, o, as, slot, value);
        break;
    case OPT_INT:
        set_int(p, o, as, slot, value);
        break;
    case OPT_SIZE:
        set_size(p, o, as, slot, value);
        break;
    case OPT_REAL:
        set_real(p, as, slot, value);
        break;
    case OPT_PART:
        set_part(p, as, slot, value);
        break;
    case OPT_LIST:
        set_list(p, as, slot, value);
        break;
    case OPT_REPEAT:
        strings_push(p->arena, slot, value);
        break;
    }
}

/* The next argument as an option's value; NULL with an error where there is none. */
static const char *next_value(Parser *p, const Option *o, const char *as) {
    if (p->at < p->argc)
        return p->argv[p->at++];
    usage_error(p, "%s needs a value: %s", as, o->value);
    return NULL;
}

/* --name, --name=value, --name value */
static void parse_long(Parser *p, const char *arg) {
    size_t n = strcspn(arg + 2, "=");
    const char *attached = arg[2 + n] ? arg + 2 + n + 1 : NULL, *value = attached;
    char *base = NULL;
    const Option *o = find_row(p, has_name, arena_strndup(p->arena, arg + 2, n), &base);
    if (!o) {
        unknown_option(p, arg);
        return;
    }
    const char *as = arena_strndup(p->arena, arg, n + 2);
    if (o->kind == OPT_FLAG && attached)
        usage_error(p, "%s takes no value", as);
    else if (o->kind == OPT_FLAG || value || (value = next_value(p, o, as)))
        set_option(p, o, base, as, value);
}

/* -x, -x value, -xvalue */
static void parse_short(Parser *p, const char *arg) {
    char *base = NULL;
    const Option *o = find_row(p, has_letter, arg + 1, &base);
    const char *value = arg[2] ? arg + 2 : NULL;
    if (!o || (o->kind == OPT_FLAG && value)) {
        unknown_option(p, arg);
        return;
    }
    const char *as = arena_strndup(p->arena, arg, 2);
    if (o->kind == OPT_FLAG || value || (value = next_value(p, o, as)))
        set_option(p, o, base, as, value);
}

static void check_count(Parser *p, size_t n) {
    const Command *c = p->command;
    if (n < (size_t)c->min_args)
        usage_error(p, "%s needs %s", c->name, c->args);
    else if (n > (size_t)c->max_args)
        usage_error(p, "%s takes %s: \"%s\" is too much", c->name,
                    c->max_args ? c->args : "no arguments",
                    ((CommonOptions *)p->options)->args.items[c->max_args]);
    else
        return;
    diag_note(p->diag, "help", "%s", help_hint(p));
}

bool options_parse(const Command *c, void *options, int argc, char *const *argv, Arena *a,
                   Diag *d) {
    Parser p = {c, options, argc, 0, argv, a, d, true};
    CommonOptions *common = options;
    bool only_args = false;
    while (p.at < argc) {
        const char *arg = argv[p.at++];
        if (only_args || arg[0] != '-' || !arg[1])
            strings_push(a, &common->args, arg);
        else if (!strcmp(arg, "--"))
            only_args = true;
        else if (arg[1] == '-')
            parse_long(&p, arg);
        else
            parse_short(&p, arg);
    }
    if (!common->help)
        check_count(&p, common->args.count);
    return p.ok;
}

/* ---- options of a program that links the library ---- */

/* Adds to `text` what a value should have been, where it is wrong. */
static void wanted(const Option *o, const void *slot, Buf *text) {
    const char *word = o->kind == OPT_CHOICE ? *(const char *const *)slot : NULL;
    int n = o->kind == OPT_INT ? *(const int *)slot : 0;
    double part = o->kind == OPT_PART ? *(const double *)slot : 0;
    if (word && !is_choice(o->value, word))
        buf_printf(text, "%s, not \"%s\"", o->value, word);
    else if (n && (n < o->min || n > o->max))
        buf_printf(text, "a whole number from %d to %d, not %d", o->min, o->max, n);
    else if (o->kind == OPT_SIZE && *(const int64_t *)slot < o->min)
        buf_printf(text, "a whole number from %d on", o->min);
    else if (!(part >= 0 && part <= 1))
        buf_printf(text, "a part above 0, up to 1, not %g", part);
}

bool options_check(const OptionGroup *g, const void *base, Diag *d) {
    size_t before = d->errors;
    for (size_t i = 0; i < g->count; i++) {
        const Option *o = &g->rows[i];
        Buf text = {0};
        wanted(o, (const char *)base + o->offset, &text);
        if (text.len && o->name)
            diag_error(d, EXIT_USAGE, "effnetc", "option %s takes %s", o->name, buf_str(&text));
        else if (text.len)
            diag_error(d, EXIT_USAGE, "effnetc", "option %c takes %s", o->letter, buf_str(&text));
        buf_free(&text);
    }
    return d->errors == before;
}

/* ---- help ---- */

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

/* Prints text from a column on, where the line already is; what is too long goes to lines below,
 * from the same column on. */
static void put_wrapped(FILE *f, const char *text, int column) {
    size_t room = (size_t)(HELP_WIDTH - column), n;
    while ((n = strcspn(text, "\n")) > 0 || *text) {
        if (n > room)
            for (n = room; n > 0 && text[n] != ' ';)
                n--;
        if (n == 0) /* a word that is longer than a line, or an empty line */
            n = strcspn(text, " \n");
        fprintf(f, "%.*s\n", (int)n, text);
        text += n;
        text += *text != 0; /* the space or the end of the line */
        if (*text)
            fprintf(f, "%*s", column, "");
    }
}

static void help_row(FILE *f, const Option *o) {
    Buf left = {0};
    if (o->letter)
        buf_printf(&left, "-%c", o->letter);
    if (o->letter && o->name)
        buf_puts(&left, ", ");
    if (o->name)
        buf_printf(&left, "--%s", o->name);
    if (o->value)
        buf_printf(&left, o->name ? "=%s" : o->kind == OPT_INT ? "%s" : " %s", o->value);
    /* A long left side has its text on a line of its own. */
    if (left.len > HELP_COLUMN - 4)
        fprintf(f, "  %s\n%*s", buf_str(&left), HELP_COLUMN, "");
    else
        fprintf(f, "  %-*s  ", HELP_COLUMN - 4, buf_str(&left));
    put_wrapped(f, o->help, HELP_COLUMN);
    buf_free(&left);
}

void options_help(FILE *f, const Command *c) {
    const GroupUse *u;
    fprintf(f, "usage: effnetc %s [options]%s%s\n%s\n", c->name, *c->args ? " " : "", c->args,
            c->summary);
    if (*c->about)
        fputc('\n', f);
    put_wrapped(f, c->about, 0);
    fputs("\noptions:\n", f);
    for (size_t i = 0; (u = group_at(c, i)); i++)
        for (size_t k = 0; k < u->group->count; k++)
            help_row(f, &u->group->rows[k]);
}
