#include <string.h>

#include "ledger/replica_internal.h"

static const struct {
    const char *code, *what, *todo;
} texts[] = {
#define PROBLEM_TEXT(name, code, what, todo) [REPLICA_PROBLEM_##name] = {code, what, todo},
    REPLICA_PROBLEMS(PROBLEM_TEXT)
#undef PROBLEM_TEXT
};

static struct replica_problem *find(struct replica *r, enum replica_problem_kind kind, const struct device_id *id)
{
    for (uint32_t i = 0; i < r->problem_count; i++) {
        struct replica_problem *p = &r->problems[i];
        if (p->kind == kind && p->has_device == (id != NULL) && (!id || device_id_equal(&p->device, id)))
            return p;
    }
    return NULL;
}

/* A full list keeps what it has: the first problems are the likelier causes. */
static void begin(struct replica *r, enum replica_problem_kind kind, const struct device_id *id, const char *name)
{
    if (r->problem_count == PROBLEMS_MAX)
        return;
    struct replica_problem *p = &r->problems[r->problem_count++];
    *p = (struct replica_problem){
        .kind = kind, .code = texts[kind].code, .what = texts[kind].what, .todo = texts[kind].todo};
    if (id) {
        p->has_device = true;
        p->device = *id;
    }
    if (name)
        strncpy(p->name, name, NAME_MAX_LEN);
    r->ops->problem(r->ops->context, p);
}

void replica_problem_set(struct replica *r, enum replica_problem_kind kind, const struct device_id *id,
                         const char *name, bool on)
{
    struct replica_problem *p = find(r, kind, id);
    if (on && !p)
        begin(r, kind, id, name);
    else if (!on && p)
        *p = r->problems[--r->problem_count];
}

bool replica_problem_at(const struct replica *r, uint32_t i, struct replica_problem *out)
{
    if (i >= r->problem_count)
        return false;
    *out = r->problems[i];
    return true;
}
