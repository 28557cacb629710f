/* fuzz_import.c: bytes as an ONNX file. A graph that is imported is sound, and its text is read
 * back as the same text. */
#include "tests/fuzz/fuzz.h"

#include "frontend/frontend.h"
#include "tests/fuzz/graph_fixpoint.h"

/* Messages hold names from the file; printing them is part of what must hold. */
static void print_messages(const Diag *d) {
    FILE *f = fopen("/dev/null", "w");
    if (f) {
        diag_print(d, f, true);
        fclose(f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Diag d = {0};
    Graph *g = onnx_import_bytes(data, size, "fuzz.onnx", NULL, NULL, &d);
    ensure(!g == (d.errors > 0));
    if (g) {
        ensure(graph_verify(g, "fuzz.onnx", &d));
        check_fixpoint(g, CONSTANTS_ELIDED);
        graph_free(g);
    }
    print_messages(&d);
    diag_free(&d);
    return 0;
}
