/* Replaced by the folder's first source. */
typedef int base_placeholder;
