/* nightjar doctor */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "ground.h"
#include "say.h"
#include "show.h"

#define ANSWER_MS 5000
#define NFT "/usr/sbin/nft"

static const char *const result_names[DOCTOR_RESULTS] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL", [DOCTOR_SKIPPED] = "skipped"};

/* ---- Findings ---- */

void doctor_find(struct doctor *d, const char *check, enum doctor_result result, const char *todo, const char *format,
                 ...)
{
    va_list list;
    if (d->count == DOCTOR_FINDINGS_MAX)
        return;
    struct doctor_finding *f = &d->findings[d->count++];
    f->check = check;
    f->result = result;
    va_start(list, format);
    vsnprintf(f->cause, sizeof(f->cause), format, list);
    va_end(list);
    snprintf(f->todo, sizeof(f->todo), "%s", todo ? todo : "");
}

bool doctor_asked(struct doctor *d, const char *check)
{
    if (!d->status)
        doctor_find(d, check, DOCTOR_SKIPPED, NULL, "Only the daemon knows, and it did not answer.");
    return d->status;
}

/* ---- Files of the kernel ---- */

bool doctor_read(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t count = 1;
    if (fd < 0)
        return false;
    while (len + 1 < size && (count = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)count;
    close(fd);
    if (len > 0 && out[len - 1] == '\n')
        len--;
    out[len] = 0;
    return count >= 0;
}

bool doctor_field(const char *text, const char *key, char *out, size_t size)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, len) != 0 || line[len] != ':')
            continue;
        line += len + 1;
        line += strspn(line, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
        return true;
    }
    return false;
}

/* ---- All of them ---- */

void doctor_run(struct doctor *d)
{
    static doctor_check *const checks[] = {doctor_state,   doctor_permissions, doctor_ledger,    doctor_disk,
                                           doctor_outbox,  doctor_clock,       doctor_daemon,    doctor_processes,
                                           doctor_member,  doctor_head,        doctor_relays,    doctor_peers,
                                           doctor_policy,  doctor_port,        doctor_strangers, doctor_interface,
                                           doctor_uplinks, doctor_ipv6,        doctor_kernel,    doctor_problems};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        checks[i](d);
}

/* ---- The world as it is ---- */

/* nft's own exit code says whether there is such a table. */
static int has_table(const char *name)
{
    int status;
    if (access(NFT, X_OK) != 0 || geteuid() != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0 && dup2(nowhere, STDERR_FILENO) >= 0)
            execl(NFT, "nft", "list", "table", "inet", name, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status) == 0;
}

static void ask_daemon(struct doctor *d, json_t **status)
{
    struct control *c;
    d->daemon_error = control_open(&c, d->cli);
    if (d->daemon_error)
        return;
    d->daemon = control_peer(c);
    d->daemon_error = control_ask(c, "status", NULL, ANSWER_MS, status);
    control_close(c);
    d->status = *status;
}

/* What cannot be read is a finding, not a failure of this command. */
static void look(struct doctor *d)
{
    struct cli quiet = *d->cli;
    quiet.mute = true;
    d->has_state = state_open(&quiet, &d->state) == 0;
    d->has_view = d->has_state && view_read(&quiet, &d->view, &d->state) == 0;
}

/* ---- Telling ---- */

static json_t *findings_json(const struct doctor *d)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s?}", "check", f->check, "result", result_names[f->result],
                                        "cause", f->cause, "todo", *f->todo ? f->todo : NULL));
    }
    return list;
}

static void print_findings(const struct doctor *d, const uint32_t counts[DOCTOR_RESULTS])
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        printf("%-7s  %-14s  %s\n", result_names[f->result], f->check, f->cause);
        if (*f->todo)
            printf("%25s-> %s\n", "", f->todo);
    }
    printf("%u checks: %u ok, %u to look at, %u failed, %u skipped\n", d->count, counts[DOCTOR_OK], counts[DOCTOR_WARN],
           counts[DOCTOR_FAIL], counts[DOCTOR_SKIPPED]);
}

static int tell(const struct doctor *d)
{
    uint32_t counts[DOCTOR_RESULTS] = {0};
    for (uint32_t i = 0; i < d->count; i++)
        counts[d->findings[i].result]++;
    bool good = counts[DOCTOR_FAIL] == 0;
    if (!d->cli->json)
        print_findings(d, counts);
    else if (show_json(json_pack("{s:b, s:o}", "healthy", good, "checks", findings_json(d))))
        return EXIT_NO;
    return good ? EXIT_DONE : EXIT_NO;
}

int command_doctor(struct cli *cli, const struct arguments *arguments)
{
    (void)arguments;
    char hash[CONTROL_HASH_SIZE];
    json_t *status = NULL;
    struct doctor *d = calloc(1, sizeof(*d));
    if (!d)
        return say_failed(cli, ERROR_MEMORY, "The node cannot be looked at");
    d->cli = cli;
    d->proc = "/proc";
    d->now = clock_wall();
    d->root = geteuid() == 0;
    d->has_table = has_table;
    d->hash = control_hash(cli, hash) ? NULL : hash;
    look(d);
    ask_daemon(d, &status);
    doctor_list_links(d);
    doctor_run(d);
    int result = tell(d);
    if (d->has_view)
        view_clear(&d->view);
    if (d->has_state)
        state_close(&d->state);
    json_decref(status);
    free(d);
    return result;
}
