/* wire.c: the first walk over a model file, which may be hostile.
 *
 * protobuf-c unpacks recursively without a limit of depth, allocates the whole message structure
 * for every empty message of two bytes, and gives up without a reason. This walk goes over the wire
 * format (https://protobuf.dev/programming-guides/encoding) once, with a stack of its own and the
 * message descriptors as its map. It checks everything that unpacking relies on, adds up what
 * unpacking will allocate, and writes the copy that is unpacked later: tensor data, which is nearly
 * all of a model, stays in the file and is only pointed at. */
#include "frontend/import.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 }; /* wire types; 3 and 4 are groups */

/* What the allocator hands out for one field beside its contents: two of protobuf-c's notes about a
 * scanned field (it doubles the array of them), one array element, and rounding up. */
enum { FIELD_COST = 2 * 48 + 16 + 16, MESSAGE_COST = 32 };

/* A message that is being read. */
typedef struct Frame {
    const ProtobufCMessageDescriptor *type;
    size_t end;       /* in the file */
    size_t length_at; /* in the copy: where its length goes; unused for the outermost */
    uint64_t seen;    /* bit i: field i was there */
    bool has_data;    /* a TensorProto whose data was found */
} Frame;

typedef struct Walk {
    const uint8_t *data;
    size_t pos;   /* of the next byte */
    size_t start; /* of the field being read */
    const char *where;
    Arena *arena;
    WireScan *out;
    Diag *d;
    int nodes;
    int depth; /* frames in use */
    Frame frames[WIRE_MAX_DEPTH];
} Walk;

/* A field as its tag gives it. `field` is NULL for one that the descriptor doesn't know. */
typedef struct Field {
    const ProtobufCFieldDescriptor *field;
    unsigned number;
    int wire;
} Field;

static Frame *top(Walk *w) {
    return &w->frames[w->depth - 1];
}

/* What a file that isn't sound is, if that is known. */
typedef struct FileKind {
    size_t at, length;
    const char *bytes, *name, *help;
} FileKind;

static const FileKind *file_kind(const uint8_t *data, size_t size) {
    static const FileKind kinds[] = {
#define FILE_KIND(at, bytes, name, help) {at, sizeof(bytes) - 1, bytes, name, help},
#include "frontend/file_kinds.def"
#undef FILE_KIND
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const FileKind *k = &kinds[i];
        if (k->at + k->length <= size && memcmp(data + k->at, k->bytes, k->length) == 0)
            return k;
    }
    return NULL;
}

static bool fail(Walk *w, const Field *f, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Reports the field that is being read; f may be NULL. Returns false. */
static bool fail(Walk *w, const Field *f, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *reason = arena_vprintf(w->arena, fmt, ap);
    va_end(ap);
    diag_error(w->d, EXIT_BAD_MODEL, w->where, "this is not a sound ONNX file");
    if (f && f->field)
        diag_note(w->d, "at", "byte %zu, field %s.%s", w->start, top(w)->type->short_name,
                  f->field->name);
    else
        diag_note(w->d, "at", "byte %zu, in %s", w->start, top(w)->type->short_name);
    diag_note(w->d, "reason", "%s", reason);
    const FileKind *kind = file_kind(w->data, w->frames[0].end);
    if (kind) {
        diag_note(w->d, "found", "%s", kind->name);
        diag_note(w->d, "help", "%s", kind->help);
    }
    return false;
}

bool wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    uint64_t x = 0;
    for (int shift = 0; shift < 70 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        if (shift == 63 && byte > 1)
            return false;
        x |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = x;
            return true;
        }
    }
    return false;
}

/* Reads a varint inside the current message. */
static bool read_varint(Walk *w, uint64_t *out) {
    const uint8_t *p = w->data + w->pos, *end = w->data + top(w)->end;
    if (!wire_varint(&p, end, out))
        return false;
    w->pos = (size_t)(p - w->data);
    return true;
}

/* ---- the copy -------------------------------------------------------------------------------- */

static void put_varint(Buf *b, uint64_t x) {
    for (; x >= 0x80; x >>= 7)
        buf_putc(b, (char)(x | 0x80));
    buf_putc(b, (char)x);
}

/* Lengths that are not known yet take five bytes: a varint may have spare high zeros. */
enum { LENGTH_BYTES = 5 };

static void patch_length(Buf *b, size_t at, size_t length) {
    for (int i = 0; i < LENGTH_BYTES; i++, length >>= 7)
        b->data[at + (size_t)i] = (char)((length & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}

/* Adds to the bound of unpacked bytes; false, reported, past the limit. */
static bool spend(Walk *w, const Field *f, size_t bytes) {
    w->out->unpacked_bytes += bytes;
    if (w->out->unpacked_bytes <= WIRE_MAX_UNPACKED)
        return true;
    return fail(w, f, "unpacking the model would take more than %d MB beside its tensors",
                WIRE_MAX_UNPACKED >> 20);
}

static bool copy_field(Walk *w, const Field *f, size_t content_bytes) {
    buf_write(&w->out->copy, w->data + w->start, w->pos - w->start);
    return spend(w, f, FIELD_COST + content_bytes);
}

/* ---- fields ---------------------------------------------------------------------------------- */

static const uint8_t wire_of_type[] = {
    [PROTOBUF_C_TYPE_INT32] = VARINT,     [PROTOBUF_C_TYPE_SINT32] = VARINT,
    [PROTOBUF_C_TYPE_SFIXED32] = FIXED32, [PROTOBUF_C_TYPE_INT64] = VARINT,
    [PROTOBUF_C_TYPE_SINT64] = VARINT,    [PROTOBUF_C_TYPE_SFIXED64] = FIXED64,
    [PROTOBUF_C_TYPE_UINT32] = VARINT,    [PROTOBUF_C_TYPE_FIXED32] = FIXED32,
    [PROTOBUF_C_TYPE_UINT64] = VARINT,    [PROTOBUF_C_TYPE_FIXED64] = FIXED64,
    [PROTOBUF_C_TYPE_FLOAT] = FIXED32,    [PROTOBUF_C_TYPE_DOUBLE] = FIXED64,
    [PROTOBUF_C_TYPE_BOOL] = VARINT,      [PROTOBUF_C_TYPE_ENUM] = VARINT,
    [PROTOBUF_C_TYPE_STRING] = LENGTH,    [PROTOBUF_C_TYPE_BYTES] = LENGTH,
    [PROTOBUF_C_TYPE_MESSAGE] = LENGTH,
};

/* Several numbers in one length-delimited field. */
static bool is_packed(const Field *f) {
    return f->field->label == PROTOBUF_C_LABEL_REPEATED && f->wire == LENGTH &&
           wire_of_type[f->field->type] != LENGTH;
}

/* The fields that hold the elements of a TensorProto; string_data is left to protobuf-c. */
static bool is_tensor_data(const Frame *fr, const Field *f) {
    return fr->type == &onnx__tensor_proto__descriptor &&
           (f->field->type == PROTOBUF_C_TYPE_BYTES ||
            (f->field->flags & PROTOBUF_C_FIELD_FLAG_PACKED)) &&
           strcmp(f->field->name, "string_data") != 0;
}

/* Takes the data out of the file: the copy gets a reference to it. */
static bool take_tensor_data(Walk *w, const Field *f, size_t length) {
    if (f->wire != LENGTH)
        return fail(w, f, "the numbers of a tensor are not packed");
    if (top(w)->has_data)
        return fail(w, f, "a tensor has its data twice");
    top(w)->has_data = true;
    size_t index = w->out->blobs.len;
    vec_push(w->arena, &w->out->blobs, ((WireBlob){w->data + w->pos, length, f->number}));
    w->pos += length;

    const ProtobufCFieldDescriptor *raw = protobuf_c_message_descriptor_get_field_by_name(
        &onnx__tensor_proto__descriptor, "raw_data");
    const uint8_t reference[4] = {(uint8_t)index, (uint8_t)(index >> 8), (uint8_t)(index >> 16),
                                  (uint8_t)(index >> 24)};
    put_varint(&w->out->copy, raw->id << 3 | LENGTH);
    put_varint(&w->out->copy, sizeof reference);
    buf_write(&w->out->copy, reference, sizeof reference);
    return spend(w, f, FIELD_COST + sizeof reference);
}

static bool open_message(Walk *w, const Field *f, size_t length) {
    const ProtobufCMessageDescriptor *type = f->field->descriptor;
    if (w->depth == WIRE_MAX_DEPTH)
        return fail(w, f, "messages are nested more than %d deep", WIRE_MAX_DEPTH);
    if (type == &onnx__node_proto__descriptor && ++w->nodes > WIRE_MAX_NODES)
        return fail(w, f, "there are more than %d nodes", WIRE_MAX_NODES);
    if (!spend(w, f, FIELD_COST + MESSAGE_COST + type->sizeof_message))
        return false;
    put_varint(&w->out->copy, f->number << 3 | LENGTH);
    w->frames[w->depth++] = (Frame){type, w->pos + length, w->out->copy.len, 0, false};
    for (int i = 0; i < LENGTH_BYTES; i++)
        buf_putc(&w->out->copy, 0);
    return true;
}

static bool close_message(Walk *w) {
    Frame *fr = top(w);
    size_t length = w->out->copy.len - fr->length_at - LENGTH_BYTES;
    if (length > INT32_MAX)
        return fail(w, NULL, "a message without its tensors has more than 2 GB");
    patch_length(&w->out->copy, fr->length_at, length);
    w->depth--;
    return true;
}

/* Packed numbers must fill their field exactly. */
static bool check_packed(Walk *w, const Field *f, size_t length) {
    const uint8_t *p = w->data + w->pos, *end = p + length;
    int wire = wire_of_type[f->field->type];
    if (wire != VARINT && length % (wire == FIXED32 ? 4 : 8))
        return fail(w, f, "%zu bytes of packed numbers end inside a number", length);
    uint64_t x;
    while (wire == VARINT && p < end)
        if (!wire_varint(&p, end, &x))
            return fail(w, f, "a packed number does not end");
    return true;
}

static bool check_string(Walk *w, const Field *f, size_t length) {
    if (length && memchr(w->data + w->pos, 0, length))
        return fail(w, f, "a string holds a zero byte");
    return true;
}

static bool known_length_field(Walk *w, const Field *f, size_t length) {
    if (f->field->type == PROTOBUF_C_TYPE_MESSAGE)
        return open_message(w, f, length);
    if (is_packed(f) && !check_packed(w, f, length))
        return false;
    if (is_tensor_data(top(w), f))
        return take_tensor_data(w, f, length);
    if (f->field->type == PROTOBUF_C_TYPE_STRING && !check_string(w, f, length))
        return false;
    w->pos += length;
    return copy_field(w, f, is_packed(f) ? 8 * length : length + 1);
}

/* A varint that says how many bytes follow, all of them inside the current message. */
static bool read_length(Walk *w, const Field *f, size_t *length) {
    uint64_t x;
    if (!read_varint(w, &x))
        return fail(w, f, "its length does not end");
    size_t left = top(w)->end - w->pos;
    if (x > left)
        return fail(w, f, "it claims %llu bytes, and %zu are left", (unsigned long long)x, left);
    *length = (size_t)x;
    return true;
}

static bool length_field(Walk *w, const Field *f) {
    size_t length = 0;
    if (!read_length(w, f, &length))
        return false;
    if (f->field)
        return known_length_field(w, f, length);
    w->pos += length;
    return true;
}

static bool number_field(Walk *w, const Field *f) {
    uint64_t x;
    size_t size = f->wire == FIXED32 ? 4 : 8;
    if (f->wire == VARINT) {
        if (!read_varint(w, &x))
            return fail(w, f, "a number does not end");
    } else if (top(w)->end - w->pos < size) {
        return fail(w, f, "a number of %zu bytes is cut off", size);
    } else {
        w->pos += size;
    }
    if (!f->field)
        return true;
    if (is_tensor_data(top(w), f))
        return take_tensor_data(w, f, 0); /* complains */
    return copy_field(w, f, 8);
}

/* A message inside a message comes once, unless it is repeated: protobuf would merge two of them,
 * which no writer relies on. */
static bool check_once(Walk *w, const Field *f) {
    Frame *fr = top(w);
    uint64_t bit = (uint64_t)1 << (f->field - fr->type->fields);
    ensure(fr->type->n_fields <= 64);
    if (f->field->type == PROTOBUF_C_TYPE_MESSAGE && f->field->label != PROTOBUF_C_LABEL_REPEATED &&
        (fr->seen & bit))
        return fail(w, f, "it is there twice");
    fr->seen |= bit;
    return true;
}

static bool check_wire_type(Walk *w, const Field *f) {
    if (f->wire == wire_of_type[f->field->type] || is_packed(f))
        return true;
    return fail(w, f, "wire type %d is wrong for it", f->wire);
}

static bool read_tag(Walk *w, Field *f) {
    uint64_t tag;
    *f = (Field){NULL, 0, 0};
    if (!read_varint(w, &tag))
        return fail(w, NULL, "a field tag does not end");
    if (tag >> 3 == 0 || tag >> 32)
        return fail(w, NULL, "field number %llu is not legal", (unsigned long long)(tag >> 3));
    f->number = (unsigned)(tag >> 3);
    f->wire = (int)(tag & 7);
    if (f->wire != VARINT && f->wire != FIXED64 && f->wire != LENGTH && f->wire != FIXED32)
        return fail(w, NULL, "wire type %d of field %u is not used by ONNX", f->wire, f->number);
    f->field = protobuf_c_message_descriptor_get_field(top(w)->type, f->number);
    return true;
}

static bool read_field(Walk *w) {
    Field f;
    w->start = w->pos;
    if (!read_tag(w, &f))
        return false;
    if (f.field && (!check_wire_type(w, &f) || !check_once(w, &f)))
        return false;
    return f.wire == LENGTH ? length_field(w, &f) : number_field(w, &f);
}

bool wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *data, size_t size,
               const char *where, Arena *a, WireScan *out, Diag *d) {
    Walk *w = ARENA_NEW(a, Walk);
    *w = (Walk){.data = data, .where = where, .arena = a, .out = out, .d = d, .depth = 1};
    w->frames[0] = (Frame){root, size, 0, 0, false};
    out->unpacked_bytes = MESSAGE_COST + root->sizeof_message;
    for (;;) {
        if (w->pos < top(w)->end) {
            if (!read_field(w))
                return false;
        } else if (w->depth == 1) {
            return true;
        } else if (!close_message(w)) {
            return false;
        }
    }
}
