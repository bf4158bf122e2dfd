/* A YAML file as a tree of what policies are made of: one document of maps, lists and scalars. */
#ifndef POLICY_DOCUMENT_TREE_H
#define POLICY_DOCUMENT_TREE_H

#include "policy/document_error.h"

#define TREE_DEPTH_MAX 8u

enum node_kind {
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP,   /* its children are keys and values in turn */
    NODE_WRONG, /* has been complained of; to be passed over */
};

struct node {
    enum node_kind kind;
    struct place at;
    char *text; /* of a scalar; never NULL there; bytes behind a NUL in it are lost */
    bool empty; /* nothing was written, as behind "allow:" */
    struct node *child, *next;
};

/* 0, ERROR_MEMORY, or ERROR_MALFORMED when it is not YAML. What is YAML but none of the above is complained of, and the
 * rest is read. `*root` NULL: nothing is in the file. tree_free on success. */
must_check int tree_parse(struct node **root, const char *text, size_t len, struct complaints *complaints);
void tree_free(struct node *root);

#endif
