// A copy loop on franz-go that carries one backlog, exactly-once.
//
// As fast as such a loop gets: polls of 10,000 records, batches of 1 MB after a linger of 20 ms, 200,000 records
// buffered, fetches of 4 MiB a partition, records handed on without a copy. It consumes in a group, as the
// library's transactional session wants it; GOGC=400 is set by whoever starts it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	takenAtOnce = 10_000
	mib         = 1 << 20
)

type order map[string]string

func readOrder() order {
	given := order{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		given[name] = value
	}
	return given
}

func (o order) number(name string) int {
	number, err := strconv.Atoi(o[name])
	if err != nil {
		fail(fmt.Errorf("%s=%s: %w", name, o[name], err))
	}
	return number
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "franz-go:", err)
	os.Exit(1)
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		fail(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func peakBytes() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				fail(err)
			}
			return kib * 1024
		}
	}
	fail(errors.New("the kernel tells no VmHWM"))
	return 0
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "none":
		return kgo.NoCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	fail(fmt.Errorf("no codec %s", name))
	return kgo.NoCompression()
}

func session(o order) *kgo.GroupTransactSession {
	made, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(o["bootstrap"]),
		kgo.TransactionalID("franz-go."+o["target"]),
		kgo.ConsumerGroup(o["target"]),
		kgo.ConsumeTopics(o["source"]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.FetchMinBytes(64<<10),
		kgo.FetchMaxPartitionBytes(4*mib),
		kgo.DefaultProduceTopic(o["target"]),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(codec(o["codec"])),
		kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedRecords(200_000),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	)
	if err != nil {
		fail(err)
	}
	return made
}

func main() {
	o := readOrder()
	records, each := o.number("records"), o.number("transaction_records")
	began, cpuBefore := time.Now(), cpuSeconds()
	var running time.Time
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s := session(o)

	carried, open := 0, 0
	for carried < records {
		fetches := s.PollRecords(ctx, takenAtOnce)
		for _, failed := range fetches.Errors() {
			fail(failed.Err)
		}
		if fetches.Empty() {
			continue
		}
		if running.IsZero() {
			running = time.Now()
		}
		if open == 0 {
			if err := s.Begin(); err != nil {
				fail(err)
			}
		}
		// Not a record's own Topic: that would send it back to where it came from.
		fetches.EachRecord(func(r *kgo.Record) {
			copied := kgo.Record{Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
			s.Produce(ctx, &copied, func(_ *kgo.Record, err error) {
				if err != nil {
					fail(err)
				}
			})
		})
		carried += fetches.NumRecords()
		open += fetches.NumRecords()
		if open >= each || carried >= records {
			committed, err := s.End(ctx, kgo.TryCommit)
			if err != nil || !committed {
				fail(fmt.Errorf("transaction not committed: %w", err))
			}
			open = 0
		}
	}
	told := map[string]any{
		"cpu_s":      cpuSeconds() - cpuBefore,
		"wall_s":     time.Since(began).Seconds(),
		"running_s":  time.Since(running).Seconds(),
		"peak_bytes": peakBytes(),
	}
	s.Close()
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}
