package testbroker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Lead makes node the leader of a partition, and reports whether it is: node becomes the
// first replica, which is then elected. Lead sends requests to node only; other nodes may
// hang if they are not among Addrs.
func (b *Broker) Lead(t testing.TB, topic string, partition, node int32) bool {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, p := range b.describe(ctx, cl, topic) {
		if p.Partition != partition {
			continue
		}
		order := append([]int32{node}, slices.DeleteFunc(slices.Clone(p.Replicas), func(n int32) bool { return n == node })...)
		assign := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		at := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		ap := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		ap.Partition, ap.Replicas = partition, order
		at.Topic, at.Partitions = topic, append(at.Partitions, ap)
		assign.Topics = append(assign.Topics, at)
		if _, err := assign.RequestWith(ctx, cl.Broker(int(node))); err != nil {
			return false
		}
		elect := kmsg.NewPtrElectLeadersRequest() // preferred
		et := kmsg.NewElectLeadersRequestTopic()
		et.Topic, et.Partitions = topic, []int32{partition}
		elect.Topics = append(elect.Topics, et)
		res, err := elect.RequestWith(ctx, cl.Broker(int(node)))
		if err != nil || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return false
		}
		err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
		return err == nil || err == kerr.ElectionNotNeeded
	}
	return false
}

// Leaders returns the leader of each partition, -1 for one that has none.
func (b *Broker) Leaders(t testing.TB, topic string) map[int32]int32 {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	leaders := make(map[int32]int32)
	for _, p := range b.describe(ctx, cl, topic) {
		leaders[p.Partition] = p.Leader
	}
	return leaders
}

// AwaitInSync waits until each partition has a leader and n in-sync replicas.
func (b *Broker) AwaitInSync(t testing.TB, topic string, n int) {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		partitions := b.describe(ctx, cl, topic)
		bad := slices.IndexFunc(partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
			return p.Leader < 0 || len(p.ISR) != n
		})
		if bad < 0 && len(partitions) > 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("testbroker: %s has not %d in-sync replicas after two minutes: %+v", topic, n, partitions)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// describe returns the metadata of a topic; nil if no broker answers.
func (b *Broker) describe(ctx context.Context, cl *kgo.Client, topic string) []kmsg.MetadataResponseTopicPartition {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(ctx, cl)
	if err != nil || len(res.Topics) != 1 {
		return nil
	}
	return res.Topics[0].Partitions
}

// Size returns how many bytes of a partition's log a node has, committed or not.
func (b *Broker) Size(t testing.TB, topic string, partition, node int32) int64 {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req := kmsg.NewPtrDescribeLogDirsRequest()
	rt := kmsg.NewDescribeLogDirsRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{partition}
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(ctx, cl.Broker(int(node)))
	if err != nil {
		t.Fatalf("testbroker: the log of %s/%d on node %d: %v", topic, partition, node, err)
	}
	size := int64(0)
	for _, dir := range res.Dirs {
		for _, rt := range dir.Topics {
			for _, rp := range rt.Partitions {
				size += rp.Size
			}
		}
	}
	return size
}
