/*
 * shape.h - options whose values are more than a number, a word or a text: their checks, and their canonical texts.
 */
#ifndef CAIRN_SERVER_CONF_SHAPE_H
#define CAIRN_SERVER_CONF_SHAPE_H

#include "server/conf/config.h"

/* Each is an option_shape (config.h); the error texts are Redis'. */
option_shape shape_bind;              /* addresses, at most 16 */
option_shape shape_output_limits;     /* class hard soft seconds, any number of times; others stay as in `old` */
option_shape shape_memory_or_percent; /* number: bytes, or minus the percent */
option_shape shape_hz;                /* clamped */
option_shape shape_disabled;          /* one more line: a name and "" */
option_shape shape_refused;
option_shape shape_save;       /* pairs of seconds and changes; behind those of `old`; "" is none */
option_shape shape_file_name;  /* no path */
option_shape shape_shutdown;   /* words of SHUTDOWN */
option_shape shape_oom_scores; /* three numbers */
option_shape shape_percentiles;
option_shape shape_notify; /* number: enum notify_class */
option_shape shape_master; /* host port, or no one */
option_shape shape_hostname;
option_shape shape_node_name;

/* Adds a word of a list to its text, in quotes when it needs them. */
void shape_word(struct buf *text, const char *word);

#endif
