/* cpus.c: how many CPUs this process may use. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "runtime/runtime.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

/* ---- quotas of control groups ---------------------------------------------------------------- */

/* Numbers of the files first and second (NULL: both are in the first) in ROOT/PATH; "max" and -1
 * are no quota. 0, or quota / period rounded up. */
static int group_cpus(const char *root, const char *path, const char *first, const char *second) {
    char name[MAX_PATH + 64];
    long long quota = 0, period = 0;
    snprintf(name, sizeof name, "%s%s/%s", root, path, first);
    FILE *f = fopen(name, "r");
    bool ok = f && fscanf(f, "%lld", &quota) == 1 && (second || fscanf(f, "%lld", &period) == 1);
    if (f)
        fclose(f);
    if (ok && second) {
        snprintf(name, sizeof name, "%s%s/%s", root, path, second);
        f = fopen(name, "r");
        ok = f && fscanf(f, "%lld", &period) == 1;
        if (f)
            fclose(f);
    }
    if (!ok || quota <= 0 || period <= 0 || quota > period * RT_MAX_THREADS)
        return 0;
    return (int)((quota + period - 1) / period);
}

/* The least quota of a group and of those around it; `path` is shortened on the way. */
static int least_quota(const char *root, char *path, const char *first, const char *second) {
    int least = 0;
    for (;;) {
        int n = group_cpus(root, path, first, second);
        if (n && (!least || n < least))
            least = n;
        char *end = strrchr(path, '/');
        if (!end)
            return least;
        *end = 0;
    }
}

/* Whether a comma-separated list has the controller "cpu". */
static bool has_cpu(const char *list) {
    for (const char *s = list; (s = strstr(s, "cpu")); s += 3)
        if ((s == list || s[-1] == ',') && (!s[3] || s[3] == ','))
            return true;
    return false;
}

/* A line is "0::/path" (version 2) or "4:cpu,cpuacct:/path" (version 1). */
static int line_quota(char *line, const char *root) {
    char old_root[MAX_PATH], *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    if (!path)
        return 0;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    if (!list[1])
        return least_quota(root, path, "cpu.max", NULL);
    if (!has_cpu(list + 1))
        return 0;
    snprintf(old_root, sizeof old_root, "%s/cpu", root);
    return least_quota(old_root, path, "cpu.cfs_quota_us", "cpu.cfs_period_us");
}

int rt_quota_cpus(const char *groups, const char *root) {
    char line[MAX_PATH];
    int least = 0;
    FILE *f = fopen(groups, "r");
    while (f && fgets(line, sizeof line, f)) {
        int n = line_quota(line, root);
        if (n && (!least || n < least))
            least = n;
    }
    if (f)
        fclose(f);
    return least;
}

/* ---- the affinity mask ----------------------------------------------------------------------- */

static int mask_cpus(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > RT_MAX_THREADS ? RT_MAX_THREADS : (int)online;
}

int rt_cpus(void) {
    int cpus = mask_cpus(), quota = rt_quota_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota && quota < cpus)
        cpus = quota;
    return cpus < 1 ? 1 : cpus;
}
