/* What librdkafka alone costs: reads topics from their first to their last offset with the batch call, looks at nothing but
   lengths, and prints a line of JSON.

     bare SERVERS TOPIC[,TOPIC...] [KEY VALUE]...     keys and values are librdkafka's settings

   Topics must not have gaps in their offsets (transactions, compaction): it ends when so many records came as there are
   offsets. Exit status: 0 done, 1 failed, 2 bad input. consumer.sh compiles it. */
#include <rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 10000, ANSWER_MS = 10000, SILENCE_MS = 30000 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct rusage usage(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u;
}

static double cpu_seconds(void) {
    struct rusage u = usage();
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "bare: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *client(const char *servers, char **settings, int count) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *fixed[][2] = {
        {"bootstrap.servers", servers}, {"group.id", "bare"}, {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], error, sizeof error)) fail("setting", error);
    for (int i = 0; i + 1 < count; i += 2)
        if (rd_kafka_conf_set(conf, settings[i], settings[i + 1], error, sizeof error)) {
            fprintf(stderr, "bare: %s\n", error);
            exit(2);
        }
    rd_kafka_t *made = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!made) fail("client", error);
    return made;
}

/* Adds the partitions of a topic from their first offsets on, and returns how many offsets they have. */
static int64_t add_topic(rd_kafka_t *kafka, const char *topic, rd_kafka_topic_partition_list_t *list) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(kafka, topic, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(kafka, 0, handle, &metadata, ANSWER_MS);
    if (error) fail(topic, rd_kafka_err2str(error));
    int64_t total = 0;
    if (metadata->topics[0].err) fail(topic, rd_kafka_err2str(metadata->topics[0].err));
    for (int p = 0; p < metadata->topics[0].partition_cnt; p++) {
        int64_t first, end;
        error = rd_kafka_query_watermark_offsets(kafka, topic, p, &first, &end, ANSWER_MS);
        if (error) fail(topic, rd_kafka_err2str(error));
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = first;
        total += end - first;
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return total;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: bare SERVERS TOPIC[,TOPIC...] [KEY VALUE]...\n");
        return 2;
    }
    rd_kafka_t *kafka = client(argv[1], argv + 3, argc - 3);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    int64_t left = 0, records = 0, bytes = 0;
    int topics = 0;
    for (char *topic = strtok(argv[2], ","); topic; topic = strtok(NULL, ","), topics++) left += add_topic(kafka, topic, list);
    double began = seconds(), used = cpu_seconds(), heard = began;
    rd_kafka_poll_set_consumer(kafka);
    rd_kafka_resp_err_t error = rd_kafka_assign(kafka, list);
    if (error) fail("assignment", rd_kafka_err2str(error));
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(kafka);
    static rd_kafka_message_t *messages[BATCH];
    while (left > 0) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, messages, BATCH);
        for (ssize_t i = 0; i < got; i++) {
            if (!messages[i]->err) {
                left--, records++;
                bytes += (int64_t)(messages[i]->key_len + messages[i]->len);
            }
            rd_kafka_message_destroy(messages[i]);
        }
        if (got > 0) heard = seconds();
        else if (seconds() - heard > SILENCE_MS / 1e3) fail("reading", "nothing came for 30 s, and offsets are left");
    }
    printf("{\"what\":\"bare librdkafka %s\",\"topics\":%d,\"partitions\":%d,\"records\":%lld,\"bytes\":%lld,"
           "\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"memory_peak_bytes\":%lld}\n",
           rd_kafka_version_str(), topics, list->cnt, (long long)records, (long long)bytes, seconds() - began,
           cpu_seconds() - used, (long long)usage().ru_maxrss * 1024);
    return 0;
}
