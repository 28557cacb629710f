/* graph_parse_const.c: constants in texts: their elements, or a hash and a file named after it. */
#include "ir/graph_internal.h"

#include <inttypes.h>
#include <unistd.h>

static bool parse_elements(Parser *p, Type *t, Tensor **out) {
    Lexer *l = &p->lex;
    const char *at = l->p;
    int64_t n = shape_elems(&t->shape);
    if (n > (l->end - l->p) / 2 + 1) /* a digit and a comma each: no memory for less */
        return lex_error_at(l, at, "the list has fewer than %" PRId64 " elements", n);
    *out = tensor_new(&p->g->arena, t->dtype, t->shape);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && !lex_expect(l, ",", "a comma and another element"))
            return false;
        if (!parse_element(l, *out, i))
            return false;
    }
    return lex_expect(l, "]", "] behind the last element");
}

/* Exactly 16 hexadecimal digits, as they are printed; not 0, which in a Tensor means "unknown". */
static bool parse_hash(Lexer *l, uint64_t *hash) {
    Span s = lex_number(l);
    *hash = 0;
    bool ok = s.n == 16;
    for (size_t i = 0; ok && i < s.n; i++) {
        char c = s.s[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
        ok = digit || letter;
        *hash = *hash << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    if (!ok || *hash == 0)
        return lex_expected(l, "16 hexadecimal digits, not all 0");
    l->p += s.n;
    return true;
}

/* Takes the elements from DIR/HASH.bin, if there is such a file: then it must be the right one. */
static bool load_constant(Parser *p, Tensor *t) {
    Lexer *l = &p->lex;
    if (!p->constant_dir)
        return true;
    const char *path = arena_printf(l->arena, "%s/%016" PRIx64 ".bin", p->constant_dir, t->hash);
    if (access(path, F_OK) != 0)
        return true;
    MappedFile *f = ARENA_NEW(&p->g->arena, MappedFile);
    if (!file_map(f, path, l->d))
        return false;
    vec_push(&p->g->arena, &p->g->mappings, f);
    uint64_t hash = hash_bytes(f->data, f->size);
    if (f->size == (size_t)tensor_bytes(t) && hash == t->hash) {
        t->data = f->data;
        return true;
    }
    diag_error(l->d, EXIT_BAD_MODEL, path, "the file is not the constant it is named after");
    diag_note(l->d, "wanted", "%" PRId64 " bytes with hash %016" PRIx64, tensor_bytes(t), t->hash);
    diag_note(l->d, "found", "%zu bytes with hash %016" PRIx64, f->size, hash);
    return false;
}

static bool parse_elided(Parser *p, Type *t, Tensor **out) {
    uint64_t hash;
    if (!parse_hash(&p->lex, &hash))
        return false;
    *out = tensor_wrap(&p->g->arena, t->dtype, t->shape, NULL);
    (*out)->hash = hash;
    return load_constant(p, *out);
}

bool parse_constant(Parser *p) {
    Lexer *l = &p->lex;
    const char *name;
    Placed t;
    Tensor *tensor = NULL;
    if (!parse_new_name(p, '@', &name) || !lex_expect(l, ":", ": and a type") ||
        !parse_type(l, &t.type, &t.offset) || !lex_expect(l, "=", "= and the elements"))
        return false;
    bool ok;
    if (lex_accept(l, "["))
        ok = parse_elements(p, &t.type, &tensor);
    else if (lex_accept(l, "xxh:"))
        ok = parse_elided(p, &t.type, &tensor);
    else
        ok = lex_expected(l, "[ and elements, or xxh:HASH");
    if (!ok)
        return false;
    Value *v = graph_constant(p->g, name, tensor);
    v->type = t.type;
    v->arena_offset = t.offset;
    return true;
}
