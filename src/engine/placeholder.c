/* Replaced by the folder's first source. */
typedef int engine_placeholder;
