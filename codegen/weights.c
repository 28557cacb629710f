/* weights.c: the header of a weights file.
 *
 *     0  "EFFNETCW"
 *     8  format version, u32, and 4 zero bytes
 *    16  size of the whole file, u64
 *    24  checksum of what lies behind the header, u64
 *    32  zeros
 *    64  the packed weights
 *
 * Numbers are little-endian. Generated code reads the same layout in NAME_check_weights. */
#include "codegen/codegen.h"

#include <string.h>

enum { CHECKSUM = 24 }; /* its place in the header */

/* Written out, because gcc -O2 makes one load of this, and eight of a loop. */
static uint64_t read_word(const uint8_t *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static void write_word(uint8_t *p, uint64_t word) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(word >> (8 * i));
}

/* Of 64-bit words: eight times faster than of bytes, and any damaged word still changes the sum. */
static uint64_t compute_checksum(const void *weights, size_t size) {
    const uint8_t *bytes = weights;
    uint64_t sum = FNV_START;
    ensure(size % 8 == 0);
    for (size_t i = WEIGHTS_HEADER; i < size; i += 8)
        sum = (sum ^ read_word(bytes + i)) * FNV_PRIME;
    return sum;
}

void seal_weights(Module *m) {
    if (m->weights_bytes == 0)
        return;
    ensure(m->weights && m->weights_bytes >= WEIGHTS_HEADER);
    uint8_t *bytes = tensor_mutable(m->weights);
    size_t size = (size_t)m->weights_bytes;
    memset(bytes, 0, WEIGHTS_HEADER);
    write_word(bytes, WEIGHTS_MAGIC);
    write_word(bytes + 8, WEIGHTS_VERSION);
    write_word(bytes + 16, size);
    write_word(bytes + CHECKSUM, compute_checksum(bytes, size));
    m->weights->hash = 0;
}

uint64_t sealed_checksum(const Module *m) {
    ensure(m->weights && m->weights_bytes >= WEIGHTS_HEADER);
    return read_word((const uint8_t *)m->weights->data + CHECKSUM);
}

/* For what preprocesses and assembles: GCC and Clang, on any machine. */
void emit_weights_assembly(Buf *out, const Module *m, const EmitInfo *info) {
    static const char text[] =
        "/* The weights of %s as %s_weights of %s.h. The assembler finds %s.weights.bin in its\n"
        " * folder, or by -I. */\n"
        "#ifdef __APPLE__\n"
        "#define NAME _%s_weights\n"
        "    .section __TEXT,__const\n"
        "#else\n"
        "#define NAME %s_weights\n"
        "#if defined(__ELF__)\n"
        "    .section .note.GNU-stack,\"\",%%progbits\n"
        "    .section .rodata\n"
        "    .type NAME, %%object\n"
        "    .size NAME, %lld\n"
        "#elif defined(__wasm__)\n"
        "    .section .rodata.weights,\"\",@\n"
        "    .type NAME, @object\n"
        "    .size NAME, %lld\n"
        "#else\n"
        "    .section .rdata,\"dr\"\n"
        "#endif\n"
        "#endif\n"
        "    .globl NAME\n"
        "    .balign %d\n"
        "NAME:\n"
        "    .incbin \"%s.weights.bin\"\n";
    const char *name = info->name;
    long long bytes = (long long)m->weights_bytes;
    buf_printf(out, text, info->model, name, name, name, name, name, bytes, bytes, BLOCK_ALIGN,
               name);
}

/* For any C99 compiler that can be told to align something. */
void emit_weights_text(Buf *out, const Module *m, const EmitInfo *info) {
    static const char head[] = "/* The weights of %s. */\n"
                               "#include \"%s.h\"\n\n"
                               "#if defined(__GNUC__)\n"
                               "#define ALIGNED __attribute__((aligned(%d)))\n"
                               "#elif defined(_MSC_VER)\n"
                               "#define ALIGNED __declspec(align(%d))\n"
                               "#else\n"
                               "#define ALIGNED _Alignas(%d)\n"
                               "#endif\n\n"
                               "ALIGNED const unsigned char %s_weights[%lld] = {";
    enum { LINE = 32 };
    const uint8_t *bytes = m->weights->data;
    buf_printf(out, head, info->model, info->name, BLOCK_ALIGN, BLOCK_ALIGN, BLOCK_ALIGN,
               info->name, (long long)m->weights_bytes);
    for (int64_t i = 0; i < m->weights_bytes; i++) {
        char digits[4], *p = digits + sizeof digits;
        unsigned n = bytes[i];
        *--p = ',';
        do
            *--p = (char)('0' + n % 10);
        while ((n /= 10) != 0);
        if (i % LINE == 0)
            buf_putc(out, '\n');
        buf_write(out, p, (size_t)(digits + sizeof digits - p));
    }
    buf_puts(out, "\n};\n");
}
