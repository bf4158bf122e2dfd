#include "store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define APPLICATION_ID "0x6e6a6c67" /* njlg */

/* Before the first look: with the lock held for good there is no shared memory file, and no second controller. */
static const char lock[] = "PRAGMA locking_mode=EXCLUSIVE;";
/* A WAL is synced before a commit returns. EXTRA also syncs the directory once the rollback journal of the change to a
 * WAL is gone: were it back after a power cut, it would undo all that came later. */
static const char pragmas[] = "PRAGMA synchronous=EXTRA;"
                              "PRAGMA journal_mode=WAL;"
                              "PRAGMA temp_store=MEMORY;"
                              "PRAGMA trusted_schema=OFF;"
                              "PRAGMA cell_size_check=ON;";

static const char schema[] = "BEGIN IMMEDIATE;"
                             "CREATE TABLE entry ("
                             "  place INTEGER PRIMARY KEY CHECK (place >= 0),"
                             "  time INTEGER NOT NULL,"
                             "  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
                             "  head BLOB NOT NULL CHECK (length(head) = 32),"
                             "  statement BLOB NOT NULL) STRICT;"
                             "CREATE TABLE opening ("
                             "  number INTEGER PRIMARY KEY,"
                             "  place INTEGER NOT NULL REFERENCES entry,"
                             "  commitment BLOB NOT NULL UNIQUE CHECK (length(commitment) = 32),"
                             "  content BLOB NOT NULL) STRICT;"
                             "CREATE INDEX opening_of_place ON opening (place);"
                             "PRAGMA application_id = " APPLICATION_ID ";"
                             "PRAGMA user_version = 1;"
                             "COMMIT;";

enum query { PUT_ENTRY, PUT_OPENING, ALL_ENTRIES, OPENINGS_OF, QUERY_COUNT };
static const char *const queries[QUERY_COUNT] = {
    [PUT_ENTRY] = "INSERT INTO entry (place, time, hash, head, statement) VALUES (?, ?, ?, ?, ?)",
    [PUT_OPENING] = "INSERT INTO opening (place, commitment, content) VALUES (?, ?, ?)",
    [ALL_ENTRIES] = "SELECT place, time, hash, head, statement FROM entry ORDER BY place",
    [OPENINGS_OF] = "SELECT commitment, content FROM opening WHERE place = ? ORDER BY number",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *query[QUERY_COUNT];
};

static const struct {
    int code, error;
} errors[] = {
    {SQLITE_OK, 0},
    {SQLITE_DONE, 0},
    {SQLITE_FULL, ERROR_NO_SPACE},
    {SQLITE_NOMEM, ERROR_MEMORY},
    {SQLITE_BUSY, ERROR_IN_USE},
    {SQLITE_CANTOPEN, ERROR_NOT_FOUND},
    {SQLITE_PERM, ERROR_PERMISSION},
    {SQLITE_READONLY, ERROR_PERMISSION},
    {SQLITE_CORRUPT, ERROR_MALFORMED},
    {SQLITE_NOTADB, ERROR_MALFORMED},
    {SQLITE_CONSTRAINT, ERROR_EXISTS},
};

static int error_of(int code)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].code == (code & 0xff))
            return errors[i].error;
    return ERROR_IO;
}

static int run(struct store *s, const char *sql)
{
    return error_of(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static int ask_number(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *q;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return code == SQLITE_ROW ? 0 : error_of(code);
}

static int prepare(struct store *s)
{
    for (int i = 0; i < QUERY_COUNT; i++) {
        int code = sqlite3_prepare_v3(s->db, queries[i], -1, SQLITE_PREPARE_PERSISTENT, &s->query[i], NULL);
        if (code != SQLITE_OK)
            return error_of(code);
    }
    return 0;
}

/* Looks before it writes anything: what is not ours stays as it is. */
static int check_version(struct store *s, int64_t *version)
{
    int64_t application = 0;
    int error = ask_number(s, "PRAGMA user_version", version);
    if (!error)
        error = ask_number(s, "PRAGMA application_id", &application);
    if (error)
        return error;
    if (*version == 0 && application == 0)
        return 0;
    if (application != strtol(APPLICATION_ID, NULL, 16))
        return ERROR_MALFORMED;
    return *version == STORE_VERSION ? 0 : ERROR_UNSUPPORTED;
}

static int make_schema(struct store *s)
{
    int64_t tables = 0;
    int error = ask_number(s, "SELECT count(*) FROM sqlite_schema", &tables);
    if (error)
        return error;
    return tables ? ERROR_MALFORMED : run(s, schema);
}

static int set_up(struct store *s, bool create)
{
    int64_t version = 0;
    int error = run(s, lock);
    if (!error)
        error = check_version(s, &version);
    if (!error)
        error = run(s, pragmas);
    if (!error && version == 0)
        error = create ? make_schema(s) : ERROR_MALFORMED;
    return error ? error : prepare(s);
}

static int open_it(struct store **out, const char *path, const char *vfs, bool create)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    int error = error_of(sqlite3_open_v2(path, &s->db, flags, vfs));
    if (!error)
        error = set_up(s, create);
    if (error) {
        store_close(s);
        return error;
    }
    *out = s;
    return 0;
}

int store_open(struct store **out, const char *path, const char *vfs)
{
    return open_it(out, path, vfs, false);
}

int store_create(struct store **out, const char *path, const char *vfs)
{
    return open_it(out, path, vfs, true);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < QUERY_COUNT; i++)
        sqlite3_finalize(s->query[i]);
    sqlite3_close(s->db);
    free(s);
}

/* ---- Reading ---- */

static struct frame_view blob_at(sqlite3_stmt *q, int column)
{
    /* The order matters: the conversion comes first (SQLite, "Result Values From A Query"). */
    const uint8_t *bytes = sqlite3_column_blob(q, column);
    return (struct frame_view){bytes, (size_t)sqlite3_column_bytes(q, column)};
}

/* False: it is not a digest, which no row of ours has. */
static bool digest_at(sqlite3_stmt *q, int column, uint8_t out[SHA256_SIZE])
{
    struct frame_view view = blob_at(q, column);
    if (view.len != SHA256_SIZE)
        return false;
    memcpy(out, view.bytes, SHA256_SIZE);
    return true;
}

struct openings {
    struct sequencer_opening *at; /* owned, with their bytes */
    uint32_t count, capacity;
};

static void clear_openings(struct openings *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        free((void *)(uintptr_t)o->at[i].bytes.bytes);
    free(o->at);
}

static int add_opening(struct openings *o, sqlite3_stmt *q)
{
    if (o->count == o->capacity) {
        uint32_t wider = o->capacity ? o->capacity * 2 : 8;
        void *moved = reallocarray(o->at, wider, sizeof(*o->at));
        if (!moved)
            return ERROR_MEMORY;
        o->at = moved;
        o->capacity = wider;
    }
    struct sequencer_opening *next = &o->at[o->count];
    if (!digest_at(q, 0, next->commitment))
        return ERROR_MALFORMED;
    struct frame_view content = blob_at(q, 1);
    uint8_t *copy = malloc(content.len + 1);
    if (!copy)
        return ERROR_MEMORY;
    if (content.len)
        memcpy(copy, content.bytes, content.len);
    next->bytes.bytes = copy;
    next->bytes.len = content.len;
    o->count++;
    return 0;
}

static int read_openings(struct store *s, int64_t place, struct openings *out)
{
    sqlite3_stmt *q = s->query[OPENINGS_OF];
    int code, error = 0;
    sqlite3_bind_int64(q, 1, place);
    while (!error && (code = sqlite3_step(q)) == SQLITE_ROW)
        error = add_opening(out, q);
    if (!error)
        error = error_of(code);
    sqlite3_reset(q);
    return error;
}

static int read_entry(struct store *s, sqlite3_stmt *q, struct sequencer_entry *entry, struct openings *openings)
{
    entry->index = (uint64_t)sqlite3_column_int64(q, 0);
    entry->time = (uint64_t)sqlite3_column_int64(q, 1);
    if (!digest_at(q, 2, entry->hash) || !digest_at(q, 3, entry->head))
        return ERROR_MALFORMED;
    int error = read_openings(s, (int64_t)entry->index, openings);
    entry->statement = blob_at(q, 4);
    entry->openings = openings->at;
    entry->opening_count = openings->count;
    return error;
}

int store_restore(struct store *s, int (*each)(void *context, const struct sequencer_entry *entry), void *context)
{
    sqlite3_stmt *q = s->query[ALL_ENTRIES];
    int code, error = 0;
    while (!error && (code = sqlite3_step(q)) == SQLITE_ROW) {
        struct sequencer_entry entry = {0};
        struct openings openings = {0};
        error = read_entry(s, q, &entry, &openings);
        if (!error)
            error = each(context, &entry);
        clear_openings(&openings);
    }
    if (!error)
        error = error_of(code);
    sqlite3_reset(q);
    return error;
}

/* ---- Writing ---- */

static void bind_bytes(sqlite3_stmt *q, int at, const uint8_t *bytes, size_t len)
{
    sqlite3_bind_blob64(q, at, bytes ? bytes : (const uint8_t *)"", len, SQLITE_STATIC);
}

/* Binding fails for want of memory alone, and then a NOT NULL constraint refuses the row. */
static int finish(sqlite3_stmt *q)
{
    int code = sqlite3_step(q);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return error_of(code);
}

static int put_entry(struct store *s, const struct sequencer_entry *entry)
{
    sqlite3_stmt *q = s->query[PUT_ENTRY];
    sqlite3_bind_int64(q, 1, (int64_t)entry->index);
    sqlite3_bind_int64(q, 2, (int64_t)entry->time);
    bind_bytes(q, 3, entry->hash, SHA256_SIZE);
    bind_bytes(q, 4, entry->head, SHA256_SIZE);
    bind_bytes(q, 5, entry->statement.bytes, entry->statement.len);
    return finish(q);
}

static int put_opening(struct store *s, uint64_t place, const struct sequencer_opening *o)
{
    sqlite3_stmt *q = s->query[PUT_OPENING];
    sqlite3_bind_int64(q, 1, (int64_t)place);
    bind_bytes(q, 2, o->commitment, SHA256_SIZE);
    bind_bytes(q, 3, o->bytes.bytes, o->bytes.len);
    return finish(q);
}

static int put_all(struct store *s, const struct sequencer_entry *entry)
{
    int error = put_entry(s, entry);
    for (uint32_t i = 0; !error && i < entry->opening_count; i++)
        error = put_opening(s, entry->index, &entry->openings[i]);
    return error ? error : run(s, "COMMIT");
}

int store_append(struct store *s, const struct sequencer_entry *entry)
{
    int error = run(s, "BEGIN IMMEDIATE");
    if (error)
        return error;
    error = put_all(s, entry);
    /* SQLite rolls some failures back by itself. */
    if (error && !sqlite3_get_autocommit(s->db) && run(s, "ROLLBACK"))
        return ERROR_IO;
    return error;
}
