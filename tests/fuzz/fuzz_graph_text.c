/* fuzz_graph_text.c: bytes as the text of a graph. One that parses is sound, and what it prints is
 * a fixpoint. */
#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/graph_fixpoint.h"

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
