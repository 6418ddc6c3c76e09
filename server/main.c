/*
 * main.c - the process: options, daemon, signals, pid file, exit code.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "server/allocator.h"
#include "server/conf/config.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/supervise.h"

enum { FILES_BESIDE_CLIENTS = 1024 };

static void usage(void)
{
    puts("Usage: cairn-server [/path/to/node.conf | -] [--directive value ...]\n"
         "       cairn-server --config /path/to/node.toml [--directive value ...]\n"
         "       cairn-server -v | --version\n"
         "       cairn-server -h | --help\n"
         "       cairn-server --help-options\n"
         "Examples:\n"
         "       cairn-server --port 7000 --cluster-enabled yes\n"
         "       cairn-server /etc/cairn/node.conf --loglevel verbose");
}

/* The table of settings, which is also their documentation. */
static void help_options(void)
{
    struct buf text = {0};

    config_help(&text);
    fwrite(text.data, 1, text.size, stdout);
    buf_free(&text);
}

/* Detaches from the terminal. The parent leaves here. */
static void daemonize(void)
{
    int null;

    if (fork() != 0)
        exit(0);
    setsid();
    null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
}

static const char *pid_file_of(const struct options *o)
{
    return o->pid_file[0] != '\0' || !o->daemonize ? o->pid_file : "/var/run/cairn.pid";
}

static void pid_file_write(const char *path)
{
    FILE *file = path[0] != '\0' ? fopen(path, "we") : NULL;

    if (file != NULL) {
        fprintf(file, "%d\n", (int)getpid());
        fclose(file);
    } else if (path[0] != '\0') {
        log_event(LOG_WARNING, "pid file not written: path=%s error=\"%s\"", path, strerror(errno));
    }
}

/* Room for maxclients sockets beside the store's files. */
static void raise_file_limit(uint64_t maxclients)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)maxclients + FILES_BESIDE_CLIENTS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_event(LOG_WARNING, "open files: limit=%llu wanted=%llu", (unsigned long long)limit.rlim_cur,
                  (unsigned long long)wanted);
}

/* supervised systemd or auto (indexes of the table's words), and somebody listens. */
static bool is_supervised(const struct options *o)
{
    int64_t how = config_int(o->config, "supervised");

    return (how == 1 || how == 2) && getenv("NOTIFY_SOCKET") != NULL;
}

static void ready(void *context)
{
    const struct options *o = context;

    log_event(LOG_NOTICE, "Ready to accept connections: port=%d tls_port=%d", o->port, o->tls_port);
    if (is_supervised(o))
        supervise_notify("STATUS=Ready to accept connections\nREADY=1");
}

/* Names in the configuration that are not absolute (log, pid file, socket, certificates) are below the data folder, as in Redis. */
static bool enter_folder(const char *dir)
{
    if ((mkdir(dir, 0755) == 0 || errno == EEXIST) && chdir(dir) == 0)
        return true;
    fprintf(stderr, "cairn-server: cannot change to the data folder %s: %s\n", dir, strerror(errno));
    return false;
}

static int fail(const char *what)
{
    log_event(LOG_WARNING, "%s: %s", what, err_text());
    fprintf(stderr, "cairn-server: %s: %s\n", what, err_text());
    return 1;
}

static int serve(struct options *o)
{
    struct node *node = NULL;
    const char *pid_file = pid_file_of(o);
    unsigned how;
    enum err e;

    if (o->daemonize)
        daemonize();
    allocator_choose(&o->allocator);
    pid_file_write(pid_file);
    log_event(LOG_NOTICE, "Cairn %s is starting: pid=%d dir=%s", CAIRN_VERSION, (int)getpid(), o->dir);
    raise_file_limit(o->limits.maxclients);
    if (node_prepare(o, &node) != OK)
        return fail("cannot start");
    log_event(LOG_NOTICE, "Server initialized");
    e = node_run(node, o, ready, o);
    if (e != OK) {
        int code = fail("cannot start");

        node_close(node, false);
        return code;
    }
    how = atomic_load(&node->shutdown);
    log_event(LOG_NOTICE, "User requested shutdown...");
    if (is_supervised(o))
        supervise_notify("STOPPING=1");
    node_close(node, (how & SHUTDOWN_NOSAVE) == 0);
    if (pid_file[0] != '\0')
        unlink(pid_file);
    log_event(LOG_NOTICE, "Cairn is now ready to exit, bye bye...");
    return 0;
}

int main(int argc, char **argv)
{
    struct config *config;
    struct options o;
    int code;

    allocator_begin();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        usage();
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "--version") == 0)) {
        printf("Cairn server v=%s\n", CAIRN_VERSION);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help-options") == 0) {
        help_options();
        return 0;
    }
    config = config_new();
    if (config_load(config, argc, argv) != OK) {
        fprintf(stderr, "%s\n", err_text());
        config_free(config);
        return 1;
    }
    options_from(&o, config);
    log_level_set((enum log_level)config_int(config, "loglevel"));
    o.daemonize = o.daemonize && !is_supervised(&o); /* the supervisor watches this process, not a child of it */
    if (!enter_folder(o.dir))
        return 1;
    if (o.log_file[0] != '\0' && !log_file_set(o.log_file)) {
        fprintf(stderr, "cairn-server: cannot open log file %s: %s\n", o.log_file, strerror(errno));
        return 1;
    }
    code = serve(&o);
    options_fini(&o);
    config_free(config);
    return code;
}
