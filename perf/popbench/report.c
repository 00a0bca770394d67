/* Errors and latencies, and the JSON object that is printed at the end. */
#define _GNU_SOURCE
#include "popbench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *const fault_names[FAULT_KINDS] = {
    "connect", "tls", "greeting", "login", "reply", "protocol", "extra", "broken", "timeout", "count", "octets",
    "hash", "dropped"
};
static const char *const latency_names[LATENCY_KINDS] = {
    "greeting", "login", "connect_to_stat", "connect_to_uidl", "retr", "session"
};

static struct { uint64_t count; char example[200]; } faults[FAULT_KINDS];
static struct { float *milliseconds; size_t count, capacity; } latencies[LATENCY_KINDS];

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("popbench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

/* An array of at least `wanted` elements; new ones are zero. */
void *grow(void *array, size_t wanted, size_t *capacity, size_t element)
{
    if (wanted <= *capacity) return array;
    size_t larger = *capacity * 2 > wanted ? *capacity * 2 : wanted;
    if (larger < 16) larger = 16;
    array = reallocarray(array, larger, element);
    if (!array) die("out of memory");
    memset((char *)array + *capacity * element, 0, (larger - *capacity) * element);
    *capacity = larger;
    return array;
}

void report_fault(enum fault kind, const char *user, const char *detail)
{
    if (!faults[kind].count++)
        snprintf(faults[kind].example, sizeof faults[kind].example, "%s: %.150s", user, detail);
}

uint64_t report_faults(void)
{
    uint64_t sum = 0;
    for (int kind = 0; kind < FAULT_KINDS; kind++) sum += faults[kind].count;
    return sum;
}

void report_latency(enum latency kind, uint64_t nanoseconds)
{
    latencies[kind].milliseconds = grow(latencies[kind].milliseconds, latencies[kind].count + 1,
                                        &latencies[kind].capacity, sizeof(float));
    latencies[kind].milliseconds[latencies[kind].count++] = (float)((double)nanoseconds / 1e6);
}

static int by_value(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char octet = (unsigned char)*text;
        if (octet < 0x20 || octet >= 0x7f || octet == '"' || octet == '\\') printf("\\u%04x", octet);
        else putchar(octet);
    }
    putchar('"');
}

static void print_latencies(void)
{
    const char *comma = "";
    printf("\"latency_ms\":{");
    for (int kind = 0; kind < LATENCY_KINDS; kind++) {
        size_t count = latencies[kind].count;
        float *sorted = latencies[kind].milliseconds;
        if (!count) continue;
        qsort(sorted, count, sizeof *sorted, by_value);
        printf("%s\"%s\":{\"count\":%zu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", comma,
               latency_names[kind], count, sorted[count / 2], sorted[count * 9 / 10], sorted[count * 99 / 100],
               sorted[count - 1]);
        comma = ",";
    }
    printf("},");
}

static void print_faults(void)
{
    const char *comma = "";
    printf("\"errors\":{");
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (!faults[kind].count) continue;
        printf("%s\"%s\":{\"count\":%lu,\"example\":", comma, fault_names[kind], faults[kind].count);
        print_text(faults[kind].example);
        printf("}");
        comma = ",";
    }
    printf("},\"errors_total\":%lu", report_faults());
}

static void print_summary(const struct report *report, double seconds, double cpu)
{
    printf("%lu sessions in %.2f s: %.1f a second, %.1f MB/s; generator CPU %.2f s; %lu errors\n", report->sessions,
           seconds, (double)report->sessions / seconds, (double)report->octets / 1e6 / seconds, cpu, report_faults());
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        if (faults[kind].count)
            printf("%s: %lu, first: %s\n", fault_names[kind], faults[kind].count, faults[kind].example);
}

void report_print(const struct report *report, bool json)
{
    struct rusage usage;
    double seconds = report->seconds > 0 ? report->seconds : 1;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (!json) {
        print_summary(report, seconds, cpu);
        return;
    }
    printf("{\"seconds\":%.6f,\"sessions\":%lu,\"sessions_all\":%lu,\"messages\":%lu,\"octets\":%lu,", seconds,
           report->sessions, report->sessions_all, report->messages, report->octets);
    printf("\"sessions_per_second\":%.2f,\"megabytes_per_second\":%.3f,\"generator_cpu_seconds\":%.6f,\"tls\":",
           (double)report->sessions / seconds, (double)report->octets / 1e6 / seconds, cpu);
    print_text(report->tls);
    putchar(',');
    print_latencies();
    print_faults();
    printf("}\n");
}
