package producer

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	dayNodes      = 3
	dayPartitions = 6
)

// dayFault is a fault that lasts until the function that begin returns ends it.
type dayFault struct {
	name  string
	begin func() (repair func())
}

func dayFaults(s *day) []dayFault {
	n, fake := s.b.Net, s.b.Fake
	nothing := func() {}
	faults := []dayFault{
		{"nothing", func() func() { return nothing }},
		{"freeze", func() func() { n.Freeze(); return n.Thaw }},
		{"cut", func() func() { n.Cut(); return n.Cut }},
		{"drip", func() func() { n.Drip(upTo(s.r, 20*time.Millisecond)); return func() { n.Drip(0) } }},
		{"sessions expire", func() func() {
			n.Lifetime(time.Second + upTo(s.r, 2*time.Second))
			return func() { n.Lifetime(0) }
		}},
		{"idle connections are closed", func() func() { n.Idle(time.Second); return func() { n.Idle(0) } }},
		{"leaders move", func() func() { fake.ShufflePartitionLeaders(); return fake.ShufflePartitionLeaders }},
		{"a node is killed", func() func() {
			node := s.r.IntN(dayNodes)
			n.Kill(node)
			return func() { n.Revive(node) }
		}},
		{"a node is killed, others take over", func() func() {
			node := s.r.IntN(dayNodes)
			n.Kill(node)
			for i := range int32(dayPartitions) {
				if fake.LeaderFor(s.topic, i) == int32(node) {
					if err := fake.MoveTopicPartition(s.topic, i, int32(node+1+s.r.IntN(dayNodes-1))%dayNodes); err != nil {
						s.t.Error(err)
					}
				}
			}
			return func() { n.Revive(node) }
		}},
		{"all nodes are killed", func() func() {
			for node := range dayNodes {
				n.Kill(node)
			}
			return func() {
				for node := range dayNodes {
					n.Revive(node)
				}
			}
		}},
		{"requests are cut and held back, answers lost", func() func() {
			s.lossy.Cuts.Store(20)
			s.lossy.Losses.Store(50)
			s.lossy.Holds.Store(100)
			return s.lossy.Calm
		}},
		{"dials are refused", func() func() { s.net.refuse.Store(true); return func() { s.net.refuse.Store(false) } }},
		{"dials are swallowed", func() func() { s.net.swallow.Store(true); return func() { s.net.swallow.Store(false) } }},
	}
	for _, answer := range []*kerr.Error{
		kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.NotLeaderForPartition,
		kerr.UnknownTopicOrPartition, kerr.MessageTooLarge, kerr.TopicAuthorizationFailed, kerr.UnknownServerError,
	} {
		faults = append(faults, dayFault{"produce: " + answer.Message, s.answers(kmsg.Produce, answer)})
	}
	for _, answer := range []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable} {
		faults = append(faults, dayFault{"metadata: " + answer.Message, s.answers(kmsg.Metadata, answer)})
	}
	faults = append(faults, dayFault{"list offsets: not leader", s.answers(kmsg.ListOffsets, kerr.NotLeaderForPartition)})
	for _, keys := range [][]kmsg.Key{{kmsg.Produce}, {kmsg.Metadata}, {kmsg.ListOffsets}, {kmsg.ApiVersions}, nil} {
		hang := s.b.Hang(keys...)
		hang.Set(false)
		name := "everything hangs"
		if keys != nil {
			name = keys[0].Name() + " hangs"
		}
		faults = append(faults, dayFault{name, func() func() { hang.Set(true); return func() { hang.Set(false) } }})
	}
	var closes, every atomic.Int32 // each so-many-th request is answered with a close
	fake.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		e := every.Load()
		return nil, io.EOF, e > 0 && closes.Add(1)%e == 0
	})
	return append(faults, dayFault{"some requests are answered with a close", func() func() {
		every.Store(1 + s.r.Int32N(10))
		return func() { every.Store(0) }
	}})
}

// answers makes requests fail: a few, or all until the fault ends.
func (s *day) answers(key kmsg.Key, answer *kerr.Error) func() func() {
	return func() func() {
		count := s.r.IntN(6)
		if count == 0 {
			count = -1
		}
		return s.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: s.topic, Err: answer, Count: count}).Remove
	}
}

// badDials is a network on the way to the cluster.
type badDials struct {
	dial            func(ctx context.Context, network, address string) (net.Conn, error)
	refuse, swallow atomic.Bool
}

func (d *badDials) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch {
	case d.refuse.Load():
		return nil, errRefused
	case d.swallow.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.dial(ctx, network, address)
}
