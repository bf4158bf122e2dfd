/* Log lines on stderr: `level event key=value ...`. */
#ifndef PROC_LOG_H
#define PROC_LOG_H

/* `details` is printf's: key=value pairs, texts in quotes. One line, written at once; control characters
 * become '?'. A process that says the same event again and again is cut short (base/log_limit.h), and the next line of
 * that event that passes is followed by one with the number of those that did not. For one thread of each process. */
__attribute__((format(printf, 3, 4))) void log_line(const char *level, const char *event, const char *details, ...);

#endif
