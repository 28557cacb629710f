/* llvm_merge.c: the objects of a module's parts as one object, as `ld -r` makes it.
 *
 * Sections of a kind follow each other in the order of the objects, with their relocations. Hidden
 * symbols, by which the parts know each other, become local. Labels (.LCPI0_0), which many of the
 * objects have, get the number of theirs: not all that load an object tell local symbols of one
 * name apart. RuntimeDyld, which the JIT of LLVM 16 and 17 has, does not. The objects are LLVM's
 * own, of ELF in 64 bits and for this machine's byte order: one that is not as those are is our
 * fault. */
#include <elf.h>

#include <string.h>

#include "codegen/llvm_builder.h"

typedef struct Symbol {
    Elf64_Sym s;
    size_t index; /* in the result */
} Symbol;

typedef struct Section {
    const char *name;
    Elf64_Shdr head;
    Buf data;
    VEC(Elf64_Rela) relocations;
    Symbol *symbol; /* STT_SECTION; NULL: not needed so far */
} Section;

/* Where a section of an object went. */
typedef struct Place {
    Section *section;
    uint64_t offset;
} Place;

typedef struct Object {
    const char *data;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    const char *names; /* of symbols */
    size_t nsymbols;
    Place *places;    /* by section */
    Symbol **results; /* by symbol; NULL: another object's, or dropped */
} Object;

typedef struct Merge {
    Arena arena;
    Object *objects;
    VEC(Section *) sections;
    VEC(Symbol *) symbols;
    size_t nlocals;
    Map defined; /* name -> Symbol, of those that are not local in their object */
    Buf names;
    VEC(Elf64_Shdr) headers; /* of the result */
    Buf *out;
    size_t start; /* of the result, in *out */
} Merge;

/* ---- in -------------------------------------------------------------------------------------- */

static const void *at(const Object *o, uint64_t offset) {
    return o->data + offset;
}

static const char *section_name(const Object *o, const Elf64_Shdr *s) {
    const char *names = at(o, o->sections[o->head->e_shstrndx].sh_offset);
    return names + s->sh_name;
}

static void open_object(Merge *m, Object *o, const Buf *object) {
    o->data = object->data;
    o->head = at(o, 0);
    ensure(object->len >= sizeof *o->head && !memcmp(o->head->e_ident, ELFMAG, SELFMAG) &&
           o->head->e_ident[EI_CLASS] == ELFCLASS64 && o->head->e_type == ET_REL);
    o->sections = at(o, o->head->e_shoff);
    for (size_t i = 0; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_SYMTAB)
            continue;
        o->symbols = at(o, s->sh_offset);
        o->nsymbols = s->sh_size / sizeof *o->symbols;
        o->names = at(o, o->sections[s->sh_link].sh_offset);
    }
    ensure(o->symbols);
    o->places = ARENA_ARRAY(&m->arena, o->head->e_shnum, Place);
    o->results = ARENA_ARRAY(&m->arena, o->nsymbols, Symbol *);
}

/* ---- sections -------------------------------------------------------------------------------- */

static bool is_alike(const Section *a, const char *name, const Elf64_Shdr *s) {
    return !strcmp(a->name, name) && a->head.sh_type == s->sh_type &&
           a->head.sh_flags == s->sh_flags && a->head.sh_entsize == s->sh_entsize;
}

static Section *section_like(Merge *m, const char *name, const Elf64_Shdr *s) {
    for (size_t i = 0; i < m->sections.len; i++)
        if (is_alike(m->sections.data[i], name, s))
            return m->sections.data[i];
    Section *new = ARENA_NEW(&m->arena, Section);
    new->name = name;
    new->head = (Elf64_Shdr){.sh_type = s->sh_type,
                             .sh_flags = s->sh_flags,
                             .sh_entsize = s->sh_entsize,
                             .sh_addralign = 1};
    vec_push(&m->arena, &m->sections, new);
    return new;
}

static uint64_t aligned(uint64_t offset, uint64_t align) {
    return align ? (offset + align - 1) / align * align : offset;
}

static void append(Section *to, const Object *o, const Elf64_Shdr *s) {
    bool x86 = o->head->e_machine == EM_X86_64 && s->sh_flags & SHF_EXECINSTR;
    enum { NOP = 0x90 }; /* what x86 has between functions */
    size_t gap = aligned(to->data.len, s->sh_addralign) - to->data.len;
    char *fill = buf_extend(&to->data, gap);
    if (gap)
        memset(fill, x86 ? NOP : 0, gap);
    buf_write(&to->data, at(o, s->sh_offset), s->sh_size);
}

static void add_section(Merge *m, Object *o, size_t i) {
    const Elf64_Shdr *s = &o->sections[i];
    Section *to = section_like(m, section_name(o, s), s);
    o->places[i] = (Place){to, aligned(to->head.sh_size, s->sh_addralign)};
    if (s->sh_type != SHT_NOBITS)
        append(to, o, s);
    to->head.sh_size = o->places[i].offset + s->sh_size;
    if (s->sh_addralign > to->head.sh_addralign)
        to->head.sh_addralign = s->sh_addralign;
}

/* Tables are made anew. Other sections hold numbers of sections or symbols, and LLVM is not asked
 * for such. */
static void add_sections(Merge *m, Object *o) {
    for (size_t i = 1; i < o->head->e_shnum; i++)
        switch (o->sections[i].sh_type) {
        case SHT_PROGBITS:
        case SHT_NOBITS:
        case SHT_X86_64_UNWIND:
            add_section(m, o, i);
            break;
        case SHT_SYMTAB:
        case SHT_STRTAB:
        case SHT_RELA:
            break;
        default:
            die("a section of type %#x", (unsigned)o->sections[i].sh_type);
        }
}

/* ---- symbols --------------------------------------------------------------------------------- */

static uint32_t put_name(Merge *m, const char *name) {
    size_t start = m->names.len;
    ensure(start <= UINT32_MAX);
    buf_write(&m->names, name, strlen(name) + 1);
    return (uint32_t)start;
}

static Symbol *new_symbol(Merge *m, Elf64_Sym s) {
    Symbol *new = ARENA_NEW(&m->arena, Symbol);
    new->s = s;
    vec_push(&m->arena, &m->symbols, new);
    return new;
}

static Symbol *section_symbol(Merge *m, Section *s) {
    if (!s->symbol)
        s->symbol = new_symbol(m, (Elf64_Sym){.st_info = ELF64_ST_INFO(STB_LOCAL, STT_SECTION)});
    return s->symbol;
}

/* The section of a symbol, as its number in the result; those of the objects are others. */
static Elf64_Section section_number(const Merge *m, const Section *s) {
    size_t i = 0;
    while (m->sections.data[i] != s)
        i++;
    return (Elf64_Section)(i + 1);
}

static const char *symbol_name(Merge *m, const Object *o, const Elf64_Sym *s) {
    const char *name = o->names + s->st_name;
    bool label = !strncmp(name, ".L", 2);
    return label ? arena_printf(&m->arena, "%s.%d", name, (int)(o - m->objects)) : name;
}

static Symbol *defined_symbol(Merge *m, const Object *o, const Elf64_Sym *s) {
    const char *name = symbol_name(m, o, s);
    Elf64_Sym r = *s;
    bool local = ELF64_ST_BIND(s->st_info) == STB_LOCAL;
    r.st_name = put_name(m, name);
    if (s->st_shndx < SHN_LORESERVE) {
        r.st_value += o->places[s->st_shndx].offset;
        r.st_shndx = section_number(m, o->places[s->st_shndx].section);
    }
    if (ELF64_ST_VISIBILITY(s->st_other) == STV_HIDDEN)
        r.st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(s->st_info));
    r.st_other = STV_DEFAULT;
    Symbol *new = new_symbol(m, r);
    if (!local)
        ensure(map_put(&m->arena, &m->defined, name, new));
    return new;
}

static void add_symbols(Merge *m, Object *o) {
    for (size_t i = 1; i < o->nsymbols; i++) {
        const Elf64_Sym *s = &o->symbols[i];
        unsigned type = ELF64_ST_TYPE(s->st_info);
        if (s->st_shndx == SHN_UNDEF || (type == STT_FILE && o != m->objects))
            continue;
        o->results[i] = type == STT_SECTION ? section_symbol(m, o->places[s->st_shndx].section)
                                            : defined_symbol(m, o, s);
    }
}

static bool is_local(const Symbol *s) {
    return ELF64_ST_BIND(s->s.st_info) == STB_LOCAL;
}

/* Local ones come first; 0 is nothing. */
static void number_symbols(Merge *m) {
    size_t index = 1;
    for (int local = 1; local >= 0; local--) {
        for (size_t i = 0; i < m->symbols.len; i++)
            if (is_local(m->symbols.data[i]) == local)
                m->symbols.data[i]->index = index++;
        if (local)
            m->nlocals = index;
    }
    for (size_t i = 0; i < m->sections.len; i++)
        if (m->sections.data[i]->symbol)
            m->sections.data[i]->symbol->s.st_shndx = (Elf64_Section)(i + 1);
}

/* ---- relocations ----------------------------------------------------------------------------- */

static void add_relocation(Merge *m, const Object *o, const Place *place, Elf64_Rela r) {
    size_t i = ELF64_R_SYM(r.r_info);
    const Elf64_Sym *s = &o->symbols[i];
    const Symbol *to = o->results[i] ? o->results[i] : map_get(&m->defined, o->names + s->st_name);
    ensure(to); /* a module needs nobody else */
    if (ELF64_ST_TYPE(s->st_info) == STT_SECTION)
        r.r_addend += (Elf64_Sxword)o->places[s->st_shndx].offset;
    r.r_offset += place->offset;
    r.r_info = ELF64_R_INFO(to->index, ELF64_R_TYPE(r.r_info));
    vec_push(&m->arena, &place->section->relocations, r);
}

static void add_relocations(Merge *m, const Object *o) {
    for (size_t i = 1; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        const Elf64_Rela *list = at(o, s->sh_offset);
        for (size_t k = 0; s->sh_type == SHT_RELA && k < s->sh_size / sizeof *list; k++)
            add_relocation(m, o, &o->places[s->sh_info], list[k]);
    }
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Fills up to a multiple of `align`; returns the bytes so far. */
static size_t align_out(Merge *m, uint64_t align) {
    size_t size = m->out->len - m->start;
    buf_extend(m->out, aligned(size, align) - size);
    return m->out->len - m->start;
}

/* Appends a section; data NULL: it has none in the file. */
static void put_section(Merge *m, Elf64_Shdr head, const void *data) {
    head.sh_offset = align_out(m, head.sh_addralign);
    if (data)
        buf_write(m->out, data, head.sh_size);
    vec_push(&m->arena, &m->headers, head);
}

static void put_sections(Merge *m) {
    for (size_t i = 0; i < m->sections.len; i++) {
        Section *s = m->sections.data[i];
        s->head.sh_name = put_name(m, s->name);
        put_section(m, s->head, s->head.sh_type == SHT_NOBITS ? NULL : s->data.data);
        buf_free(&s->data);
    }
}

/* The sections of relocations have been put when the table of symbols is, as number `symbols`. */
static void put_relocations(Merge *m, size_t symbols) {
    for (size_t i = 0; i < m->sections.len; i++) {
        const Section *s = m->sections.data[i];
        Elf64_Shdr head = {.sh_type = SHT_RELA,
                           .sh_flags = SHF_INFO_LINK,
                           .sh_link = (Elf64_Word)symbols,
                           .sh_info = (Elf64_Word)i + 1,
                           .sh_addralign = 8,
                           .sh_entsize = sizeof(Elf64_Rela),
                           .sh_size = s->relocations.len * sizeof(Elf64_Rela)};
        if (!s->relocations.len)
            continue;
        head.sh_name = put_name(m, arena_printf(&m->arena, ".rela%s", s->name));
        put_section(m, head, s->relocations.data);
    }
}

static void put_symbols(Merge *m) {
    size_t n = m->symbols.len + 1;
    Elf64_Sym *table = ARENA_ARRAY(&m->arena, n, Elf64_Sym);
    Elf64_Shdr head = {.sh_name = put_name(m, ".symtab"),
                       .sh_type = SHT_SYMTAB,
                       .sh_link = (Elf64_Word)m->headers.len + 1, /* the names follow */
                       .sh_info = (Elf64_Word)m->nlocals,
                       .sh_addralign = 8,
                       .sh_entsize = sizeof *table,
                       .sh_size = n * sizeof *table};
    for (size_t i = 0; i < m->symbols.len; i++)
        table[m->symbols.data[i]->index] = m->symbols.data[i]->s;
    put_section(m, head, table);
}

static void put_names(Merge *m) {
    Elf64_Shdr head = {.sh_name = put_name(m, ".strtab"), .sh_type = SHT_STRTAB, .sh_addralign = 1};
    head.sh_size = m->names.len;
    put_section(m, head, m->names.data);
}

static size_t count_relocated(const Merge *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->sections.len; i++)
        n += m->sections.data[i]->relocations.len != 0;
    return n;
}

static void put_object(Merge *m) {
    Elf64_Ehdr head = *m->objects[0].head;
    buf_extend(m->out, sizeof head);
    vec_push(&m->arena, &m->headers, (Elf64_Shdr){.sh_type = SHT_NULL});
    put_sections(m);
    put_relocations(m, 1 + m->sections.len + count_relocated(m));
    put_symbols(m);
    put_names(m);
    head.e_shoff = align_out(m, 8);
    head.e_shnum = (Elf64_Half)m->headers.len;
    head.e_shstrndx = (Elf64_Half)(m->headers.len - 1);
    buf_write(m->out, m->headers.data, m->headers.len * sizeof *m->headers.data);
    memcpy(m->out->data + m->start, &head, sizeof head);
}

void llvm_merge(Buf *out, const Buf *objects, size_t n) {
    Merge m = {.out = out, .start = out->len};
    m.objects = ARENA_ARRAY(&m.arena, n, Object);
    buf_putc(&m.names, 0);
    for (size_t i = 0; i < n; i++) {
        open_object(&m, &m.objects[i], &objects[i]);
        add_sections(&m, &m.objects[i]);
    }
    for (size_t i = 0; i < n; i++)
        add_symbols(&m, &m.objects[i]);
    number_symbols(&m);
    for (size_t i = 0; i < n; i++)
        add_relocations(&m, &m.objects[i]);
    put_object(&m);
    buf_free(&m.names);
    arena_free(&m.arena);
}
