package sender

import (
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
)

// A recorded core is the core of a partition that reports its events to Config.Record. It does not
// report refused events.
type recorded struct {
	*core.Partition
	p *Partition
}

// note reports an event, if there is a Record, and returns the error.
func (r recorded) note(err error, kind core.Event, event func() record.Event) error {
	if err != nil || r.p.cfg.Record == nil {
		return err
	}
	e := event()
	e.Kind, e.Topic, e.Partition, e.State = kind, r.p.topic, int(r.p.number), r.State()
	r.p.cfg.Record(e)
	return nil
}

func plain() record.Event { return record.Event{} }

// admitted reports that these messages were admitted: msgs[at], and those that next links to it.
func (r recorded) admitted(first core.Message, msgs []kafka.Message, next []int32, at int32) {
	_ = r.note(nil, core.EventAdmit, func() record.Event {
		e := record.Event{First: first}
		for i := at; i >= 0; i = next[i] {
			e.Values = append(e.Values, string(msgs[i].Value))
		}
		return e
	})
}

func (r recorded) Withdraw(m core.Message) (core.Outcome, error) {
	out, err := r.Partition.Withdraw(m)
	return out, r.note(err, core.EventWithdraw, func() record.Event { return record.Event{First: m}.Led(out) })
}

func (r recorded) Take(n int) (core.Request, error) {
	req, err := r.Partition.Take(n)
	return req, r.note(err, core.EventTake, func() record.Event { return record.Event{N: n}.Asked(req) })
}

func (r recorded) Send() (core.Request, error) {
	req, err := r.Partition.Send()
	return req, r.note(err, core.EventSend, func() record.Event { return record.Event{}.Asked(req) })
}

func (r recorded) Write() error { return r.note(r.Partition.Write(), core.EventWrite, plain) }

func (r recorded) Lose() (core.Outcome, error) {
	out, err := r.Partition.Lose()
	return out, r.note(err, core.EventLose, func() record.Event { return record.Event{}.Led(out) })
}

func (r recorded) Answer(a core.Answer, records []int32) (core.Outcome, error) {
	out, err := r.Partition.Answer(a, records)
	return out, r.note(err, core.EventAnswer, func() record.Event {
		return record.Event{Answer: a, Records: slices.Clone(records)}.Led(out)
	})
}

func (r recorded) HandedOver() (core.Outcome, error) {
	out, err := r.Partition.HandedOver()
	return out, r.note(err, core.EventHandedOver, func() record.Event { return record.Event{}.Led(out) })
}

func (r recorded) Stop() error     { return r.note(r.Partition.Stop(), core.EventStop, plain) }
func (r recorded) StopEnds() error { return r.note(r.Partition.StopEnds(), core.EventStopEnds, plain) }
func (r recorded) Free() error     { return r.note(r.Partition.Free(), core.EventFree, plain) }

func (r recorded) Cut() (core.Outcome, error) {
	out, err := r.Partition.Cut()
	return out, r.note(err, core.EventCut, func() record.Event { return record.Event{}.Led(out) })
}
