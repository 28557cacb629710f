/* c_names.c: identifiers, comments and lists in generated C. */
#include "codegen/c_printer.h"

#include <string.h>

/* clang-format off */

/* Keywords of C and C++. */
static const char *const keywords[] = {
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break",
    "case", "catch", "char", "char16_t", "char32_t", "class", "compl", "complex", "concept",
    "const", "const_cast", "constexpr", "continue", "decltype", "default", "delete", "do",
    "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float",
    "for", "friend", "goto", "if", "inline", "int", "long", "mutable", "namespace", "new",
    "noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected",
    "public", "register", "reinterpret_cast", "requires", "restrict", "return", "short",
    "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch",
    "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid",
    "typename", "typeof", "union", "unsigned", "using", "virtual", "void", "volatile", "while",
    "xor", "xor_eq",
};

/* Macros of the headers that generated files include, of compilers, and of the files themselves. */
static const char *const macros[] = {
    "ARENA", "EOF", "KERNEL", "NULL", "WEIGHTS", "linux", "offsetof", "unix",
};

/* Functions that gcc knows without a header, or that immintrin.h declares. */
static const char *const functions[] = {
    "abort", "abs", "acos", "acosh", "alloca", "asin", "asinh", "atan", "atan2", "atanh",
    "atexit", "bcmp", "bcopy", "bzero", "calloc", "cbrt", "ceil", "close", "copysign", "cos",
    "cosh", "div", "drem", "erf", "erfc", "exit", "exp", "exp10", "exp2", "expm1", "fabs",
    "fdim", "ffs", "finite", "floor", "fma", "fmax", "fmin", "fmod", "fork", "free", "frexp",
    "gamma", "hypot", "ilogb", "index", "isalpha", "isdigit", "isinf", "isnan", "j0", "j1",
    "jn", "labs", "ldexp", "lgamma", "llabs", "log", "log10", "log1p", "log2", "logb", "lrint",
    "lround", "malloc", "memchr", "memcmp", "memcpy", "memmove", "mempcpy", "memset", "modf",
    "nan", "nearbyint", "nextafter", "open", "pow", "pow10", "printf", "putchar", "puts",
    "qsort", "rand", "random", "read", "realloc", "remainder", "remquo", "rindex", "rint",
    "round", "scalb", "scalbln", "scalbn", "scanf", "signbit", "significand", "sin", "sincos",
    "sinh", "sqrt", "strcat", "strcmp", "strcpy", "strdup", "strlen", "system", "tan", "tanh",
    "tgamma", "time", "toascii", "trunc", "write", "y0", "y1", "yn",
};

/* clang-format on */

#define IS_IN(table, s) is_in(table, sizeof(table) / sizeof *(table), s)

static bool is_in(const char *const *table, size_t n, const char *s) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s, table[i]))
            return true;
    return false;
}

/* v8f32 and v8f32_u. */
static bool is_vector_type(const char *s) {
    if (*s++ != 'v' || !(*s >= '0' && *s <= '9'))
        return false;
    while (*s >= '0' && *s <= '9')
        s++;
    size_t n = strlen(s);
    if (n > 2 && !strcmp(s + n - 2, "_u"))
        n -= 2;
    DType dt;
    return dtype_parse(s, n, &dt);
}

static bool has_ending(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static bool is_reserved(const char *s) {
    return IS_IN(keywords, s) || IS_IN(macros, s) || has_ending(s, "_t") || has_ending(s, "_MAX") ||
           has_ending(s, "_MIN") || !strncmp(s, "bitcast_", 8) || !strncmp(s, "convert_", 8) ||
           is_vector_type(s);
}

static bool is_word_byte(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

char *c_identifier(Arena *a, const char *text) {
    if (!*text)
        text = "model";
    size_t n = strlen(text);
    char *s = arena_alloc(a, n + 3);
    char *to = s;
    if (*text >= '0' && *text <= '9')
        *to++ = '_';
    for (size_t i = 0; i < n; i++)
        *to++ = is_word_byte((unsigned char)text[i]) ? text[i] : '_';
    if (s[0] == '_' && (s[1] == '_' || (s[1] >= 'A' && s[1] <= 'Z') || !s[1])) {
        memmove(s + 1, s, strlen(s) + 1);
        s[0] = 'x';
        to++;
    }
    if (is_reserved(s))
        *to = '_';
    return s;
}

/* Whether something is called so, here or in an outer scope. */
static bool c_names_has(const CNames *n, const char *name) {
    for (; n; n = n->outer)
        if (map_get(&n->taken, name))
            return true;
    return false;
}

void c_names_take(Arena *a, CNames *n, const char *name) {
    char *copy = arena_strdup(a, name);
    map_put(a, &n->taken, copy, copy);
}

const char *c_names_add(Arena *a, CNames *n, const char *text) {
    char *base = c_identifier(a, text);
    char *name = base;
    int *last = map_get(&n->last, base);
    for (int i = last ? *last + 1 : 2; c_names_has(n, name); i++) {
        if (!last) {
            last = arena_alloc(a, sizeof *last);
            map_put(a, &n->last, base, last);
        }
        *last = i;
        name = arena_printf(a, "%s_%d", base, i);
    }
    map_put(a, &n->taken, name, name);
    return name;
}

const char *c_function_name(Arena *a, const char *text) {
    return IS_IN(functions, text) ? arena_printf(a, "%s_", text) : text;
}

const char *c_upper(Arena *a, const char *name) {
    char *s = arena_strdup(a, name);
    for (char *p = s; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    return s;
}

void c_put_comment(Buf *b, const char *text) {
    for (const char *s = text; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char before = s > text ? s[-1] : 0;
        bool ends = (c == '/' && before == '*') || (c == '*' && before == '/');
        bool trigraph = c == '?' && before == '?';
        if (ends || trigraph)
            buf_putc(b, ' ');
        if (c < ' ' || c > '~')
            buf_printf(b, "\\x%02x", c);
        else
            buf_putc(b, (char)c);
    }
}

void c_put_list(Buf *b, int indent, const char *head, const CItems *items, const char *tail) {
    size_t line = b->len;
    while (line > 0 && b->data[line - 1] != '\n')
        line--;
    buf_puts(b, head);
    for (size_t i = 0; i < items->len; i++) {
        bool last = i + 1 == items->len;
        size_t width = strlen(items->data[i]) + (last ? strlen(tail) : 1);
        if (i > 0 && b->len - line + 1 + width > 99) {
            buf_putc(b, '\n');
            line = b->len;
            buf_printf(b, "%*s", indent, "");
        } else if (i > 0) {
            buf_putc(b, ' ');
        }
        buf_puts(b, items->data[i]);
        if (!last)
            buf_putc(b, ',');
    }
    buf_puts(b, tail);
}
