// Package testbroker provides Kafka clusters for tests: embedded on the loopback, embedded on
// an in-memory network inside a testing/synctest bubble, or a real Apache Kafka that the
// environment names. A test for a Broker runs on all of them.
package testbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Env names a real cluster to test on: host:port[,host:port...].
const Env = "SURESTART_KAFKA"

// A Broker is a cluster.
type Broker struct {
	Name  string
	Addrs []string
	// Others are addresses of other listeners of the cluster.
	Others []string
	// Dial connects to it; nil: by net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Fake is the embedded cluster, with its faults; nil: a real one.
	Fake *kfake.Cluster
	// Net is the embedded cluster's network; nil: a real one.
	Net *Net
	// Options are the options that Client needs, for example for a login.
	Options []kgo.Opt

	dialled *dialled // on the in-memory network
}

// Each runs the test on every kind of broker, each in a subtest.
func Each(t *testing.T, test func(t *testing.T, b *Broker)) {
	t.Helper()
	EachFake(t, test)
	t.Run("kafka", func(t *testing.T) { test(t, Real(t)) })
}

// EachFake is Each for a test that needs features of the embedded broker.
func EachFake(t *testing.T, test func(t *testing.T, b *Broker), opts ...kfake.Opt) {
	t.Helper()
	EachCluster(t, 1, test, opts...)
}

// EachCluster is EachFake with n brokers.
func EachCluster(t *testing.T, n int, test func(t *testing.T, b *Broker), opts ...kfake.Opt) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) { test(t, fake(t, n, opts)) })
	t.Run("virtual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, virtual(t, n, opts)) })
	})
}

// Fake starts an embedded broker on the loopback.
func Fake(t testing.TB, opts ...kfake.Opt) *Broker { t.Helper(); return fake(t, 1, opts) }

// Virtual is Fake on an in-memory network, for a synctest bubble: there a minute passes at
// once.
func Virtual(t testing.TB, opts ...kfake.Opt) *Broker { t.Helper(); return virtual(t, 1, opts) }

// VirtualCluster is Virtual with n brokers.
func VirtualCluster(t testing.TB, n int, opts ...kfake.Opt) *Broker {
	t.Helper()
	return virtual(t, n, opts)
}

func fake(t testing.TB, n int, opts []kfake.Opt) *Broker {
	t.Helper()
	b := &Broker{Name: "kfake"}
	b.start(t, net.Listen, append(opts[:len(opts):len(opts)], kfake.NumBrokers(n)))
	return b
}

func virtual(t testing.TB, n int, opts []kfake.Opt) *Broker {
	t.Helper()
	ports := make([]int, n) // the in-memory network does not choose ports
	for i := range ports {
		ports[i] = 9092 + i
	}
	vn := new(kfake.VirtualNetwork)
	dialled := new(dialled)
	b := &Broker{Name: "virtual", Dial: dialled.counting(vn.DialContext), dialled: dialled}
	b.start(t, vn.Listen, append(opts[:len(opts):len(opts)], kfake.Ports(ports...)))
	return b
}

func (b *Broker) start(t testing.TB, listen func(network, address string) (net.Listener, error), opts []kfake.Opt) {
	t.Helper()
	b.Net = new(Net)
	c, err := kfake.NewCluster(append(opts[:len(opts):len(opts)], kfake.ListenFn(b.Net.listen(listen)))...)
	if err != nil {
		t.Fatalf("testbroker: start an embedded cluster: %v", err)
	}
	t.Cleanup(func() {
		b.Net.Thaw()
		c.Close()
	})
	b.Fake, b.Addrs = c, c.ListenAddrs()
}

// Accepted returns how many connections the embedded cluster has accepted so far.
func (b *Broker) Accepted() int { return int(b.Net.accepted.Load()) }

// Open returns how many connections the embedded cluster has open. It notices the end of a
// connection a moment after the client.
func (b *Broker) Open() int { return int(b.Net.accepted.Load() - b.Net.ended.Load()) }

// Real returns the cluster that the environment names, or skips the test.
func Real(t testing.TB) *Broker {
	t.Helper()
	addrs := os.Getenv(Env)
	if addrs == "" {
		Missing(t, "a real Apache Kafka: set "+Env+" to its host:port (./check kafka start prints it)")
	}
	return &Broker{Name: "kafka", Addrs: strings.Split(addrs, ",")}
}

// Missing skips the test because something is missing, or fails it if the environment
// requires everything.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("SURESTART_NO_SKIP") == "1" {
		t.Fatalf("missing, and SURESTART_NO_SKIP is set: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// Client returns a franz-go client of the cluster, independent of the code under test.
func (b *Broker) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(b.Addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
	opts = append(opts, b.Options...)
	if b.Dial != nil {
		opts = append(opts, kgo.Dialer(b.Dial))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatalf("testbroker: franz-go: %v", err)
	}
	return cl
}

var topics atomic.Int64

// TopicName returns a name that no topic has yet.
func TopicName() string {
	return fmt.Sprintf("t%d-%d-%d", os.Getpid(), time.Now().UnixNano(), topics.Add(1))
}

// CreateTopic creates a topic under a new name and waits until it has leaders. Its
// settings are name=value.
func (b *Broker) CreateTopic(t testing.TB, partitions int, settings ...string) string {
	t.Helper()
	name := TopicName()
	b.CreateTopicNamed(t, name, partitions, settings...)
	return name
}

// CreateTopicNamed is CreateTopic with a given name.
func (b *Broker) CreateTopicNamed(t testing.TB, name string, partitions int, settings ...string) {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, int32(partitions), -1
	for _, setting := range settings {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		name, value, _ := strings.Cut(setting, "=")
		c.Name, c.Value = name, &value
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(ctx, cl)
	for err != nil && ctx.Err() == nil { // a broker that ends idle connections soon may do it just now
		time.Sleep(10 * time.Millisecond)
		res, err = req.RequestWith(ctx, cl)
	}
	if err == nil && res.Topics[0].ErrorCode == kerr.InvalidReplicationFactor.Code { // before Kafka 2.4 there is no default
		req.Topics[0].ReplicationFactor = 1
		res, err = req.RequestWith(ctx, cl)
	}
	if err == nil && res.Topics[0].ErrorCode != kerr.TopicAlreadyExists.Code { // by a request without an answer
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("testbroker: create topic %s: %v", name, err)
	}
	for !b.hasLeaders(ctx, cl, name, partitions) {
		if ctx.Err() != nil {
			t.Fatalf("testbroker: topic %s has no leaders after a minute", name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// hasLeaders asks every broker: brokers learn of a topic at different times.
func (b *Broker) hasLeaders(ctx context.Context, cl *kgo.Client, name string, partitions int) bool {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, rt)
	ready := func(res *kmsg.MetadataResponse, err error) bool {
		if err != nil || len(res.Topics) != 1 || res.Topics[0].ErrorCode != 0 || len(res.Topics[0].Partitions) != partitions {
			return false
		}
		return !slices.ContainsFunc(res.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
			return p.ErrorCode != 0 || p.Leader < 0
		})
	}
	first, err := req.RequestWith(ctx, cl)
	if !ready(first, err) {
		return false
	}
	for _, broker := range first.Brokers {
		if !ready(req.RequestWith(ctx, cl.Broker(int(broker.NodeID)))) {
			return false
		}
	}
	return true
}

// Read returns every record of the topic, read with franz-go.
func (b *Broker) Read(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	var records []*kgo.Record
	b.ReadEach(t, topic, func(r *kgo.Record) { records = append(records, r) })
	return records
}

// ReadEach is Read for a topic that is too large for memory: it calls each with every record,
// in order for each partition.
func (b *Broker) ReadEach(t testing.TB, topic string, each func(*kgo.Record)) {
	t.Helper()
	const patience = time.Minute // for the next record
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl := b.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()

	read, want := int64(0), int64(0)
	for _, end := range b.ends(ctx, t, cl, topic) {
		want += end
	}
	for read < want {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		fetches := cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatalf("testbroker: read %s: %v (%d of %d records read)", topic, err, read, want)
		}
		fetches.EachRecord(each)
		read += int64(fetches.NumRecords())
	}
}

// ends returns the end offset of each partition; the topics start at 0.
func (b *Broker) ends(ctx context.Context, t testing.TB, cl *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	mreq := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = kmsg.StringPtr(topic)
	mreq.Topics = append(mreq.Topics, mt)
	mres, err := mreq.RequestWith(ctx, cl)
	if err != nil {
		t.Fatalf("testbroker: metadata of %s: %v", topic, err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, p := range mres.Topics[0].Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	for {
		ends, err := endsOf(cl.RequestSharded(ctx, req))
		if err == nil {
			return ends
		}
		// A new leader does not know the end yet.
		if !errors.Is(err, kerr.OffsetNotAvailable) && !errors.Is(err, kerr.NotLeaderForPartition) || ctx.Err() != nil {
			t.Fatalf("testbroker: end offsets of %s: %v", topic, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func endsOf(shards []kgo.ResponseShard) (map[int32]int64, error) {
	ends := make(map[int32]int64)
	for _, shard := range shards {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, rt := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, rp := range rt.Partitions {
				if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
					return nil, fmt.Errorf("partition %d: %w", rp.Partition, err)
				}
				ends[rp.Partition] = rp.Offset
			}
		}
	}
	return ends, nil
}
