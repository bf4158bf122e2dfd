/* Replaced by the folder's first source. */
typedef int net_placeholder;
