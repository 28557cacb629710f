/* assign.c: "[NAME=]PATH" arguments: which tensor each is for. */
#include "driver/driver.h"

#include <string.h>

typedef struct Assignment {
    const char *option;
    const effnetc_tensor *tensors;
    size_t n;
    const char **path;
    Diag *diag;
} Assignment;

/* The tensor called by what stands before the first '='; n where there is none. */
static size_t named_tensor(const Assignment *as, const char *arg) {
    size_t len = strcspn(arg, "="), i = 0;
    while (i < as->n && !(arg[len] && strlen(as->tensors[i].name) == len &&
                          !memcmp(as->tensors[i].name, arg, len)))
        i++;
    return i;
}

static size_t first_free(const Assignment *as) {
    size_t i = 0;
    while (i < as->n && as->path[i])
        i++;
    return i;
}

static void list_tensors(const Assignment *as) {
    Buf names = {0};
    for (size_t i = 0; i < as->n; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", as->tensors[i].name);
    diag_note(as->diag, "model", "%s", buf_str(&names));
    buf_free(&names);
}

static void assign_named(Assignment *as, const char *arg, size_t i) {
    if (as->path[i])
        diag_error(as->diag, EXIT_USAGE, "effnetc", "%s names %s twice", as->option,
                   as->tensors[i].name);
    as->path[i] = strchr(arg, '=') + 1;
}

static void assign_next(Assignment *as, const char *arg) {
    size_t i = first_free(as);
    if (i < as->n) {
        as->path[i] = arg;
        return;
    }
    diag_error(as->diag, EXIT_USAGE, "effnetc", "%s %s: there is no tensor left for it", as->option,
               arg);
    list_tensors(as);
}

bool assign_paths(const char *option, effnetc_strings args, const effnetc_tensor *tensors, size_t n,
                  const char **path, Diag *d) {
    Assignment as = {option, tensors, n, path, d};
    size_t errors = d->errors;
    for (size_t k = 0; k < args.count; k++)
        if (named_tensor(&as, args.items[k]) < n)
            assign_named(&as, args.items[k], named_tensor(&as, args.items[k]));
    for (size_t k = 0; k < args.count; k++)
        if (named_tensor(&as, args.items[k]) == n)
            assign_next(&as, args.items[k]);
    return d->errors == errors;
}
