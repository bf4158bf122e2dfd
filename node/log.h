/* Log lines on stderr: `level event key=value ...`. */
#ifndef NODE_LOG_H
#define NODE_LOG_H

/* `details` is printf's: key=value pairs, texts in quotes. One line, written at once. */
__attribute__((format(printf, 3, 4))) void log_line(const char *level, const char *event, const char *details, ...);

#endif
