/* fuzz_data.c: bytes as what a model is given: an array, a picture or labels. */
#include "tests/fuzz/fuzz.h"

#include "runtime/runtime.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* An array is written as a file that has the same in it. */
static void check_array(const rt_array *a) {
    rt_array again;
    uint8_t *file;
    size_t size;
    ensure(rt_npy_encode(&file, &size, a, NULL) == RT_OK);
    ensure(rt_npy_decode(&again, file, size, NULL) == RT_OK);
    ensure(again.kind == a->kind && again.itemsize == a->itemsize && again.rank == a->rank);
    ensure(again.bytes == a->bytes && !memcmp(again.dim, a->dim, sizeof a->dim));
    ensure(!a->bytes || !memcmp(again.data, a->data, a->bytes));
    rt_array_free(&again);
    free(file);
}

static void read_array(const uint8_t *data, size_t size) {
    rt_array a, header;
    bool known = rt_npy_header(&header, data, size, NULL) == RT_OK;
    if (rt_npy_decode(&a, data, size, NULL) != RT_OK)
        return;
    ensure(known && header.bytes == a.bytes);
    check_array(&a);
    rt_array_free(&a);
}

static void read_picture(const uint8_t *data, size_t size) {
    rt_image im;
    if (rt_image_decode(&im, data, size, NULL) != RT_OK)
        return;
    ensure(rt_image_is_known(data, size) && im.rgb && im.width > 0 && im.height > 0);
    if (rt_image_turn(&im, NULL) == RT_OK)
        ensure(im.orientation <= 1);
    rt_image_free(&im);
}

static void read_labels(const uint8_t *data, size_t size) {
    rt_labels l;
    if (rt_labels_decode(&l, data, size, NULL) != RT_OK)
        return;
    ensure(l.count > 0 && rt_label(&l, l.count)[0] == 0);
    for (size_t i = 0; i < l.count; i++)
        ensure(rt_label(&l, i));
    rt_labels_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_array(data, size);
    read_picture(data, size);
    read_labels(data, size);
    rt_exif_orientation(data, size);
    return 0;
}
