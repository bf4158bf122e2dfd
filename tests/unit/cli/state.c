#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

struct world {
    char folder[64], path[96];
    struct cli cli;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    strcpy(w->folder, "/tmp/nightjar-state-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/node", w->folder);
    w->cli.state = w->path;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->cli.state = w->folder;
    state_remove(&w->cli);
    free(w);
    return 0;
}

static bool is_there(const struct world *w, const char *name)
{
    char path[256];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    return lstat(path, &info) == 0;
}

static void make(struct world *w)
{
    struct state s;
    assert_int_equal(state_begin(&w->cli, &s), 0);
    assert_int_equal(state_write(&w->cli, &s, STATE_KEYS, "signing", "secret", 6), 0);
    assert_int_equal(state_finish(&w->cli, &s), 0);
    state_close(&s);
}

static void what_was_finished_is_there_and_closed_to_others(void **state)
{
    struct world *w = *state;
    struct stat info;
    struct state s;
    make(w);
    assert_false(is_there(w, "node.new"));
    assert_int_equal(stat(w->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(state_open(&w->cli, &s), 0);
    assert_int_equal(fstatat(s.dirs[STATE_KEYS], "signing", &info, 0), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(s.dirs[STATE_OWNER], -1);
    state_close(&s);
}

static void what_was_not_finished_is_not_there(void **state)
{
    struct world *w = *state;
    struct state s, t;
    assert_int_equal(state_begin(&w->cli, &s), 0);
    assert_int_equal(state_write(&w->cli, &s, STATE_KEYS, "signing", "secret", 6), 0);
    assert_false(state_exists(&w->cli));
    assert_int_equal(state_open(&w->cli, &t), EXIT_NO);
    state_abandon(&s);
    assert_false(is_there(w, "node.new"));
    assert_false(is_there(w, "node"));
}

/* As after a power cut; the secret in it must not stay around. */
static void what_a_killed_attempt_left_is_removed_by_the_next(void **state)
{
    struct world *w = *state;
    struct state s, t;
    assert_int_equal(state_begin(&w->cli, &s), 0);
    assert_int_equal(state_write(&w->cli, &s, STATE_KEYS, "invite", "secret", 6), 0);
    state_close(&s);
    assert_int_equal(state_begin(&w->cli, &t), 0);
    assert_int_equal(faccessat(t.dirs[STATE_KEYS], "invite", F_OK, 0), -1);
    assert_int_equal(state_finish(&w->cli, &t), 0);
    state_close(&t);
}

static void two_do_not_make_one_state(void **state)
{
    struct world *w = *state;
    struct state s, t;
    assert_int_equal(state_begin(&w->cli, &s), 0);
    assert_int_equal(state_begin(&w->cli, &t), EXIT_NO);
    assert_int_equal(state_finish(&w->cli, &s), 0);
    state_close(&s);
}

static void an_existing_state_is_refused_and_left_alone(void **state)
{
    struct world *w = *state;
    struct state s;
    make(w);
    assert_int_equal(state_begin(&w->cli, &s), EXIT_NO);
    assert_false(is_there(w, "node.new"));
    assert_true(is_there(w, "node/keys/signing"));
}

static void an_empty_folder_may_be_filled(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(w->path, 0755), 0);
    assert_false(state_exists(&w->cli));
    make(w);
    assert_true(is_there(w, "node/format"));
}

static void a_slash_behind_the_path_does_no_harm(void **state)
{
    struct world *w = *state;
    strcat(w->path, "/");
    make(w);
    assert_true(is_there(w, "node/format"));
}

static void another_format_is_refused_and_left_alone(void **state)
{
    struct world *w = *state;
    struct state s;
    char path[256];
    make(w);
    static const char *const others[] = {"2\n", "", "1", "1\n1\n", "nightjar state of some other version\n"};
    snprintf(path, sizeof(path), "%s/format", w->path);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        int fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, others[i], strlen(others[i])), strlen(others[i]));
        close(fd);
        assert_int_equal(state_open(&w->cli, &s), EXIT_NO);
        assert_int_equal(s.dir, -1);
    }
    unlink(path);
    assert_int_equal(state_open(&w->cli, &s), EXIT_NO);
    assert_true(is_there(w, "node/keys/signing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_finished_is_there_and_closed_to_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_finished_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_killed_attempt_left_is_removed_by_the_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_do_not_make_one_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_existing_state_is_refused_and_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_folder_may_be_filled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slash_behind_the_path_does_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_format_is_refused_and_left_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cli-state", tests, NULL, NULL);
}
