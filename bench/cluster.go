package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A cluster is the broker that the clients produce to, in a process of its own.
type cluster struct {
	name, addr string
	profiles   string // the directory for profiles of duels; none: none are taken
	stop       func()
	client     *kafka.Client
}

// blackHole names the broker that acknowledges messages and discards them.
const blackHole = "black hole"

// partitions is the number of partitions of a topic, unless a part needs another.
const partitions = 4

func newCluster(name, addr string, stop func()) *cluster {
	return &cluster{name: name, addr: addr, stop: stop, client: &kafka.Client{Addr: kafka.TCP(addr), Timeout: 30 * time.Second, Transport: new(kafka.Transport)}}
}

// apache starts Apache Kafka, or uses the one that SURESTART_KAFKA names.
func apache(ctx context.Context) (*cluster, error) {
	const name = "Apache Kafka"
	if addr := os.Getenv("SURESTART_KAFKA"); addr != "" {
		return newCluster(name, addr, func() {}), nil
	}
	dir, err := os.MkdirTemp("", "surestart-bench-")
	if err != nil {
		return nil, err
	}
	stop := func() {
		cmd, err := testbroker.KafkaCommand(context.Background(), "stop", "-dir", dir)
		var out []byte
		if err == nil {
			out, err = cmd.CombinedOutput()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: Apache Kafka could not be stopped: %v: %s\n", err, out)
		}
		os.RemoveAll(dir)
	}
	cmd, err := testbroker.KafkaCommand(ctx, "start", "-dir", dir)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		stop()
		return nil, fmt.Errorf("%v: %w", cmd, err)
	}
	return newCluster(name, strings.TrimSpace(string(out)), stop), nil
}

// embedded starts kfake, in a child of this program. A black hole acknowledges messages and
// discards them, so that only the client is measured.
func embedded(ctx context.Context, blackhole bool) (*cluster, error) {
	kind := "kfake"
	if blackhole {
		kind = blackHole
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-child", "broker:"+kind)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	in, err := cmd.StdinPipe() // its end tells the child that we are gone
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		return nil, fmt.Errorf("the embedded broker: %w", errors.Join(err, cmd.Wait()))
	}
	return newCluster(kind, addr, func() { in.Close(); _ = cmd.Wait() }), nil
}

// serve is the child that runs an embedded broker, until its input ends.
func serve(kind string) error {
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if kind == blackHole {
		opts = append(opts, kfake.BlackholeProduce())
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println(c.ListenAddrs()[0])
	gone, interrupted := make(chan struct{}), make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		defer close(gone)
		_, _ = os.Stdin.Read(make([]byte, 1))
	}()
	select {
	case <-gone:
	case <-interrupted:
	}
	return nil
}

// topic makes a new topic and waits until its leaders are known.
func (c *cluster) topic(ctx context.Context) (string, error) { return c.topicOf(ctx, partitions) }

// topics counts the topics of all clusters, so that no two have the same name.
var topics atomic.Int64

// topicOf is topic with a given number of partitions.
func (c *cluster) topicOf(ctx context.Context, n int) (string, error) {
	name := fmt.Sprintf("bench-%d-%d", os.Getpid(), topics.Add(1))
	res, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: n, ReplicationFactor: 1}}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil {
		return "", fmt.Errorf("make the topic %s: %w", name, err)
	}
	for {
		if _, err = c.endsOf(ctx, name, n); err == nil {
			return name, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the topic %s: %w", name, err)
		}
	}
}

// touch writes to each partition until the broker's files are ready, and returns how many messages
// it wrote. At the first message of a leader, the broker writes its epoch to the disk. After 4 KiB
// it writes the first entries of the index files, which have no blocks before. Each takes
// milliseconds.
func (c *cluster) touch(ctx context.Context, topic string, partitions int) (n int64, err error) {
	for p := range partitions {
		for range 2 {
			first := kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(make([]byte, 5000))})
			res, err := c.client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: p, RequiredAcks: kafka.RequireAll, Records: first})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				return n, fmt.Errorf("write to partition %d: %w", p, err)
			}
			n++
		}
	}
	return n, nil
}

// remove deletes a topic, so that the broker's disk does not fill.
func (c *cluster) remove(ctx context.Context, topic string) error {
	_, err := c.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	return err
}

// ends returns the number of messages in the topic.
func (c *cluster) ends(ctx context.Context, topic string) (int64, error) {
	return c.endsOf(ctx, topic, partitions)
}

func (c *cluster) endsOf(ctx context.Context, topic string, partitions int) (int64, error) {
	var ask []kafka.OffsetRequest
	for p := range partitions {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return 0, p.Error
		}
		n += p.LastOffset
	}
	return n, nil
}

// measured calls f with a topic of its own. It checks that the topic holds what was acknowledged,
// and removes it.
func (c *cluster) measured(partitions int, f func(topic string) (acknowledged int64, err error)) error {
	topic, err := c.topicOf(background, partitions)
	if err != nil {
		return err
	}
	sent, err := f(topic)
	if err != nil {
		return err
	}
	if c.name != blackHole {
		if n, err := c.endsOf(background, topic, partitions); err != nil || n != sent {
			return fmt.Errorf("%d messages were acknowledged, the topic holds %d (%v)", sent, n, err)
		}
	}
	return c.remove(background, topic)
}

// size returns the number of bytes in the logs of the topic.
func (c *cluster) size(ctx context.Context, topic string) (n int64, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	res, err := kmsg.NewPtrDescribeLogDirsRequest().RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	for _, dir := range res.Dirs {
		for _, t := range dir.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic {
					n += p.Size
				}
			}
		}
	}
	return n, nil
}
