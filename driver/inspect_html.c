/* inspect_html.c: the page of effnetc inspect --html: inspect.html with the JSON in it. */
#include "driver/inspect.h"

#include <inspect_page.h> /* made of driver/inspect.html */

#include <stdlib.h>
#include <string.h>

/* JSON inside of a script element: no "<", so that no name can end or nest it. */
static void put_data(Buf *b, const char *json) {
    for (; *json; json++) {
        if (*json == '<')
            buf_puts(b, "\\u003c");
        else
            buf_putc(b, *json);
    }
}

static void put_page(Buf *b, const char *json) {
    static const char marker[] = "@DATA@";
    const char *page = (const char *)inspect_page, *at = strstr(page, marker);
    ensure(at);
    buf_write(b, page, (size_t)(at - page));
    put_data(b, json);
    buf_puts(b, at + strlen(marker));
}

bool write_html(Inspection *x, const char *path) {
    json_t *root = json_inspection(x);
    char *json = json_dumps(root, JSON_COMPACT);
    Outputs out = {0};
    Buf page = {0};
    ensure(json);
    put_page(&page, json);
    outputs_add(&out, path, page.data, page.len);
    bool ok = outputs_commit(&out, x->m->diag);
    outputs_free(&out);
    buf_free(&page);
    free(json);
    json_decref(root);
    return ok;
}
