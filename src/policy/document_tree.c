#include "policy/document_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* Where the tree grows: the innermost open list or map last. */
struct growth {
    struct complaints *complaints;
    struct node *root;
    struct node *open[TREE_DEPTH_MAX];
    struct node **end[TREE_DEPTH_MAX]; /* where the next child of each goes */
    uint32_t depth;
    uint32_t documents;
    int error;
};

static struct place place_of(const yaml_mark_t *mark)
{
    return (struct place){.line = (uint32_t)mark->line + 1, .column = (uint32_t)mark->column + 1};
}

/* Depth is bounded, so that this is. */
void tree_free(struct node *root)
{
    while (root) {
        struct node *next = root->next;
        tree_free(root->child);
        free(root->text);
        free(root);
        root = next;
    }
}

/* Hangs a new node under the innermost open one; NULL when there is no memory. */
static struct node *add_node(struct growth *g, enum node_kind kind, const yaml_event_t *event)
{
    struct node *node = calloc(1, sizeof(*node));
    if (!node) {
        g->error = ERROR_MEMORY;
        return NULL;
    }
    node->kind = kind;
    node->at = place_of(&event->start_mark);
    if (g->depth == 0) {
        g->root = node;
    } else {
        *g->end[g->depth - 1] = node;
        g->end[g->depth - 1] = &node->next;
    }
    return node;
}

static void open_node(struct growth *g, enum node_kind kind, const yaml_event_t *event)
{
    struct node *node = add_node(g, kind, event);
    if (!node)
        return;
    if (g->depth == TREE_DEPTH_MAX) {
        complain(g->complaints, node->at, "lists and maps are nested too deeply here; a policy needs no such depth");
        g->error = ERROR_MALFORMED;
        return;
    }
    g->open[g->depth] = node;
    g->end[g->depth++] = &node->child;
}

static void refuse_marks(struct growth *g, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        complain(g->complaints, place_of(&event->start_mark), "anchors (&", (const char *)anchor,
                 ") are not allowed; write it out");
    if (tag)
        complain(g->complaints, place_of(&event->start_mark), "tags (", (const char *)tag,
                 ") are not allowed; leave it out");
}

static void on_document(struct growth *g, const yaml_event_t *event)
{
    if (g->documents++ == 0)
        return;
    complain(g->complaints, place_of(&event->start_mark), "a second document begins here; a policy is one document");
    g->error = ERROR_MALFORMED;
}

static void on_alias(struct growth *g, const yaml_event_t *event)
{
    complain(g->complaints, place_of(&event->start_mark), "aliases (*", (const char *)event->data.alias.anchor,
             ") are not allowed; write it out");
    (void)add_node(g, NODE_WRONG, event);
}

static void on_scalar(struct growth *g, const yaml_event_t *event)
{
    refuse_marks(g, event, event->data.scalar.anchor, event->data.scalar.tag);
    struct node *node = add_node(g, NODE_SCALAR, event);
    if (!node)
        return;
    node->text = strdup((const char *)event->data.scalar.value);
    node->empty = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event->data.scalar.length == 0;
    if (!node->text)
        g->error = ERROR_MEMORY;
}

static void on_list(struct growth *g, const yaml_event_t *event)
{
    refuse_marks(g, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    open_node(g, NODE_LIST, event);
}

static void on_map(struct growth *g, const yaml_event_t *event)
{
    refuse_marks(g, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    open_node(g, NODE_MAP, event);
}

static void on_end(struct growth *g, const yaml_event_t *event)
{
    (void)event;
    g->depth--;
}

static void grow(struct growth *g, const yaml_event_t *event)
{
    static void (*const on[])(struct growth * g, const yaml_event_t *event) = {
        [YAML_DOCUMENT_START_EVENT] = on_document, [YAML_ALIAS_EVENT] = on_alias,
        [YAML_SCALAR_EVENT] = on_scalar,           [YAML_SEQUENCE_START_EVENT] = on_list,
        [YAML_SEQUENCE_END_EVENT] = on_end,        [YAML_MAPPING_START_EVENT] = on_map,
        [YAML_MAPPING_END_EVENT] = on_end,
    };
    if ((size_t)event->type < sizeof(on) / sizeof(on[0]) && on[event->type])
        on[event->type](g, event);
}

static void refuse_text(struct growth *g, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        g->error = ERROR_MEMORY;
        return;
    }
    bool placed = parser->problem_mark.line > 0 || parser->problem_mark.column > 0;
    complain(g->complaints, place_of(placed ? &parser->problem_mark : &parser->mark),
             "this is not YAML: ", parser->problem ? parser->problem : "it cannot be read", parser->context ? ", " : "",
             parser->context ? parser->context : "");
    g->error = ERROR_MALFORMED;
}

static void parse_events(struct growth *g, yaml_parser_t *parser)
{
    for (bool ended = false; !ended && !g->error;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            refuse_text(g, parser);
            return;
        }
        grow(g, &event);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
}

int tree_parse(struct node **root, const char *text, size_t len, struct complaints *complaints)
{
    struct growth g = {.complaints = complaints};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return ERROR_MEMORY;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    parse_events(&g, &parser);
    yaml_parser_delete(&parser);
    if (g.error) {
        tree_free(g.root);
        return g.error;
    }
    *root = g.root;
    return 0;
}
