#!/bin/sh
# The cluster library may not reach the outside: no socket, clock, thread, file or log symbol is undefined in it.
symbols=$(nm -u "$1") || exit 2
if echo "$symbols" | grep -Ew 'U (socket|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?|poll|select|epoll_.*|time|clock|clock_gettime|gettimeofday|nanosleep|u?sleep|rand|random|srandom|getrandom|pthread_.*|thrd_.*|mtx_.*|f?open(at)?|fdopen|close|read|write|pread|pwrite|fsync|fdatasync|rename|unlink|printf|fprintf|puts|log_event|uv_.*)'; then
    echo "cluster/ is not pure" >&2
    exit 1
fi
exit 0
