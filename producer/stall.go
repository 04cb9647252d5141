package producer

import (
	"reflect"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafka-go makes the memory of a full batch for the first message of each. While
// results come that matters little: there are few batches at a time. But a lane that
// is stalled queues what comes, and messages that come one by one are a batch each:
// then whoever opens a batch pays for it from the budget. When all is well, that
// costs nobody anything.

// stallAfter is how long a batch is under way before its lane counts as stalled.
const stallAfter = 20 * time.Millisecond

// stall notices that a lane has stalled.
type stall struct {
	lanes  *atomic.Int32 // how many have
	timer  *time.Timer
	state  atomic.Int32
	opened atomic.Int64 // when the latest batch was opened, by the clock of the session
}

const (
	moving = iota
	timed
	stalled
)

func (s *stall) begin() {
	s.state.Store(timed)
	if s.timer == nil {
		s.timer = time.AfterFunc(stallAfter, s.fire)
	} else {
		s.timer.Reset(stallAfter)
	}
}

// fire may come late, and meet the next batch: which stalls a little early then.
func (s *stall) fire() {
	if s.state.CompareAndSwap(timed, stalled) {
		s.lanes.Add(1)
	}
}

func (s *stall) end() {
	s.timer.Stop()
	if s.state.Swap(moving) == stalled {
		s.lanes.Add(-1)
	}
}

// charge makes the call pay for the batch that its message opens, if it does, in
// advance of what the budget has: there is no waiting here.
func (s *session) charge(c *call, topic string, partition int) {
	if s.courier.stalled.Load() == 0 {
		return
	}
	if topic == "" {
		topic = s.cfg.Topic
	}
	opened := &s.courier.lane(topic, int32(partition)).stall.opened
	now, last := int64(time.Since(s.began)), opened.Load()
	if last != 0 && now-last < int64(s.cfg.Linger) || !opened.CompareAndSwap(last, now) {
		return
	}
	c.batches += s.p.budget.force(int64(s.cfg.BatchSize) * messageSize)
}

var messageSize = int64(reflect.TypeFor[kafka.Message]().Size())
