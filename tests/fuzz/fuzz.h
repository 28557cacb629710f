/* fuzz.h: a fuzz target is one function that takes any bytes. libFuzzer calls it with what it makes
 * up, replay.c with the files of tests/fuzz/corpus. It must return: whatever the bytes, no crash,
 * no die(), no sanitizer report, no time or memory out of proportion. */
#ifndef EFFNETC_TESTS_FUZZ_H
#define EFFNETC_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
