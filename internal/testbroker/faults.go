package testbroker

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Hang makes the embedded cluster accept requests and never answer them.
type Hang struct {
	on   atomic.Bool
	hits atomic.Int64
}

// Hang swallows requests of the keys, or all requests if no key is given, while it is on. It
// is on at first.
func (b *Broker) Hang(keys ...kmsg.Key) *Hang {
	h := new(Hang)
	h.on.Store(true)
	swallow := func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if !h.on.Load() {
			return nil, nil, false
		}
		h.hits.Add(1)
		return nil, nil, true
	}
	if len(keys) == 0 {
		b.Fake.Control(swallow)
	}
	for _, k := range keys {
		b.Fake.ControlKey(k.Int16(), swallow)
	}
	return h
}

// Set switches it on or off. Requests that were swallowed stay unanswered.
func (h *Hang) Set(on bool) { h.on.Store(on) }

// Hits returns how many requests were swallowed.
func (h *Hang) Hits() int { return int(h.hits.Load()) }

// AppendThenAnswer makes the embedded cluster append the messages of n produce requests to
// the topic, and answer them with an error: as a leader does that is replaced while it waits
// for its replicas. -1 means all requests.
func (b *Broker) AppendThenAnswer(topic string, answer *kerr.Error, n int) *kfake.FaultHandle {
	after := kerr.NotEnoughReplicasAfterAppend // only with this error the cluster appends
	b.Net.Altered(func(res []byte) {
		// A topic's name is followed by the number of its partitions, the first one's
		// number, and its error.
		at := bytes.Index(res, []byte(topic)) + len(topic) + 4 + 4
		if at < len(topic)+4+4 || at+2 > len(res) {
			return
		}
		if code := res[at : at+2]; binary.BigEndian.Uint16(code) == uint16(after.Code) {
			binary.BigEndian.PutUint16(code, uint16(answer.Code))
		}
	})
	return b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: after, Count: n})
}

// replaced numbers the replacement nodes: each has a port of its own.
var replaced atomic.Int32

// Remove removes a node of the embedded cluster for good: its connections break, and every
// partition gets a random leader.
func (b *Broker) Remove(node int32) {
	if err := b.Fake.RemoveNode(node); err != nil {
		panic("testbroker: " + err.Error())
	}
	b.Addrs = b.Fake.ListenAddrs()
}

// Replace removes a node as Remove does, and adds another node at another address.
func (b *Broker) Replace(node int32) {
	b.Remove(node)
	port := 0
	if b.Dial != nil { // the in-memory network does not choose a port
		port = 20000 + int(replaced.Add(1))
	}
	if _, _, err := b.Fake.AddNode(-1, port); err != nil {
		panic("testbroker: " + err.Error())
	}
	b.Addrs = b.Fake.ListenAddrs()
}
