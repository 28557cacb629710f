/* fuzz_import.c: bytes as an ONNX file. A graph that is imported is sound, and its text is read
 * back as the same text. */
#include "tests/fuzz/fuzz.h"

#include "frontend/frontend.h"

#include <string.h>

/* Messages hold names from the file; printing them is part of what must hold. */
static void print_messages(const Diag *d) {
    FILE *f = fopen("/dev/null", "w");
    if (f) {
        diag_print(d, f, true);
        fclose(f);
    }
}

static void check_text(const Graph *g) {
    Buf first = {0}, second = {0};
    Diag d = {0};
    graph_print(&first, g, CONSTANTS_ELIDED);
    Graph *again = graph_parse(buf_str(&first), first.len, "printed", NULL, &d);
    if (!again)
        diag_print(&d, stderr, false);
    ensure(again);
    graph_print(&second, again, CONSTANTS_ELIDED);
    ensure(strcmp(buf_str(&first), buf_str(&second)) == 0);
    graph_free(again);
    diag_free(&d);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Diag d = {0};
    Graph *g = onnx_import_bytes(data, size, "fuzz.onnx", NULL, NULL, &d);
    ensure(!g == (d.errors > 0));
    if (g) {
        ensure(graph_verify(g, "fuzz.onnx", &d));
        check_text(g);
        graph_free(g);
    }
    print_messages(&d);
    diag_free(&d);
    return 0;
}
