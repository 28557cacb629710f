/* diag.c: what the user is told. */
#include "support/printable.h"
#include "support/support.h"

#include <string.h>

/* ---- collecting ----------------------------------------------------------------------------- */

static void add(Diag *d, DiagKind kind, int code, const char *where, const char *fmt, va_list ap) {
    DiagItem *item = ARENA_NEW(&d->arena, DiagItem);
    item->kind = kind;
    item->exit_code = code;
    item->where = arena_strdup(&d->arena, where && *where ? where : "effnetc");
    item->message = arena_vprintf(&d->arena, fmt, ap);
    vec_push(&d->arena, &d->items, item);
    d->newest = item;
}

/* Counts one more of a bounded kind; whether it is still kept. */
static bool keeps(Diag *d, size_t *count) {
    if (++*count <= DIAG_MAX)
        return true;
    d->dropped++;
    d->newest = NULL;
    return false;
}

void diag_error(Diag *d, int exit_code, const char *where, const char *fmt, ...) {
    ensure(exit_code != EXIT_OK);
    if (!keeps(d, &d->errors))
        return;
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_ERROR, exit_code, where, fmt, ap);
    va_end(ap);
}

void diag_warning(Diag *d, const char *where, const char *fmt, ...) {
    if (!keeps(d, &d->warnings))
        return;
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_WARNING, EXIT_OK, where, fmt, ap);
    va_end(ap);
}

void diag_remark(Diag *d, const char *where, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_REMARK, EXIT_OK, where, fmt, ap);
    va_end(ap);
}

void diag_note(Diag *d, const char *label, const char *fmt, ...) {
    if (!d->newest)
        return;
    va_list ap;
    va_start(ap, fmt);
    DiagNote note = {arena_strdup(&d->arena, label), arena_vprintf(&d->arena, fmt, ap)};
    va_end(ap);
    vec_push(&d->arena, &d->newest->notes, note);
}

void diag_append(Diag *d, const Diag *from) {
    for (size_t i = 0; i < from->items.len; i++) {
        const DiagItem *item = from->items.data[i];
        if (item->kind != DIAG_ERROR)
            continue;
        diag_error(d, item->exit_code, item->where, "%s", item->message);
        for (size_t k = 0; k < item->notes.len; k++)
            diag_note(d, item->notes.data[k].label, "%s", item->notes.data[k].text);
    }
}

int diag_exit_code(const Diag *d) {
    for (size_t i = 0; i < d->items.len; i++)
        if (d->items.data[i]->kind == DIAG_ERROR)
            return d->items.data[i]->exit_code;
    return EXIT_OK;
}

void diag_free(Diag *d) {
    arena_free(&d->arena);
    *d = (Diag){0};
}

/* ---- printing ------------------------------------------------------------------------------- */

typedef struct Style {
    const char *word, *color;
} Style;

static const Style styles[] = {
    [DIAG_ERROR] = {"error", "\033[1;31m"},
    [DIAG_WARNING] = {"warning", "\033[1;35m"},
    [DIAG_REMARK] = {"remark", "\033[1;36m"},
};

/* Names in a hostile file must not drive the terminal. */
static void put_safe(FILE *f, const char *s, int indent) {
    Buf b = {0};
    buf_put_printable(&b, s, indent);
    fputs(buf_str(&b), f);
    buf_free(&b);
}

static void print_head(const DiagItem *item, FILE *f, bool color) {
    const Style *style = &styles[item->kind];
    fputs(color ? "\033[1m" : "", f);
    put_safe(f, item->where, -1);
    fprintf(f, ":%s ", color ? "\033[0m" : "");
    fprintf(f, "%s%s:%s ", color ? style->color : "", style->word, color ? "\033[0m" : "");
    put_safe(f, item->message, -1);
    fputc('\n', f);
}

/* `  label: text`, the texts of one item aligned. */
static void print_notes(const DiagItem *item, FILE *f) {
    size_t widest = 0;
    for (size_t i = 0; i < item->notes.len; i++) {
        size_t len = strlen(item->notes.data[i].label);
        widest = len > widest ? len : widest;
    }
    for (size_t i = 0; i < item->notes.len; i++) {
        const DiagNote *note = &item->notes.data[i];
        int pad = (int)(widest - strlen(note->label));
        fprintf(f, "  %s: %*s", note->label, pad, "");
        put_safe(f, note->text, (int)widest + 4);
        fputc('\n', f);
    }
}

void diag_print(const Diag *d, FILE *f, bool color) {
    for (size_t i = 0; i < d->items.len; i++) {
        print_head(d->items.data[i], f, color);
        print_notes(d->items.data[i], f);
    }
    if (d->dropped)
        fprintf(f, "effnetc: %zu more not shown\n", d->dropped);
}
