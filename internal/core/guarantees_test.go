package core_test

import (
	"fmt"
	"testing"

	"github.com/seed3893aba4/surestart/internal/core"
)

// D1: an answer that comes after the deadline changes no verdict, and a stop ends when all are there.
func TestD1OneVerdict(t *testing.T) {
	s := newScript(t)
	s.admit(3)
	s.take(2, "7.0.0 [1 2] again=false")
	s.write()
	s.withdraw(1, "1-1 maybe ")
	_, err := s.Withdraw(1)
	s.refuses("a second Withdraw", err)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s.refuses("StopEnds", s.StopEnds())
	s.answer(core.Ok, "2-2 delivered ")
	s.refuses("StopEnds", s.StopEnds())
	s.withdraw(3, "3-3 notsent ")
	if err := s.StopEnds(); err != nil || s.State() != core.Stopped {
		t.Errorf("%v, %v", err, s.State())
	}
}

// D1: a cut decides every message, each once.
func TestD1Cut(t *testing.T) {
	s := newScript(t)
	s.admit(5)
	s.withdraw(4, "4-4 notsent ")
	s.take(2, "7.0.0 [1 2] again=false")
	s.write()
	s.withdraw(2, "2-2 maybe ")
	s.cut("1-1 maybe 3-3 notsent 5-5 notsent ")
	if s.Undecided() > 0 || s.Queued() > 0 {
		t.Errorf("%d undecided, %d in the queue", s.Undecided(), s.Queued())
	}
	_, err := s.Cut()
	s.refuses("a second Cut", err)
	_, err = s.Withdraw(1)
	s.refuses("Withdraw", err)
}

// D2: the verdict of a message when no answer says that it was delivered.
func TestD2Truth(t *testing.T) {
	for name, one := range map[string]struct {
		before func(*script)
		want   string
	}{
		"taken":                   {func(*script) {}, "1-1 notsent 2-2 notsent "},
		"not written":             {func(s *script) { _, _ = s.Send(); s.lose("") }, "1-1 notsent 2-2 notsent "},
		"being written":           {func(s *script) { _, _ = s.Send() }, "1-1 maybe 2-2 maybe "},
		"written":                 {func(s *script) { s.write() }, "1-1 maybe 2-2 maybe "},
		"written and lost":        {func(s *script) { s.write(); s.lose("") }, "1-1 maybe 2-2 maybe "},
		"unsure":                  {func(s *script) { s.write(); s.answer(core.Unsure, "") }, "1-1 maybe 2-2 maybe "},
		"refused for now":         {func(s *script) { s.write(); s.answer(core.Retry, "") }, "1-1 rejected 2-2 rejected "},
		"refused, then not sent":  {func(s *script) { s.write(); s.answer(core.Retry, ""); _, _ = s.Send(); s.lose("") }, "1-1 rejected 2-2 rejected "},
		"unsure, then refused":    {func(s *script) { s.write(); s.lose(""); s.write(); s.answer(core.Retry, "") }, "1-1 maybe 2-2 maybe "},
		"unsure, then not sent":   {func(s *script) { s.write(); s.lose(""); _, _ = s.Send(); s.lose("") }, "1-1 maybe 2-2 maybe "},
		"refused, then expected":  {func(s *script) { s.write(); s.answer(core.Retry, ""); s.write(); s.answer(core.Sequence, "") }, "1-1 notsent 2-2 notsent "},
		"expected another number": {func(s *script) { s.write(); s.answer(core.Sequence, "") }, "1-1 notsent 2-2 notsent "},
	} {
		t.Run(name, func(t *testing.T) {
			both := func(out core.Outcome) string {
				all := ""
				for _, d := range out.Decided {
					for m := d.First; m <= d.Last; m++ {
						all += fmt.Sprintf("%d-%d %v ", m, m, d.Verdict)
					}
				}
				return all
			}
			s, cut := newScript(t), newScript(t)
			got := ""
			for _, s := range []*script{s, cut} {
				s.admit(2)
				s.take(2, "7.0.0 [1 2] again=false")
				one.before(s)
			}
			for m := core.Message(1); m <= 2; m++ {
				out, err := s.Withdraw(m)
				if err != nil {
					t.Fatal(err)
				}
				got += both(out)
			}
			out, err := cut.Cut()
			if err != nil || got != one.want || both(out) != one.want {
				t.Errorf("D2 Truth is broken: withdrawn %q, cut %q, %v; want %q", got, both(out), err, one.want)
			}
		})
	}
}

// D2: refused for good is rejected, unless an earlier request may have been appended.
func TestD2Refused(t *testing.T) {
	for _, a := range []core.Answer{core.Refused, core.Large, core.Invalid} {
		s := newScript(t)
		s.admit(2)
		s.take(1, "7.0.0 [1] again=false")
		s.write()
		s.answer(a, "1-1 rejected ", 0)
		s.take(1, "7.0.0 [2] again=false") // the numbers are taken back
		s.write()
		s.lose("")
		s.write()
		s.answer(a, "2-2 maybe ", 0)
		s.admit(1)
		s.take(1, "7.1.0 [3] again=false") // they are not
	}
}

// D2: sequence numbers that a batch in doubt may have used are not used again.
func TestD2AnotherEpoch(t *testing.T) {
	s := newScript(t)
	s.admit(5)
	s.take(1, "7.0.0 [1] again=false")
	s.write()
	s.answer(core.Ok, "1-1 delivered ")
	s.take(1, "7.0.1 [2] again=false")
	s.write()
	s.lose("")
	s.withdraw(2, "2-2 maybe ") // ended in doubt
	s.take(1, "7.1.0 [3] again=false")
	s.write()
	s.answer(core.Ok, "3-3 delivered ")
	s.cut("4-5 notsent ")
	if err := s.ids.Start(s.Partition); err != nil { // above what any partition has used
		t.Fatal(err)
	}
	s.admit(2)
	s.take(1, "7.2.0 [6] again=false")
	s.write()
	s.answer(core.Ok, "6-6 delivered ")
	s.cut("7-7 notsent ")
	if err := s.ids.Start(s.Partition, core.New(core.Idempotent, s.ids)); err == nil || s.State() != core.Stopped {
		t.Errorf("a start with one that is started: %v, %v", err, s.State())
	}
	if err := s.ids.Start(s.Partition); err != nil {
		t.Fatal(err)
	}
	s.refuses("Start", s.ids.Start(s.Partition))
	s.admit(1)
	s.take(1, "7.3.0 [8] again=false")
	s.write()
	s.answer(core.Ok, "8-8 delivered ")
	if err := s.Free(); err != nil || s.Memory() > 0 {
		t.Fatalf("%v; it keeps memory for %d", err, s.Memory())
	}
	s.refuses("Free", s.Free())
	s.admit(2)
	s.take(2, "7.4.0 [9 10] again=false")
}

// D3: in doubt the same request is sent again, or none.
func TestD3Once(t *testing.T) {
	s := newScript(t)
	s.admit(3)
	s.take(2, "7.0.0 [1 2] again=false")
	s.send("7.0.0 [1 2] again=false")
	s.lose("") // not written
	s.send("7.0.0 [1 2] again=false")
	if err := s.Write(); err != nil {
		t.Fatal(err)
	}
	s.lose("")
	s.withdraw(1, "1-1 maybe ")
	s.send("7.0.0 [1 2] again=true")
	s.lose("")
	s.write()
	s.answer(core.Sequence, "2-2 maybe ")
	_, err := s.Send()
	s.refuses("Send", err)
	s.take(1, "7.1.0 [3] again=false")
}

// D3: a batch that may have been appended is not split, and nothing is taken from it.
func TestD3NotSplit(t *testing.T) {
	for _, a := range []core.Answer{core.Large, core.Invalid, core.Refused, core.Final} {
		s := newScript(t)
		s.admit(2)
		s.take(2, "7.0.0 [1 2] again=false")
		s.write()
		s.answer(core.Unsure, "")
		s.write()
		s.answer(a, "1-2 maybe ", 0)
		if s.State() != core.Empty {
			t.Errorf("after %v it is %v", a, s.State())
		}
	}
}

// D4: what goes back into the queue goes to its front.
func TestD4Order(t *testing.T) {
	s := newScript(t)
	s.admit(6)
	s.take(5, "7.0.0 [1 2 3 4 5] again=false")
	s.write()
	s.answer(core.Large, "changed ")
	s.send("7.0.0 [1 2 3] again=false")
	if err := s.Write(); err != nil {
		t.Fatal(err)
	}
	s.answer(core.Ok, "1-3 delivered ")
	s.take(2, "7.0.3 [4 5] again=false")
	s.write()
	s.answer(core.Sequence, "")
	s.take(3, "7.1.0 [4 5 6] again=false")
}

// D4: a partition changes to a new producer id directly after an acknowledged batch, and only then.
func TestD4AnotherID(t *testing.T) {
	s := newScript(t)
	if err := s.ids.NewID(8); s.ids.Due() || err == nil || err.Error() != "core: NewID is not allowed: the newest producer id has epochs left" {
		t.Errorf("another id, and the first has epochs left: %v", err)
	}
	s.admit(9)
	for m := 1; m <= 3; m++ {
		s.take(1, fmt.Sprintf("7.%d.0 [%d] again=false", m-1, m))
		s.write()
		s.answer(core.Final, fmt.Sprintf("%d-%d maybe ", m, m))
	}
	if !s.ids.Due() {
		t.Fatal("no other id is due")
	}
	if err := s.ids.NewID(8); err != nil {
		t.Fatal(err)
	}
	s.take(1, "7.3.0 [4] again=false")
	s.write()
	s.answer(core.Final, "4-4 maybe ")
	s.take(2, "7.4.0 [5 6] again=false")
	s.write()
	s.answer(core.Ok, "5-6 delivered ")
	s.take(1, "8.0.0 [7] again=false")
	if p := core.New(core.Idempotent, s.ids); s.ids.Due() {
		t.Error(p.State())
	}
}

// D4: the sequence numbers end, and go on in another epoch; so do the epochs, and then nothing is taken any more.
func TestD4NumbersEnd(t *testing.T) {
	s := newScript(t)
	s.admit(100)
	s.take(99, fmt.Sprintf("7.0.0 %v again=false", upTo(99)))
	s.write()
	s.answer(core.Ok, "1-99 delivered ")
	s.admit(2)
	s.take(2, "7.1.0 [100 101] again=false")
	s.write()
	s.answer(core.Ok, "100-101 delivered ")
	for epoch := 1; epoch < 5; epoch++ {
		s.admit(1)
		m := 101 + epoch
		if epoch == 1 {
			s.take(1, fmt.Sprintf("7.1.2 [%d] again=false", m))
		} else {
			s.take(1, fmt.Sprintf("7.%d.0 [%d] again=false", epoch, m))
		}
		s.write()
		s.answer(core.Final, fmt.Sprintf("%d-%d maybe ", m, m))
	}
	s.admit(1)
	s.take(1, "7.5.0 [106] again=false")
	s.write()
	s.answer(core.Final, "106-106 maybe ")
	s.admit(1)
	_, err := s.Take(1)
	s.refuses("Take", err)
	s.withdraw(107, "107-107 notsent ")
}

func upTo(n int) (all []core.Message) {
	for m := range n {
		all = append(all, core.Message(m+1))
	}
	return all
}

// D5: a message that no request can have appended is withdrawn, and the remaining ones have
// consecutive numbers.
func TestD5Withdrawn(t *testing.T) {
	s := newScript(t)
	s.admit(6)
	s.withdraw(2, "2-2 notsent ")
	s.take(4, "7.0.0 [1 3 4 5] again=false")
	s.withdraw(4, "4-4 notsent changed ")
	s.send("7.0.0 [1 3 5] again=false")
	s.lose("")
	s.withdraw(1, "1-1 notsent changed ")
	s.withdraw(5, "5-5 notsent changed ")
	s.write()
	s.answer(core.Ok, "3-3 delivered ")
	s.take(1, "7.0.1 [6] again=false")
	s.withdraw(6, "6-6 notsent ")
	if s.State() != core.Empty {
		t.Error(s.State())
	}
	s.admit(4)
	s.take(3, "7.0.1 [7 8 9] again=false")
	s.write()
	s.withdraw(8, "8-8 maybe ")
	s.answer(core.Retry, "changed ") // refused: it was not appended, and it is not sent again
	s.send("7.0.1 [7 9] again=false")
	if err := s.Write(); err != nil {
		t.Fatal(err)
	}
	s.answer(core.Invalid, "9-9 rejected changed ", 1, 1, 2, -1)
	s.send("7.0.1 [7] again=false")
	s.lose("")
	s.take10(t)
}

// D6: wherever a message is, it gets its verdict when its deadline passes.
func TestD6Deadline(t *testing.T) {
	at := map[core.State]func(s *script){
		core.Empty:         func(s *script) {},
		core.Waiting:       func(s *script) { _, _ = s.Take(1) },
		core.Writing:       func(s *script) { _, _ = s.Take(1); _, _ = s.Send() },
		core.Awaiting:      func(s *script) { _, _ = s.Take(1); s.write() },
		core.DoubtWaiting:  func(s *script) { _, _ = s.Take(1); s.write(); s.lose("") },
		core.DoubtWriting:  func(s *script) { _, _ = s.Take(1); s.write(); s.lose(""); _, _ = s.Send() },
		core.DoubtAwaiting: func(s *script) { _, _ = s.Take(1); s.write(); s.lose(""); s.write() },
	}
	for state, there := range at {
		s := newScript(t)
		s.admit(2)
		there(s)
		if s.State() != state {
			t.Fatalf("it is %v; want %v", s.State(), state)
		}
		for m := core.Message(1); m <= 2; m++ {
			if out, err := s.Withdraw(m); err != nil || len(out.Decided) != 1 {
				t.Errorf("D6 Deadline is broken: in %v message %d does not get its verdict: %v, %v", state, m, out, err)
			}
		}
		if n := s.Undecided(); n > 0 {
			t.Errorf("D6 Deadline is broken: in %v %d messages are left", state, n)
		}
	}
}

// D7: a stop admits nothing, and sends the queued messages.
func TestD7DrainsAtOnce(t *testing.T) {
	s := newScript(t)
	s.admit(2)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	m, err := s.Admit(1)
	s.refuses("Admit", err)
	if m != 0 {
		t.Errorf("what is not admitted is message %d", m)
	}
	s.refuses("a second Stop", s.Stop())
	s.refuses("Free", s.Free())
	s.take(2, "7.0.0 [1 2] again=false")
	s.write()
	s.answer(core.Ok, "1-2 delivered ")
	if err := s.StopEnds(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Admit(1)
	s.refuses("Admit", err)
	_, err = s.Take(1)
	s.refuses("Take", err)
	if err.Error() != "core: Take is not allowed: the partition is Stopped" {
		t.Error(err)
	}
}

// Without idempotence requests carry no numbers, and there are no ids.
func TestWithoutIdempotence(t *testing.T) {
	p := &script{t, core.New(core.Unanswered, nil), nil}
	p.admit(2)
	p.take(1, "-1.-1.-1 [1] again=false")
	p.write()
	_, err := p.Answer(core.Ok, nil)
	p.refuses("Answer", err)
	out, err := p.HandedOver()
	p.must("1-1 delivered ", out, err)
	p.take(1, "-1.-1.-1 [2] again=false")
	p.write()
	p.lose("")
	p.send("-1.-1.-1 [2] again=true")
	p.refuses("Free", p.Free())
	p.cut("2-2 maybe ")
	if err := p.ids.Start(p.Partition); err != nil {
		t.Fatal(err)
	}
	q := core.New(core.Acknowledged, nil)
	if _, err := q.HandedOver(); err == nil {
		t.Error("handed over what was not sent")
	}
	if err := deliver(q, 3); err != nil {
		t.Error(err)
	}
}
