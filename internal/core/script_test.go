package core_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed3893aba4/surestart/internal/core"
)

// script is a core that is driven step by step, and what must come of each.
type script struct {
	t *testing.T
	*core.Partition
	ids *core.IDs
}

func newScript(t *testing.T) *script {
	ids := core.NewIDs(core.Limits{MaxSequence: 99, EpochLimit: 2, MaxEpoch: 5}, 7)
	return &script{t, core.New(core.Idempotent, ids), ids}
}

// must fails the test unless an event is allowed and its outcome is the wanted one.
func (s *script) must(want string, out core.Outcome, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.same(want, out)
}

func (s *script) same(want string, out core.Outcome) {
	s.t.Helper()
	got := ""
	for _, d := range out.Decided {
		got += fmt.Sprintf("%d-%d %v ", d.First, d.Last, d.Verdict)
	}
	if out.Changed {
		got += "changed "
	}
	if got != want {
		s.t.Errorf("it led to %q; want %q", got, want)
	}
}

func (s *script) admit(n int) {
	s.t.Helper()
	if _, err := s.Admit(n); err != nil {
		s.t.Fatal(err)
	}
}

// requested fails the test unless a request is so: id.epoch.sequence, the messages, and whether it is sent again.
func (s *script) requested(want string, r core.Request, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	if got := fmt.Sprintf("%d.%d.%d %v again=%v", r.ID, r.Epoch, r.Sequence, messages(r), r.Again); got != want {
		s.t.Errorf("the request is %s; want %s", got, want)
	}
}

func (s *script) take(n int, want string) {
	s.t.Helper()
	r, err := s.Take(n)
	s.requested(want, r, err)
}

func (s *script) send(want string) {
	s.t.Helper()
	r, err := s.Send()
	s.requested(want, r, err)
}

// write sends the present batch, and writes it whole.
func (s *script) write() {
	s.t.Helper()
	_, err := s.Send()
	if err = errors.Join(err, s.Write()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) answer(a core.Answer, want string, records ...int32) {
	s.t.Helper()
	out, err := s.Answer(a, records)
	s.must(want, out, err)
}

func (s *script) withdraw(m core.Message, want string) {
	s.t.Helper()
	out, err := s.Withdraw(m)
	s.must(want, out, err)
}

func (s *script) lose(want string) {
	s.t.Helper()
	out, err := s.Lose()
	s.must(want, out, err)
}

func (s *script) cut(want string) {
	s.t.Helper()
	out, err := s.Cut()
	s.must(want, out, err)
}

func (s *script) refuses(what string, err error) {
	s.t.Helper()
	if not := (core.NotAllowed{}); !errors.As(err, &not) || not.State != s.State() {
		s.t.Errorf("%s in %v: %v", what, s.State(), err)
	}
}

// take10: while there is a batch no other is taken, and the queue does not change.
func (s *script) take10(t *testing.T) {
	_, err := s.Take(1)
	s.refuses("Take", err)
	if s.Queued() != 1 || s.Undecided() != 2 {
		t.Errorf("%d in the queue, %d undecided", s.Queued(), s.Undecided())
	}
}
