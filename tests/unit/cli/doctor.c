#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#define NOW UINT64_C(1800000000)

/* A machine made of files. */
struct world {
    char path[64], proc[96];
    struct cli cli;
    struct doctor d;
    json_t *status;
};

static void put(const struct world *w, const char *name, const char *text, size_t len)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", w->path, name);
    for (char *slash = path + strlen(w->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

static void put_text(const struct world *w, const char *name, const char *text)
{
    put(w, name, text, strlen(text));
}

static void put_process(const struct world *w, int pid, const char *role, const char *status)
{
    char name[64], line[128];
    int len = snprintf(line, sizeof(line), "nightjard%c--role=%s%c", 0, role, 0);
    snprintf(name, sizeof(name), "proc/%d/cmdline", pid);
    put(w, name, line, (size_t)len);
    snprintf(name, sizeof(name), "proc/%d/status", pid);
    put_text(w, name, status);
    snprintf(name, sizeof(name), "proc/%d/limits", pid);
    put_text(w, name, "Limit  Soft\nMax core file size        0                    0                    bytes\n");
}

#define CONFINED                                                                                           \
    "Name:\tnightjard\nPPid:\t7\nUid:\t61101\t61101\t61101\t61101\nCapEff:\t0000000000000000\nNoNewPrivs:" \
    "\t1\nSeccomp:\t2\n"

static void put_sound_host(const struct world *w)
{
    put_process(w, 11, "keys", CONFINED);
    put_process(w, 12, "engine", CONFINED);
    put_process(w, 13, "state", CONFINED);
    put_text(w, "proc/sys/kernel/osrelease", "6.5.0-1\n");
    put_text(w, "proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n");
    put_text(w, "proc/net/udp", "  sl  local_address rem_address\n  10: 00000000:CA6C 00000000:0000 07\n");
}

static int there(const char *name)
{
    assert_string_equal(name, "nightjar_01234567");
    return 1;
}

static int gone(const char *name)
{
    (void)name;
    return 0;
}

static json_t *sound_status(void)
{
    return json_pack("{s:b, s:s, s:s, s:I, s:i, s:{s:I, s:I}, s:{s:b, s:s}, s:[{s:s, s:b, s:{s:s, s:I}}], s:[]}",
                     "member", 1, "device", "pump-3", "network", "plant", "policy_version", (json_int_t)2, "port",
                     51820, "head", "signed_index", (json_int_t)9, "signed_time", (json_int_t)(NOW - 30), "strangers",
                     "darkened", 1, "what", "Nothing: no port answers.", "peers", "device", "hub", "is_relay", 1,
                     "path", "kind", "direct", "rtt_us", (json_int_t)2500, "problems");
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->path, sizeof(w->path), "/tmp/doctor-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    snprintf(w->proc, sizeof(w->proc), "%s/proc", w->path);
    put_sound_host(w);
    w->cli = (struct cli){.state = "/nowhere", .quiet = true, .mute = true};
    w->status = sound_status();
    w->d = (struct doctor){.cli = &w->cli,
                           .proc = w->proc,

                           .now = NOW,
                           .root = true,
                           .daemon = 7,
                           .status = w->status,
                           .hash = "0123456789abcdef",
                           .has_table = there};
    w->d.links[0] = (struct doctor_link){"lo", IFF_UP | IFF_LOOPBACK | IFF_RUNNING, 65536, false};
    w->d.links[1] = (struct doctor_link){"eth0", IFF_UP | IFF_RUNNING, 1500, false};
    w->d.links[2] = (struct doctor_link){"nj0", IFF_UP | IFF_RUNNING, 1360, true};
    w->d.link_count = 3;
    *state = w;
    return 0;
}

static int take_away(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    nftw(w->path, take_away, 8, FTW_DEPTH | FTW_PHYS);
    json_decref(w->status);
    free(w);
    return 0;
}

static const struct doctor_finding *find(struct world *w, const char *check)
{
    w->d.count = 0;
    doctor_run(&w->d);
    for (uint32_t i = 0; i < w->d.count; i++)
        if (strcmp(w->d.findings[i].check, check) == 0)
            return &w->d.findings[i];
    fail_msg("no finding of %s", check);
    return NULL;
}

static void must_be(struct world *w, const char *check, enum doctor_result result, const char *piece)
{
    const struct doctor_finding *f = find(w, check);
    if (f->result != result || !strstr(f->cause, piece))
        fail_msg("%s: %d %s", check, (int)f->result, f->cause);
    assert_true(result != DOCTOR_FAIL || *f->todo);
}

static void a_sound_node_has_nothing_that_fails(void **state)
{
    struct world *w = *state;
    static const char *const good[] = {"clock",     "daemon",  "processes", "member", "head",
                                       "relays",    "peers",   "policy",    "port",   "strangers",
                                       "interface", "uplinks", "ipv6",      "kernel", "problems"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        must_be(w, good[i], DOCTOR_OK, "");
}

static void a_missing_state_fails_and_what_needs_it_is_skipped(void **state)
{
    struct world *w = *state;
    must_be(w, "state", DOCTOR_FAIL, "/nowhere does not exist");
    must_be(w, "permissions", DOCTOR_SKIPPED, "");
    must_be(w, "ledger", DOCTOR_SKIPPED, "");
    must_be(w, "disk", DOCTOR_SKIPPED, "");
}

static void without_a_daemon_only_the_daemon_fails(void **state)
{
    struct world *w = *state;
    w->d.status = NULL;
    w->d.daemon = 0;
    w->d.daemon_error = ERROR_NOT_FOUND;
    must_be(w, "daemon", DOCTOR_FAIL, "does not run");
    must_be(w, "processes", DOCTOR_SKIPPED, "");
    must_be(w, "relays", DOCTOR_SKIPPED, "");
    must_be(w, "uplinks", DOCTOR_OK, "");
    w->d.daemon_error = ERROR_AGAIN;
    must_be(w, "daemon", DOCTOR_FAIL, "does not answer");
}

static void a_process_that_may_do_more_is_named(void **state)
{
    struct world *w = *state;
    put_process(w, 12, "engine",
                "PPid:\t7\nUid:\t0\t0\t0\t0\nCapEff:\t0000000000001000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
    put_text(w, "proc/12/limits", "Max core file size        unlimited            unlimited            bytes\n");
    must_be(w, "processes", DOCTOR_FAIL,
            "engine runs as root, engine may gain rights, engine has capabilities, engine may dump core");
}

static void a_process_without_a_filter_is_named(void **state)
{
    struct world *w = *state;
    put_process(w, 13, "state",
                "PPid:\t7\nUid:\t61103\t1\t1\t1\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n");
    must_be(w, "processes", DOCTOR_WARN, "any system call: state.");
}

static void another_daemons_processes_do_not_count(void **state)
{
    struct world *w = *state;
    put_process(w, 11, "keys", "PPid:\t8\n");
    must_be(w, "processes", DOCTOR_FAIL, "not all are there");
}

static void clocks_are_held_against_what_is_proved(void **state)
{
    struct world *w = *state;
    w->d.now = NOW - 3600;
    must_be(w, "clock", DOCTOR_FAIL, "59 min behind");
    w->d.now = NOW + 3 * 86400;
    must_be(w, "clock", DOCTOR_WARN, "ago");
    must_be(w, "head", DOCTOR_WARN, "3 d old");
    w->d.now = 5;
    must_be(w, "clock", DOCTOR_FAIL, "never set");
}

static void a_relay_that_is_not_reached_fails(void **state)
{
    struct world *w = *state;
    json_t *path = json_object_get(json_array_get(json_object_get(w->status, "peers"), 0), "path");
    json_object_set_new(path, "kind", json_string("none"));
    must_be(w, "relays", DOCTOR_FAIL, "None is reached, of 1 known");
    json_object_set_new(w->status, "relay", json_true());
    must_be(w, "relays", DOCTOR_OK, "This device is one");
}

static void a_host_that_was_darkened_and_is_not_fails(void **state)
{
    struct world *w = *state;
    w->d.has_table = gone;
    must_be(w, "strangers", DOCTOR_FAIL, "the rules that do it are gone");
    json_object_set_new(json_object_get(w->status, "strangers"), "darkened", json_false());
    must_be(w, "strangers", DOCTOR_WARN, "");
    w->d.has_table = NULL;
    json_object_set_new(json_object_get(w->status, "strangers"), "darkened", json_true());
    must_be(w, "strangers", DOCTOR_SKIPPED, "");
}

static void the_hosts_interfaces_are_looked_at(void **state)
{
    struct world *w = *state;
    w->d.links[1].mtu = 1280;
    must_be(w, "uplinks", DOCTOR_WARN, "eth0 carries at most 1280");
    w->d.links[1].flags = IFF_UP;
    must_be(w, "uplinks", DOCTOR_FAIL, "No uplink is up");
    w->d.links[2].flags = 0;
    must_be(w, "interface", DOCTOR_FAIL, "nj0 is down");
    w->d.links[2].own = false;
    must_be(w, "interface", DOCTOR_FAIL, "No interface here");
    put_text(w, "proc/net/udp", "  sl  local_address rem_address\n  10: 00000000:CA6D 00000000:CA6C 07\n");
    must_be(w, "port", DOCTOR_WARN, "UDP 51820 is not bound");
    put_text(w, "proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n");
    must_be(w, "ipv6", DOCTOR_WARN, "switched off");
    put_text(w, "proc/sys/kernel/osrelease", "5.4.0\n");
    must_be(w, "kernel", DOCTOR_WARN, "5.4.0");
}

static void each_problem_of_the_daemon_is_a_finding(void **state)
{
    struct world *w = *state;
    json_object_set_new(w->status, "problems",
                        json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s, s:s}]", "code", "disk", "what", "Full.", "todo",
                                  "Make room.", "code", "ticket-reused", "device", "pump-4", "what", "Again.", "todo",
                                  "Find out."));
    must_be(w, "disk", DOCTOR_SKIPPED, ""); /* the check of that name */
    must_be(w, "ticket-reused", DOCTOR_WARN, "pump-4: Again.");
    assert_string_equal(w->d.findings[w->d.count - 2].cause, "Full.");
    assert_int_equal(w->d.findings[w->d.count - 2].result, DOCTOR_FAIL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_node_has_nothing_that_fails),       TEST(a_missing_state_fails_and_what_needs_it_is_skipped),
        TEST(without_a_daemon_only_the_daemon_fails),    TEST(a_process_that_may_do_more_is_named),
        TEST(a_process_without_a_filter_is_named),       TEST(another_daemons_processes_do_not_count),
        TEST(clocks_are_held_against_what_is_proved),    TEST(a_relay_that_is_not_reached_fails),
        TEST(a_host_that_was_darkened_and_is_not_fails), TEST(the_hosts_interfaces_are_looked_at),
        TEST(each_problem_of_the_daemon_is_a_finding),
    };
    return cmocka_run_group_tests_name("cli-doctor", tests, NULL, NULL);
}
