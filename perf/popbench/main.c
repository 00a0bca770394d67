/* Options, the loop, which client is served when. */
#define _GNU_SOURCE
#include "popbench.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define FAULTS_LIMIT 1000       /* a server that refuses everything is not asked any further */
#define OPENING_LIMIT 32        /* held connections that wait for their greeting or login: below any backlog */
#define NEVER UINT64_MAX
#define SECOND 1000000000u

static const char usage[] =
    "usage: popbench --port PORT --users FILE [option ...]\n"
    "Opens POP3 sessions on 127.0.0.1, checks every reply and prints how many a second there were.\n"
    "\n"
    "  --scenario NAME   poll: USER PASS STAT UIDL QUIT (the default)\n"
    "                    fetch: USER PASS STAT LIST, RETR of all messages, QUIT\n"
    "                    stat: USER PASS STAT QUIT; with --uidl also UIDL\n"
    "                    hold-waiting: connections that do not log in\n"
    "                    hold-logged-in: USER PASS, and no more\n"
    "  --clients N       sessions at a time (16)\n"
    "  --sessions N      end after so many sessions, or\n"
    "  --seconds S       start none after so many seconds (5); the hold scenarios print \"held\" when all stand,\n"
    "                    and hold them for so long or until the standard input ends\n"
    "  --warm-up S       do not measure the first seconds (0)\n"
    "  --timeout S       a session without progress for so long has failed (30)\n"
    "  --tls             TLS from the start; no session is resumed\n"
    "  --users FILE      lines of \"name:password\"; no user has two sessions at a time\n"
    "  --manifest FILE   lines of \"user number octets sha256\": verify each message\n"
    "  --json            print one JSON object\n"
    "\n"
    "Exit status: 0 no errors, 1 errors, 2 wrong use.\n";

static const char *const scenario_names[] = { "poll", "fetch", "stat", "hold-waiting", "hold-logged-in" };

struct options {
    enum scenario scenario;
    int port;
    size_t clients;
    uint64_t sessions, seconds, warm_up, timeout;   /* times in nanoseconds; sessions 0: until the time is over */
    bool uidl, tls, json;
    const char *users, *manifest;
};

struct run {
    const struct options *options;
    struct plan plan;
    struct users users;
    SSL_CTX *tls;
    struct session *sessions;
    size_t active;
    uint64_t started, start_until;
    int epoll;
};

/* ---- options ---- */

static double positive(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !isfinite(value) || value < 0 || value > 1e6) die("--%s %s: not a number", option, text);
    return value;
}

static uint64_t nanoseconds(const char *option, const char *text)
{
    return (uint64_t)(positive(option, text) * SECOND);
}

static enum scenario scenario_of(const char *name)
{
    for (size_t i = 0; i < sizeof scenario_names / sizeof *scenario_names; i++)
        if (!strcmp(name, scenario_names[i])) return (enum scenario)i;
    die("--scenario %s: there is no such scenario", name);
}

static void set_option(struct options *options, const char *name, const char *value)
{
    if (!strcmp(name, "port")) options->port = (int)positive(name, value);
    else if (!strcmp(name, "scenario")) options->scenario = scenario_of(value);
    else if (!strcmp(name, "clients")) options->clients = (size_t)positive(name, value);
    else if (!strcmp(name, "sessions")) options->sessions = (uint64_t)positive(name, value);
    else if (!strcmp(name, "seconds")) options->seconds = nanoseconds(name, value);
    else if (!strcmp(name, "warm-up")) options->warm_up = nanoseconds(name, value);
    else if (!strcmp(name, "timeout")) options->timeout = nanoseconds(name, value);
    else if (!strcmp(name, "users")) options->users = value;
    else if (!strcmp(name, "manifest")) options->manifest = value;
    else if (!strcmp(name, "uidl")) options->uidl = true;
    else if (!strcmp(name, "tls")) options->tls = true;
    else options->json = true;
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        { "port", required_argument, NULL, 1 }, { "scenario", required_argument, NULL, 1 },
        { "clients", required_argument, NULL, 1 }, { "sessions", required_argument, NULL, 1 },
        { "seconds", required_argument, NULL, 1 }, { "warm-up", required_argument, NULL, 1 },
        { "timeout", required_argument, NULL, 1 }, { "users", required_argument, NULL, 1 },
        { "manifest", required_argument, NULL, 1 }, { "uidl", no_argument, NULL, 1 },
        { "tls", no_argument, NULL, 1 }, { "json", no_argument, NULL, 1 },
        { "help", no_argument, NULL, 2 }, { 0 }
    };
    int found, index;
    while ((found = getopt_long(argc, argv, "", known, &index)) != -1) {
        if (found != 1) {
            fputs(usage, found == 2 ? stdout : stderr);
            exit(found == 2 ? 0 : 2);
        }
        set_option(options, known[index].name, optarg);
    }
    if (optind != argc) die("%s: unexpected", argv[optind]);
    if (options->port < 1 || options->port > 65535) die("--port: 1 to 65535");
    if (!options->clients) die("--clients: at least 1");
    if (!options->users && options->scenario != SCENARIO_HOLD_WAITING) die("--users is needed");
}

/* ---- the run ---- */

static bool holds(const struct run *run)
{
    return run->plan.scenario >= SCENARIO_HOLD_WAITING;
}

static void raise_descriptor_limit(size_t clients)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= clients + 32) return;
    limit.rlim_cur = clients + 32;
    if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("no permission for %zu open files", clients + 32);
}

static SSL_CTX *tls_context(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls) die("cannot make a TLS context");
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);    /* a server may close without close_notify */
    SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, 64 * 1024);
    return tls;
}

/* Tell epoll what the session waits for; its events carry the session. */
static void watch(const struct run *run, struct session *session)
{
    uint32_t wanted = EPOLLIN | (session->stream.want_write ? EPOLLOUT : 0);
    struct epoll_event event = { .events = wanted, .data.ptr = session };
    if (!session->active || wanted == session->watched) return;
    if (epoll_ctl(run->epoll, session->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, session->stream.fd, &event))
        die("epoll_ctl: %s", strerror(errno));
    session->watched = wanted;
}

static bool may_start(const struct run *run, uint64_t now)
{
    uint64_t limit = holds(run) ? run->options->clients : run->options->sessions;
    return now < run->start_until && report_faults() < FAULTS_LIMIT && (!limit || run->started < limit);
}

/* False: nobody can be served in this place now. */
static bool start(struct run *run, struct session *session, uint64_t now)
{
    struct user *user = NULL;
    if (!may_start(run, now)) return false;
    if (run->plan.scenario != SCENARIO_HOLD_WAITING && !(user = users_take(&run->users))) return false;
    run->started++;
    session_start(session, &run->plan, user, run->options->port, run->tls);
    if (!session->active) return false;
    run->active++;
    watch(run, session);
    return true;
}

static void fill(struct run *run, size_t limit)
{
    uint64_t now = now_ns();
    for (size_t i = 0; i < run->options->clients && run->active < limit; i++)
        if (!run->sessions[i].active) start(run, &run->sessions[i], now);
}

static void expire(const struct run *run, uint64_t now)
{
    for (size_t i = 0; i < run->options->clients; i++) {
        struct session *session = &run->sessions[i];
        if (session->active && session->step != STEP_HELD && now > session->progress + run->options->timeout)
            session_expire(session);
    }
}

static size_t count_active(const struct run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->options->clients; i++) count += run->sessions[i].active;
    return count;
}

/* Serve what is ready, for at most a tenth of a second when nothing is. */
static void turn(struct run *run)
{
    static uint64_t expired;
    struct epoll_event events[256];
    int count = epoll_wait(run->epoll, events, 256, 100);
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++) {
        struct session *session = events[i].data.ptr;
        session_event(session);
        if (session->active) {
            watch(run, session);
        } else {
            run->active--;
            if (!holds(run)) start(run, session, now);
        }
    }
    if (now - expired < SECOND / 2) return;
    expired = now;
    expire(run, now);
    run->active = count_active(run);
    if (!holds(run)) fill(run, run->options->clients);
}

/* ---- held connections ---- */

static size_t count_held(const struct run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->options->clients; i++)
        count += run->sessions[i].active && run->sessions[i].step == STEP_HELD;
    return count;
}

static void open_held(struct run *run)
{
    size_t held;
    do {
        held = count_held(run);
        fill(run, held + OPENING_LIMIT);
        turn(run);
        held = count_held(run);
    } while (run->active > held || may_start(run, now_ns()));
    printf("held %zu\n", held);
    fflush(stdout);
}

/* Until whoever started us closes our input, or the time is over. */
static void keep_held(struct run *run)
{
    uint64_t until = now_ns() + run->options->seconds;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event)) return;     /* a file: nobody waits */
    for (bool over = false; !over && now_ns() < until;) {
        struct epoll_event events[64];
        int count = epoll_wait(run->epoll, events, 64, 100);
        for (int i = 0; i < count; i++) {
            struct session *session = events[i].data.ptr;
            char octet;
            if (!session) over = read(STDIN_FILENO, &octet, 1) <= 0;
            else session_event(session);
        }
    }
    epoll_ctl(run->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

static void hold(struct run *run)
{
    open_held(run);
    keep_held(run);
    for (size_t i = 0; i < run->options->clients; i++) {
        struct session *session = &run->sessions[i];
        if (!session->active) continue;
        session->progress = now_ns();
        session_quit(session);
        watch(run, session);
    }
    run->active = count_active(run);
    while (run->active) turn(run);
}

static void load(struct run *run)
{
    fill(run, run->options->clients);
    while (run->active || may_start(run, now_ns())) turn(run);
}

int main(int argc, char **argv)
{
    struct options options = { .clients = 16, .seconds = 5ull * SECOND, .timeout = 30ull * SECOND };
    struct report report = { 0 };
    struct run run = { .options = &options, .epoll = epoll_create1(EPOLL_CLOEXEC) };
    parse(&options, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit(options.clients);
    if (options.users) users_load(&run.users, options.users);
    if (options.manifest) users_load_manifest(&run.users, options.manifest);
    if (options.scenario != SCENARIO_HOLD_WAITING && run.users.count < options.clients)
        die("%zu clients need as many users; there are %zu", options.clients, run.users.count);
    if (options.tls) run.tls = tls_context();
    if (run.epoll < 0 || !(run.sessions = calloc(options.clients, sizeof *run.sessions))) die("out of memory");

    uint64_t begun = now_ns();
    uint64_t from = begun + options.warm_up, until = from + options.seconds;
    run.plan = (struct plan){ .scenario = options.scenario, .uidl = options.uidl, .verify = options.manifest,
                              .from = from, .until = options.sessions ? NEVER : until, .report = &report };
    run.start_until = run.plan.until;
    if (holds(&run)) hold(&run);
    else load(&run);
    uint64_t ended = now_ns() < run.plan.until ? now_ns() : run.plan.until;
    report.seconds = ended > from ? (double)(ended - from) / 1e9 : 0;
    report_print(&report, options.json);
    return report_faults() ? 1 : 0;
}
