/* Replaced by the folder's first source. */
typedef int tunnel_placeholder;
