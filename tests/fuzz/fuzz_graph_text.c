/* fuzz_graph_text.c: bytes as the text of a graph. One that parses is sound, and what it prints is
 * a fixpoint. */
#include "tests/fuzz/fuzz.h"

#include "ir/graph.h"

#include <string.h>

static void check_fixpoint(const Graph *g, ConstantForm form) {
    Buf first = {0}, second = {0};
    Diag d = {0};
    graph_print(&first, g, form);
    Graph *again = graph_parse(buf_str(&first), first.len, "printed", NULL, &d);
    if (!again)
        diag_print(&d, stderr, false);
    ensure(again);
    graph_print(&second, again, form);
    ensure(strcmp(buf_str(&first), buf_str(&second)) == 0);
    graph_free(again);
    diag_free(&d);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Diag d = {0};
    Graph *g = graph_parse((const char *)data, size, "fuzz.ir", NULL, &d);
    ensure(!g == (d.errors > 0));
    if (g) {
        ensure(graph_verify(g, "fuzz.ir", &d));
        check_fixpoint(g, CONSTANTS_ELIDED);
        check_fixpoint(g, CONSTANTS_INLINE);
        graph_free(g);
    }
    diag_free(&d);
    return 0;
}
