/* loop_text.c: for tests: modules from texts, and texts that must be refused. */
#include "tests/lib/loop_text.h"

#include <string.h>

Module *module_of(const char *text) {
    Diag d = {0};
    Module *m = module_parse(text, strlen(text), "test", NULL, &d);
    if (!m)
        diag_print(&d, stderr, false);
    diag_free(&d);
    return m;
}

char *module_text(const Module *m) {
    Buf b = {0};
    module_print(&b, m);
    return b.data;
}

static void complain(const Diag *d, const char *want) {
    fprintf(stderr, "wanted the one error: %s\nfound:\n", want);
    diag_print(d, stderr, false);
}

bool only_error_is(const Diag *d, const char *want, const char *note) {
    const DiagItem *item = d->errors == 1 ? d->items.data[0] : NULL;
    const char *found = item && item->notes.len ? item->notes.data[0].text : NULL;
    bool ok = item && strcmp(item->message, want) == 0 &&
              (note ? found && strcmp(found, note) == 0 : !found);
    if (!ok)
        complain(d, want);
    return ok;
}

bool module_parse_fails(const char *text, const char *want) {
    Diag d = {0};
    Buf b = {0};
    Module *m = module_parse(text, strlen(text), "test", NULL, &d);
    if (d.errors == 1)
        buf_printf(&b, "%s: %s", d.items.data[0]->where + strlen("test"), d.items.data[0]->message);
    bool ok = !m && strcmp(buf_str(&b), want) == 0;
    if (!ok)
        complain(&d, want);
    module_free(m);
    buf_free(&b);
    diag_free(&d);
    return ok;
}

bool module_verify_fails(const char *text, const char *want, const char *inst) {
    Module *m = module_of(text);
    Diag d = {0};
    bool ok = m && !module_verify(m, "test", &d) && only_error_is(&d, want, inst);
    if (m && !d.errors)
        complain(&d, want);
    module_free(m);
    diag_free(&d);
    return ok;
}
