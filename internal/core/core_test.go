package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/core"
)

// deliver admits n messages to p, and has them delivered in one batch.
func deliver(p *core.Partition, n int) error {
	if _, err := p.Admit(n); err != nil {
		return err
	}
	if _, err := p.Take(n); err != nil {
		return err
	}
	if _, err := p.Send(); err != nil {
		return err
	}
	if err := p.Write(); err != nil {
		return err
	}
	out, err := p.Answer(core.Ok, nil)
	if err != nil {
		return err
	}
	if len(out.Decided) != 1 || out.Decided[0].Verdict != core.Delivered || int(out.Decided[0].Last-out.Decided[0].First) != n-1 {
		return fmt.Errorf("%v", out)
	}
	return nil
}

// The ring grows when it is full, and no sooner. One that never becomes large enough is noticed after ten seconds.
func TestMemoryOfAQueue(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := core.New(core.Acknowledged, nil)
		for _, one := range []struct{ n, want int }{{10, 16}, {6, 16}, {1, 32}, {111, 128}, {1, 256}} {
			if _, err := p.Admit(one.n); err != nil || p.Memory() != one.want {
				t.Errorf("with %d messages memory for %d, %v; want %d", p.Queued(), p.Memory(), err, one.want)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a message is not admitted after ten seconds")
	}
}

// The way of messages that meet no fault allocates nothing, also where they fill the ring.
func TestDeliveredWithoutAllocation(t *testing.T) {
	p := core.New(core.Idempotent, core.NewIDs(core.KafkaLimits, 7))
	if err := deliver(p, 1024); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if err := deliver(p, 1024); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The memory of a partition grows with the messages that wait, and not with those that have their verdict (D8).
func TestD8MemoryIsOfWhatWaits(t *testing.T) {
	p := core.New(core.Idempotent, core.NewIDs(core.KafkaLimits, 7))
	for range 1000 {
		if err := deliver(p, 1024); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Memory(); n > 2048 {
		t.Errorf("after a million messages, 1,024 at a time, memory for %d", n)
	}
}

// Where the messages fill the ring, the places before the first and behind the last are those of others: a message
// that is no longer there, or not there yet, is not taken for one of them.
func TestWithdrawAroundAFullRing(t *testing.T) {
	const ring = 16
	p := core.New(core.Acknowledged, nil)
	for first := core.Message(1); first < 3*ring; first++ {
		for p.Queued() < ring {
			if _, err := p.Admit(1); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []core.Message{first - 1, first + ring} {
			if out, err := p.Withdraw(m); err == nil || p.Queued() != ring {
				t.Fatalf("with %d to %d in the queue, %d is withdrawn: %v", first, first+ring-1, m, out)
			}
		}
		if _, err := p.Withdraw(first); err != nil {
			t.Fatal(err)
		}
	}
	if p.Memory() > 2*ring {
		t.Errorf("for %d messages memory for %d", ring, p.Memory())
	}
}

// A queue of hundreds of thousands costs no more for each of its messages than a short one: if anything here looked at all
// of it for one message, this would take minutes.
func TestLongQueue(t *testing.T) {
	const n = 300_000
	s := newScript(t)
	s.Partition = core.New(core.Idempotent, core.NewIDs(core.KafkaLimits, 7))
	for range n {
		s.admit(1)
	}
	for m := core.Message(n); m > 0; m -= 2 { // every second, from the end
		s.withdraw(m, fmt.Sprintf("%d-%d notsent ", m, m))
	}
	if _, err := s.Take(n / 4); err != nil {
		t.Fatal(err)
	}
	for m := core.Message(1); m < n/4; m += 2 { // from the batch that waits
		if out, err := s.Withdraw(m); err != nil || !out.Changed {
			t.Fatalf("%v, %v", out, err)
		}
	}
	s.write()
	s.lose("")
	for m := core.Message(n/4 + 1); m < n/2; m += 2 { // from the batch that is in doubt
		if out, err := s.Withdraw(m); err != nil || out.Decided[0].Verdict != core.Maybe {
			t.Fatalf("%v, %v", out, err)
		}
	}
	for m := core.Message(n/2 + 1); m < n/2+1000; m += 2 { // one batch after the other
		r, err := s.Take(1)
		if err != nil || r.Messages[0].First != m {
			t.Fatalf("%v, %v; want %d", r, err, m)
		}
		s.write()
		s.answer(core.Ok, fmt.Sprintf("%d-%d delivered ", m, m))
	}
	out, err := s.Cut()
	if err != nil || len(out.Decided) != n/4-500 {
		t.Fatalf("%d runs, %v", len(out.Decided), err)
	}
}

func BenchmarkDelivered(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := core.New(core.Idempotent, core.NewIDs(core.KafkaLimits, 7))
			b.ReportAllocs()
			for b.Loop() {
				if err := deliver(p, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A refusal names the event and the state.
func TestRefusalNamesItsEvent(t *testing.T) {
	limits := core.KafkaLimits
	limits.MaxEpoch, limits.MaxSequence = 0, 1
	p := core.New(core.Idempotent, core.NewIDs(limits, 7))
	refused := func(event core.Event, err error) {
		t.Helper()
		if want := (core.NotAllowed{Event: event, State: p.State()}); err != want {
			t.Errorf("%v; want: %v", err, want)
		}
	}
	admit := func(n int) error { _, err := p.Admit(n); return err }
	take := func(n int) error { _, err := p.Take(n); return err }
	refused(core.EventAdmit, admit(0))
	refused(core.EventTake, take(1))
	if err := deliver(p, 2); err != nil {
		t.Fatal(err)
	}
	_, err := p.Send()
	refused(core.EventSend, err)
	_, err = p.Withdraw(100)
	refused(core.EventWithdraw, err)
	if err := admit(1); err != nil {
		t.Fatal(err)
	}
	refused(core.EventTake, take(0))
	refused(core.EventTake, take(1)) // no epoch is left
}
