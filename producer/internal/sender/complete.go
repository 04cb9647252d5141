package sender

import (
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// A Completer calls a user's function with every admitted message and its verdict, once. It copies
// the messages, so partitions need not wait for it.
//
// For messages that were sent, the sender calls the function, and the calls of these messages wait
// for it, until they leave. For messages that were withdrawn or cut off, a separate goroutine calls it.
type Completer struct {
	f      func(msgs []kafka.Message, failure Failure)
	charge func(int64)

	mu      sync.Mutex
	queue   []*completion
	running bool // a goroutine works on the queue
	// rounds have completions that have not returned. New completions join the last round, unless a
	// Returned waits for it.
	rounds []*round
	// awaited are the completions that calls may wait for.
	awaited map[*completion]struct{}
}

// A round is the completions that began between two calls of Returned.
type round struct {
	pending  int
	returned chan struct{} // closed when these and all before have returned; nil: no goroutine waits
}

// NewCompleter returns a Completer for f, whose messages are valid until it returns. charge counts
// the memory of the copies.
func NewCompleter(f func(msgs []kafka.Message, failure Failure), charge func(int64)) *Completer {
	return &Completer{f: f, charge: charge, awaited: make(map[*completion]struct{})}
}

// A completion is messages of a partition with the same verdict.
type completion struct {
	msgs    []kafka.Message
	slots   []slot // one for each message, whose call waits for it if it is not nil; empty: none waits
	bytes   []byte
	headers []kafka.Header
	failure Failure
	round   *round
}

var completions = sync.Pool{New: func() any { return new(completion) }}

// add copies n messages of a chunk, from a place on. offset is that of the batch, or -1. With wait,
// the calls receive their verdicts after the completion.
func (x *completion) add(p *Partition, ch *chunk, place, n int, offset int64, wait bool) {
	for i, r := range ch.b.Records() {
		if i < place {
			continue
		}
		if i == place+n {
			return
		}
		s := ch.slots[i]
		m := kafka.Message{
			Topic: p.topic, Partition: int(p.number), Offset: -1, Time: r.Time,
			Key: x.copied(r.Key), Value: x.copied(r.Value), WriterData: s.call.dataOf(s.index),
		}
		if offset >= 0 {
			m.Offset = offset + int64(i)
		}
		first := len(x.headers)
		x.headers = r.AppendHeaders(x.headers)
		for k := first; k < len(x.headers); k++ {
			x.headers[k].Value = x.copied(x.headers[k].Value)
		}
		if len(x.headers) > first {
			m.Headers = x.headers[first:len(x.headers):len(x.headers)]
		}
		x.msgs = append(x.msgs, m)
		if wait {
			x.slots = append(x.slots, s)
		}
	}
}

// copied copies bytes. Earlier copies stay in place.
func (x *completion) copied(b []byte) []byte {
	if b == nil {
		return nil
	}
	if cap(x.bytes)-len(x.bytes) < len(b) {
		x.bytes = make([]byte, 0, max(2*cap(x.bytes), len(b), 1<<10))
	}
	x.bytes = append(x.bytes, b...)
	return x.bytes[len(x.bytes)-len(b) : len(x.bytes) : len(x.bytes)]
}

// begin counts a completion that will be run.
func (c *Completer) begin(x *completion) {
	c.charge(int64(cap(x.bytes)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(x.slots) > 0 {
		c.awaited[x] = struct{}{}
		x.resolve(func(call *Call) bool { return call.leaves })
	}
	last := len(c.rounds) - 1
	if last < 0 || c.rounds[last].returned != nil {
		c.rounds = append(c.rounds, new(round))
		last++
	}
	x.round = c.rounds[last]
	x.round.pending++
}

// leave lets a call have its verdicts without waiting for completions, from now on.
func (c *Completer) leave(call *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.leaves = true
	for x := range c.awaited {
		x.resolve(func(waits *Call) bool { return waits == call })
	}
}

// resolve passes the verdict to some of the calls that wait.
func (x *completion) resolve(which func(*Call) bool) {
	for i, s := range x.slots {
		if s.call == nil || !which(s.call) {
			continue
		}
		x.slots[i].call = nil
		if x.failure.Verdict != 0 {
			s.call.fail(s.index, x.failure)
		}
		s.call.decided(1)
	}
}

// run calls the function, and then passes the verdicts to the calls. The function runs in a
// goroutine of its own, so a runtime.Goexit in it does not end a sender.
func (c *Completer) run(x *completion) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		c.f(x.msgs, x.failure)
	}()
	<-returned
	c.mu.Lock()
	delete(c.awaited, x)
	c.mu.Unlock()
	x.resolve(func(*Call) bool { return true })
	c.charge(-int64(cap(x.bytes)))
	clear(x.msgs)
	clear(x.slots)
	clear(x.headers)
	r := x.round
	*x = completion{msgs: x.msgs[:0], slots: x.slots[:0], headers: x.headers[:0], bytes: x.bytes[:0]}
	completions.Put(x)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.pending--
	for len(c.rounds) > 0 && c.rounds[0].pending == 0 {
		if c.rounds[0].returned != nil {
			close(c.rounds[0].returned)
		}
		c.rounds = slices.Delete(c.rounds, 0, 1)
	}
}

// later runs completions in a goroutine.
func (c *Completer) later(list []*completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, list...)
	if len(c.queue) > 0 && !c.running {
		c.running = true
		go c.work()
	}
}

func (c *Completer) work() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		x := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.mu.Unlock()
		c.run(x)
	}
}

// Returned returns a channel that is closed when every call of the function that is due or running
// now has returned, and the waiting calls have their verdicts.
func (c *Completer) Returned() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rounds) == 0 {
		return closed
	}
	last := c.rounds[len(c.rounds)-1]
	if last.returned == nil {
		last.returned = make(chan struct{})
	}
	return last.returned
}
