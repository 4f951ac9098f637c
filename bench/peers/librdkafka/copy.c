/*
 * A copy loop on librdkafka that carries one backlog, exactly-once.
 *
 * As fast as such a loop gets: records taken 10,000 at a time from one queue, the fetch and batch sizes of a bulk
 * reader and writer, delivery reports for errors only, the library's back-off between fetches cut. Key, value,
 * headers and timestamp are handed on; the library copies them, since the consumed message goes back to it.
 */
#include <librdkafka/rdkafka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TAKEN_AT_ONCE 10000
#define MOST_PARTITIONS 64
#define TIMEOUT_MS 30000

static void fail(const char *what, const char *why) {
    fprintf(stderr, "librdkafka: %s: %s\n", what, why);
    exit(1);
}

static const char *argument(int argc, char **argv, const char *name) {
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
            return argv[i] + length + 1;
    fail(name, "is missing");
    return NULL;
}

static double seconds_of(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now))
        fail("clock_gettime", "failed");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long peak_bytes(void) {
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    if (!status)
        fail("/proc/self/status", "cannot be read");
    while (kib < 0 && fgets(line, sizeof line, status))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtol(line + 6, NULL, 10);
    fclose(status);
    if (kib < 0)
        fail("/proc/self/status", "tells no VmHWM");
    return kib * 1024;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        fail(name, why);
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer, (void)opaque;
    if (message->err)
        fail("produce", rd_kafka_err2str(message->err));
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *made = rd_kafka_new(type, conf, why, sizeof why);
    if (!made)
        fail("client", why);
    return made;
}

static rd_kafka_t *consumer_of(int argc, char **argv) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argument(argc, argv, "bootstrap"));
    set(conf, "group.id", argument(argc, argv, "target"));
    set(conf, "auto.offset.reset", "error");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.min.bytes", "65536");
    set(conf, "fetch.queue.backoff.ms", "10");
    set(conf, "isolation.level", "read_committed");
    set(conf, "max.partition.fetch.bytes", "4194304");
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(consumer);
    return consumer;
}

static rd_kafka_t *producer_of(int argc, char **argv) {
    char id[512];
    snprintf(id, sizeof id, "librdkafka.%s", argument(argc, argv, "target"));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argument(argc, argv, "bootstrap"));
    set(conf, "transactional.id", id);
    set(conf, "acks", "all");
    set(conf, "batch.num.messages", "10000");
    set(conf, "compression.type", argument(argc, argv, "codec"));
    set(conf, "delivery.report.only.error", "true");
    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", "50");
    set(conf, "partitioner", "murmur2_random");
    set(conf, "queue.buffering.max.messages", "500000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return client(RD_KAFKA_PRODUCER, conf);
}

/* ends=0:333,1:334: each partition of the source is read from its beginning. */
static rd_kafka_topic_partition_list_t *assigned(int argc, char **argv) {
    const char *at = argument(argc, argv, "ends");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(MOST_PARTITIONS);
    while (at && *at) {
        int partition = (int)strtol(at, NULL, 10);
        rd_kafka_topic_partition_list_add(list, argument(argc, argv, "source"), partition)->offset = 0;
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return list;
}

static void must(const char *what, rd_kafka_error_t *error) {
    if (error)
        fail(what, rd_kafka_error_string(error));
}

static void copy(rd_kafka_t *producer, rd_kafka_topic_t *target, rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_resp_err_t error;
    if (message->err)
        fail("consume", rd_kafka_message_errstr(message));
    if (!rd_kafka_message_headers(message, &headers))
        headers = rd_kafka_headers_copy(headers);
    for (;;) {
        error = rd_kafka_producev(producer, RD_KAFKA_V_RKT(target),
                                  RD_KAFKA_V_KEY(message->key, message->key_len),
                                  RD_KAFKA_V_VALUE(message->payload, message->len),
                                  RD_KAFKA_V_TIMESTAMP(rd_kafka_message_timestamp(message, NULL)),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        rd_kafka_poll(producer, 10);
    }
    if (error)
        fail("produce", rd_kafka_err2str(error));
}

static void commit(rd_kafka_t *producer, rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list) {
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(consumer);
    if (rd_kafka_position(consumer, list))
        fail("position", "is not known");
    must("offsets", rd_kafka_send_offsets_to_transaction(producer, list, group, TIMEOUT_MS));
    must("commit", rd_kafka_commit_transaction(producer, TIMEOUT_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
}

int main(int argc, char **argv) {
    static rd_kafka_message_t *taken[TAKEN_AT_ONCE];
    long records = strtol(argument(argc, argv, "records"), NULL, 10);
    long each = strtol(argument(argc, argv, "transaction_records"), NULL, 10);
    double began = seconds_of(CLOCK_MONOTONIC), cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID), running = 0;

    rd_kafka_t *consumer = consumer_of(argc, argv), *producer = producer_of(argc, argv);
    rd_kafka_topic_t *target = rd_kafka_topic_new(producer, argument(argc, argv, "target"), NULL);
    must("transactional id", rd_kafka_init_transactions(producer, TIMEOUT_MS));
    rd_kafka_topic_partition_list_t *list = assigned(argc, argv);
    if (rd_kafka_assign(consumer, list))
        fail("assign", "refused");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);

    long carried = 0, open = 0;
    while (carried < records) {
        long wanted = records - carried < TAKEN_AT_ONCE ? records - carried : TAKEN_AT_ONCE;
        ssize_t count = rd_kafka_consume_batch_queue(queue, 5000, taken, (size_t)wanted);
        if (count <= 0)
            fail("consume", "nothing came in 5 s");
        if (running == 0)
            running = seconds_of(CLOCK_MONOTONIC);
        if (open == 0)
            must("begin", rd_kafka_begin_transaction(producer));
        for (ssize_t i = 0; i < count; i++) {
            copy(producer, target, taken[i]);
            rd_kafka_message_destroy(taken[i]);
        }
        rd_kafka_poll(producer, 0);
        carried += count;
        open += count;
        if (open >= each || carried == records) {
            commit(producer, consumer, list);
            open = 0;
        }
    }
    double now = seconds_of(CLOCK_MONOTONIC);
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"running_s\": %.6f, \"peak_bytes\": %ld}\n",
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before, now - began, now - running, peak_bytes());
    fflush(stdout);
    rd_kafka_topic_destroy(target);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    rd_kafka_destroy(producer);
    return 0;
}
