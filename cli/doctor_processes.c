/* The daemon, and how its processes are confined, as /proc tells it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define STATUS_MAX 8192
#define LIST_MAX_LEN 160

static const char *const roles[] = {"keys", "engine", "state"};
enum { ROLES = sizeof(roles) / sizeof(roles[0]) };

/* ---- Whether it answers ---- */

void doctor_daemon(struct doctor *d)
{
    const char *error = json_string_value(json_object_get(d->status, "error"));
    if (error)
        doctor_find(d, "daemon", DOCTOR_FAIL, json_string_value(json_object_get(d->status, "todo")), "It says: %s",
                    error);
    else if (d->status)
        doctor_find(d, "daemon", DOCTOR_OK, NULL, "Runs and answers.");
    else if (d->daemon_error == ERROR_NOT_FOUND)
        doctor_find(d, "daemon", DOCTOR_FAIL, "nightjar up", "It does not run.");
    else if (d->daemon_error == ERROR_PERMISSION)
        doctor_find(d, "daemon", DOCTOR_FAIL, "Run this as root, or as a member of the group nightjar.",
                    "It runs, but this user may not ask it.");
    else
        doctor_find(d, "daemon", DOCTOR_FAIL, "nightjar down, then nightjar up; its log says more.",
                    "It runs and does not answer: %s", error_sentence(d->daemon_error));
}

/* ---- Its processes ---- */

static bool read_of(const struct doctor *d, const char *pid, const char *what, char *out, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%.32s/%s", d->proc, pid, what);
    return doctor_read(path, out, size);
}

/* What is between the NULs of a command line; -1: none of the roles. */
static int role_of(const struct doctor *d, const char *pid)
{
    char line[1024], path[512];
    snprintf(path, sizeof(path), "%s/%.32s/cmdline", d->proc, pid);
    memset(line, 0, sizeof(line));
    if (!doctor_read(path, line, sizeof(line)))
        return -1;
    for (const char *word = line; word < line + sizeof(line) && *word; word += strlen(word) + 1)
        for (int i = 0; i < ROLES; i++)
            if (strncmp(word, "--role=", 7) == 0 && strcmp(word + 7, roles[i]) == 0)
                return i;
    return -1;
}

static bool field_is(const char *status, const char *key, const char *value)
{
    char found[128];
    return doctor_field(status, key, found, sizeof(found)) && strcmp(found, value) == 0;
}

static void add(char list[LIST_MAX_LEN], const char *role, const char *what)
{
    size_t len = strlen(list);
    snprintf(list + len, LIST_MAX_LEN - len, "%s%s%s%s", len ? ", " : "", role, *what ? " " : "", what);
}

static bool may_dump_core(const char *limits)
{
    const char *line = strstr(limits, "Max core file size");
    return line && strspn(line + strlen("Max core file size"), " ") > 0 &&
           strncmp(line + strlen("Max core file size") + strspn(line + strlen("Max core file size"), " "), "0 ", 2) !=
               0;
}

static bool is_root(const char *status)
{
    char uid[128];
    return doctor_field(status, "Uid", uid, sizeof(uid)) && strncmp(uid, "0\t", 2) == 0;
}

struct survey {
    uint32_t seen; /* a bit for each role */
    char loose[LIST_MAX_LEN], unfiltered[LIST_MAX_LEN];
};

static void look_at(struct doctor *d, struct survey *s, const char *pid, int role, const char *status)
{
    char limits[4096] = "";
    s->seen |= 1u << role;
    if (d->root && is_root(status))
        add(s->loose, roles[role], "runs as root");
    if (!field_is(status, "NoNewPrivs", "1"))
        add(s->loose, roles[role], "may gain rights");
    if (!field_is(status, "CapEff", "0000000000000000"))
        add(s->loose, roles[role], "has capabilities");
    if (read_of(d, pid, "limits", limits, sizeof(limits)) && may_dump_core(limits))
        add(s->loose, roles[role], "may dump core");
    if (!field_is(status, "Seccomp", "2"))
        add(s->unfiltered, roles[role], "");
}

static void survey(struct doctor *d, struct survey *s)
{
    DIR *all = opendir(d->proc);
    for (struct dirent *e; all && (e = readdir(all));) {
        char status[STATUS_MAX], parent[32];
        int role = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? role_of(d, e->d_name) : -1;
        if (role >= 0 && read_of(d, e->d_name, "status", status, sizeof(status)) &&
            doctor_field(status, "PPid", parent, sizeof(parent)) && strtol(parent, NULL, 10) == d->daemon)
            look_at(d, s, e->d_name, role, status);
    }
    if (all)
        closedir(all);
}

void doctor_processes(struct doctor *d)
{
    struct survey s = {0};
    if (d->daemon == 0) {
        doctor_find(d, "processes", DOCTOR_SKIPPED, NULL, "The daemon does not run, or may not be asked.");
        return;
    }
    survey(d, &s);
    if (s.seen != (1u << ROLES) - 1)
        doctor_find(d, "processes", DOCTOR_FAIL, "nightjar down, then nightjar up.",
                    "Of the daemon's processes keys, engine and state not all are there.");
    else if (*s.loose)
        doctor_find(d, "processes", DOCTOR_FAIL, "Start it again as root: nightjar down, then nightjar up.",
                    "Processes may do more than they should: %s.", s.loose);
    else if (*s.unfiltered)
        doctor_find(d, "processes", DOCTOR_WARN, "Use a kernel and a build with seccomp.",
                    "Processes may make any system call: %s.", s.unfiltered);
    else
        doctor_find(d, "processes", DOCTOR_OK, NULL, "keys, engine and state are confined.");
}
