package testbroker

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Hang makes the embedded cluster accept requests and never answer them.
type Hang struct {
	on   atomic.Bool
	hits atomic.Int64
}

// Hang swallows requests of the keys, all if none is given, while it is on; it
// begins switched on.
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

// Hits is how many requests were swallowed.
func (h *Hang) Hits() int { return int(h.hits.Load()) }

// replaced numbers the nodes that took another's place: each has a port of its own.
var replaced atomic.Int32

// Replace removes a node of the embedded cluster, for good, and adds another one at
// another address. Every partition gets a leader at random.
func (b *Broker) Replace(node int32) {
	err := b.Fake.RemoveNode(node)
	if err == nil {
		port := 0
		if b.Dial != nil { // the in-memory network chooses none
			port = 20000 + int(replaced.Add(1))
		}
		_, _, err = b.Fake.AddNode(-1, port)
	}
	if err != nil {
		panic("testbroker: " + err.Error())
	}
	b.Addrs = b.Fake.ListenAddrs()
}
