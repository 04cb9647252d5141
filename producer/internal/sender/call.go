package sender

import (
	"sync"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/internal/core"
)

// A Failure is why a message was not delivered.
type Failure struct {
	Verdict core.Verdict // NotSent, Rejected or Maybe; 0: delivered
	Cause   error
}

// A Call waits for the verdicts of messages. The zero Call waits for none.
//
// Begin it with Expect, let partitions admit its messages, and wait for Done. Then it may be used
// again.
type Call struct {
	left atomic.Int64
	done chan struct{}

	mu       sync.Mutex
	failures []Failure // one for each message; empty: none has failed
	count    int
	leaves   bool // it waits for no completion; under the Completer's mu

	// Began is when the call began, in Unix milliseconds: the time of messages without one.
	Began int64
	// Data are the WriterData of the messages; nil: none.
	Data []any
	// Offsets receive the offsets of delivered messages, as far as a broker reports them; nil: not
	// wanted.
	Offsets []atomic.Int64
	// Completer is that of the partitions; nil: there is none.
	Completer *Completer
	// Finished, if set before Expect, replaces Done: it is called when each message has its
	// verdict. It must not block or call a Partition.
	Finished func()
}

func (c *Call) dataOf(index int32) any {
	if c.Data == nil {
		return nil
	}
	return c.Data[index]
}

// Expect begins the call with n messages, at least one, numbered from 0.
func (c *Call) Expect(n int) {
	if c.done == nil && c.Finished == nil {
		c.done = make(chan struct{}, 1)
	}
	c.count, c.leaves = n, false
	c.failures = c.failures[:0]
	c.left.Store(int64(n))
}

// Done receives once, when each message has its verdict.
func (c *Call) Done() <-chan struct{} { return c.done }

// Failures returns why messages were not delivered, one for each message; nil if all were. It may
// be called after Done, until the next Expect.
func (c *Call) Failures() []Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		return nil
	}
	return c.failures
}

// Refuse records the verdict of a message that no partition admitted. Refused counts it.
func (c *Call) Refuse(index int32, f Failure) { c.fail(index, f) }

// Leave makes the call wait no longer for completions.
func (c *Call) Leave() {
	if c.Completer != nil {
		c.Completer.leave(c)
	}
}

// Hold keeps the call from ending until Release.
func (c *Call) Hold() { c.left.Add(1) }

// Release ends a Hold.
func (c *Call) Release() { c.decided(1) }

// Refused counts n refused messages.
func (c *Call) Refused(n int) { c.decided(int64(n)) }

// fail records the failure of a message. decided counts it.
func (c *Call) fail(index int32, f Failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		if cap(c.failures) < c.count {
			c.failures = make([]Failure, c.count)
		}
		c.failures = c.failures[:c.count]
		clear(c.failures)
	}
	c.failures[index] = f
}

// decided counts n messages with verdicts. After the last of them the call belongs to its waiter.
func (c *Call) decided(n int64) {
	if c.left.Add(-n) > 0 {
		return
	}
	if c.Finished != nil {
		c.Finished()
		return
	}
	c.done <- struct{}{}
}
