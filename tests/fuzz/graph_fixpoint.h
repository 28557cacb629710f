/* graph_fixpoint.h: for fuzz targets that end with a graph. */
#ifndef EFFNETC_TESTS_GRAPH_FIXPOINT_H
#define EFFNETC_TESTS_GRAPH_FIXPOINT_H

#include "ir/graph.h"

#include <string.h>

/* The text of a sound graph is read back, and prints as the same text. */
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

#endif
