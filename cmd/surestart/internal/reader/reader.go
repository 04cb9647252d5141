// Package reader reads a topic with franz-go, which shares no code with the producer.
package reader

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offsets returns where each partition of a topic starts and ends.
func Offsets(ctx context.Context, client *kgo.Client, topic string) (starts, ends map[int32]int64, err error) {
	meta, err := (&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{Topic: &topic}}}).RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(meta.Topics[0].ErrorCode)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the partitions of topic %s: %w", topic, err)
	}
	partitions := meta.Topics[0].Partitions
	if starts, err = offsets(ctx, client, topic, partitions, -2); err != nil {
		return nil, nil, err
	}
	ends, err = offsets(ctx, client, topic, partitions, -1)
	return starts, ends, err
}

// offsets asks for the offsets at a time; Kafka's times for the start and the end are -2 and -1.
func offsets(ctx context.Context, client *kgo.Client, topic string, partitions []kmsg.MetadataResponseTopicPartition, at int64) (map[int32]int64, error) {
	ask := kmsg.ListOffsetsRequestTopic{Topic: topic}
	for _, p := range partitions {
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p.Partition, at
		ask.Partitions = append(ask.Partitions, one)
	}
	res, err := (&kmsg.ListOffsetsRequest{ReplicaID: -1, Topics: []kmsg.ListOffsetsRequestTopic{ask}}).RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("the offsets of topic %s: %w", topic, err)
	}
	found := make(map[int32]int64)
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("the offset of %s/%d: %w", topic, p.Partition, err)
			}
			found[p.Partition] = p.Offset
		}
	}
	return found, nil
}

// Patience is how long Read waits for a record. Tests shorten it.
var Patience = 30 * time.Second

// Read calls each with the records of a topic, from the offsets from to the offsets to, until each
// returns false. It fails if no record arrives within Patience: a leader is down, or the remaining
// records have been deleted. If to is nil, it continues until ctx ends.
func Read(ctx context.Context, topic string, from, to map[int32]int64, opts []kgo.Opt, each func(*kgo.Record) bool) error {
	begin := make(map[int32]kgo.Offset)
	for p, at := range from {
		if to == nil || to[p] > at {
			begin[p] = kgo.NewOffset().At(at)
		}
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.FetchMaxWait(100 * time.Millisecond), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: begin})}, opts...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(begin) > 0 {
		fetches, waited := poll(ctx, client, to != nil)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case waited:
			return fmt.Errorf("reading topic %s: no message for %v from %s: a leader does not answer, or they have been deleted meanwhile", topic, Patience, rest(begin, to))
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			end, bounded := to[r.Partition]
			if !r.Attrs.IsControl() && (!bounded || r.Offset < end) && !each(r) {
				return nil
			}
			begin[r.Partition] = kgo.NewOffset().At(r.Offset + 1)
			if bounded && r.Offset >= end-1 {
				delete(begin, r.Partition)
			}
		}
	}
	return nil
}

// poll returns the next records. waited reports that ctx ended or, if counts is set, that Patience
// passed before any arrived.
func poll(ctx context.Context, client *kgo.Client, counts bool) (fetches kgo.Fetches, waited bool) {
	if counts {
		limited, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		ctx = limited
	}
	fetches = client.PollFetches(ctx)
	return fetches, ctx.Err() != nil && fetches.NumRecords() == 0
}

// rest lists the partitions that have not been read to their end.
func rest(at map[int32]kgo.Offset, to map[int32]int64) string {
	var all []string
	for _, p := range slices.Sorted(maps.Keys(at)) {
		all = append(all, fmt.Sprintf("partition %d (it is at %d of %d)", p, at[p].EpochOffset().Offset, to[p]))
	}
	return strings.Join(all, ", ")
}
