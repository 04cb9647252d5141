package trace

import (
	"testing"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
)

// A request that was under way when its partition was cut may have been written whole, and be in the
// log: what the next start says of its own first request says nothing about it.
func TestTracesRequestOfTheStartBefore(t *testing.T) {
	needsRoom(t)
	const p1, p2 = 0, 1
	of := func(partition int, kind core.Event, state core.State) record.Event {
		return record.Event{Kind: kind, Topic: "t", Partition: partition, State: state}
	}
	sent := func(kind core.Event, m core.Message, epoch int16) record.Event {
		e := of(p1, kind, core.Writing)
		if kind == core.EventTake {
			e.State, e.N = core.Waiting, 1
		}
		e.Request = core.Request{ID: 7, Epoch: epoch, Messages: []core.Run{{First: m, Last: m}}, Len: 1}
		return e
	}
	admitted := func(value string, as core.Message) record.Event {
		e := of(p1, core.EventAdmit, core.Empty)
		e.Values, e.First = []string{value}, as
		return e
	}
	decided := func(e record.Event, m core.Message, v core.Verdict) record.Event {
		e.Decided = []core.Decided{{Run: core.Run{First: m, Last: m}, Verdict: v}}
		return e
	}
	ok := decided(of(p1, core.EventAnswer, core.Empty), 2, core.Delivered)
	ok.Answer = core.Ok
	tr := &Trace{
		Name: "cut while it is written", Mode: Idempotent, Leader: Kafka, Limits: core.KafkaLimits,
		Events: []record.Event{
			{Kind: core.EventStart},
			admitted("a", 1), sent(core.EventTake, 1, 1), sent(core.EventSend, 1, 1),
			of(p1, core.EventStop, core.Writing), of(p2, core.EventStop, core.Empty),
			decided(of(p1, core.EventCut, core.Empty), 1, core.Maybe), of(p2, core.EventCut, core.Empty), // p1's first
			{Kind: core.EventStart},
			admitted("b", 2), sent(core.EventTake, 2, 2), sent(core.EventSend, 2, 2),
			of(p1, core.EventLose, core.Waiting), // not written whole: it says so of b
			sent(core.EventSend, 2, 2), of(p1, core.EventWrite, core.Writing), ok,
			of(p1, core.EventStop, core.Empty), of(p2, core.EventStop, core.Empty),
			of(p1, core.EventStopEnds, core.Empty), of(p2, core.EventStopEnds, core.Empty),
		},
		Logs: [][]Entry{{{"a", 7, 1}, {"b", 7, 2}}, nil},
		Told: map[string]core.Verdict{"a": core.Maybe, "b": core.Delivered},
	}
	if _, err := tr.Check(); err != nil {
		t.Errorf("refused: %v", err)
	}
	tr.Logs[p1] = tr.Logs[p1][1:] // it need not be there
	if _, err := tr.Check(); err != nil {
		t.Errorf("refused without a: %v", err)
	}
	tr.Told["a"] = core.Delivered
	if _, err := tr.Check(); err == nil {
		t.Error("accepted, with a message that was cut and told delivered")
	}
}
