package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const messageSize = 100

// message is the n-th of a run: both are in it, and padding.
func message(run string, n int) kafka.Message {
	value := make([]byte, 0, messageSize)
	value = fmt.Appendf(value, "surestart-demo %s %d ", run, n)
	for len(value) < messageSize {
		value = append(value, '.')
	}
	return kafka.Message{Value: value}
}

// sequence is message's inverse; false for the messages of others.
func sequence(run string, value []byte) (int, bool) {
	fields := strings.SplitN(string(value), " ", 4)
	if len(fields) != 4 || fields[0] != "surestart-demo" || fields[1] != run {
		return 0, false
	}
	n, err := strconv.Atoi(fields[2])
	return n, err == nil
}

// offsets are where each partition of a topic ends.
type offsets map[int32]int64

// A reader is the independent client, franz-go: it shares no code with the producers.
type reader struct {
	brokers []string
	topic   string
}

func (r reader) ends(ctx context.Context) (offsets, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return r.endsBy(ctx, client)
}

func (r reader) endsBy(ctx context.Context, client *kgo.Client) (offsets, error) {
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(r.topic)
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = append(ask.Topics, topic)
	meta, err := ask.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("asking for the partitions of %s: %w", r.topic, err)
	}
	list := kmsg.NewPtrListOffsetsRequest()
	list.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = r.topic
	for _, t := range meta.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", r.topic, err)
		}
		for _, p := range t.Partitions {
			one := kmsg.NewListOffsetsRequestTopicPartition()
			one.Partition, one.Timestamp = p.Partition, -1
			of.Partitions = append(of.Partitions, one)
		}
	}
	list.Topics = append(list.Topics, of)
	res, err := list.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of %s: %w", r.topic, err)
	}
	ends := make(offsets)
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("the end of %s/%d: %w", r.topic, p.Partition, err)
			}
			ends[p.Partition] = p.Offset
		}
	}
	return ends, nil
}

// read calls each with everything that was appended since from.
func (r reader) read(ctx context.Context, from offsets, each func(value []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	begin := make(map[int32]kgo.Offset)
	for p, at := range from {
		begin[p] = kgo.NewOffset().At(at)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(r.brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: begin}),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := r.endsBy(ctx, client)
	if err != nil {
		return err
	}
	missing := make(map[int32]bool)
	for p, end := range ends {
		if end > from[p] {
			missing[p] = true
		}
	}
	for len(missing) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("reading %s back: %w", r.topic, context.Cause(ctx))
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("reading %s/%d back: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			each(record.Value)
			if record.Offset >= ends[record.Partition]-1 {
				delete(missing, record.Partition)
			}
		})
	}
	return nil
}
