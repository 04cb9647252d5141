package core_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// The effect of each answer on a batch of two messages, in doubt and not in doubt, and what
// Withdraw then does with the remaining messages.
var led = map[core.Answer]struct{ first, then, doubted, doubtedThen string }{
	core.Ok:       {"1-2 delivered ", "", "1-2 delivered ", ""},
	core.Unsure:   {"", "maybe maybe ", "", "maybe maybe "},
	core.Final:    {"1-2 maybe ", "", "1-2 maybe ", ""},
	core.Retry:    {"", "rejected rejected ", "", "maybe maybe "},
	core.Refused:  {"1-2 rejected ", "", "1-2 maybe ", ""},
	core.Large:    {"changed ", "notsent notsent ", "1-2 maybe ", ""},
	core.Invalid:  {"2-2 rejected changed ", "notsent ", "1-2 maybe ", ""},
	core.Sequence: {"", "notsent notsent ", "1-2 maybe ", ""},
}

// Each code of the table, and one that is not there, is given to the core as an answer, without doubt and in doubt (D2).
func TestD2Codes(t *testing.T) {
	all := append(core.Codes(), core.Code{Code: 999, Answer: core.Final})
	for _, c := range all {
		t.Run(fmt.Sprintf("%d %v", int(c.Code), c.Code), func(t *testing.T) {
			if got := core.AnswerOf(c.Code); got != c.Answer {
				t.Fatalf("%v; the table has %v", got, c.Answer)
			}
			want := led[c.Answer]
			for doubt, w := range map[bool][2]string{false: {want.first, want.then}, true: {want.doubted, want.doubtedThen}} {
				s := newScript(t)
				s.admit(2)
				s.take(2, "7.0.0 [1 2] again=false")
				if doubt {
					s.write()
					s.lose("")
				}
				s.write()
				s.answer(core.AnswerOf(c.Code), w[0], 1)
				then := ""
				for m := core.Message(1); m <= 2; m++ {
					if out, err := s.Withdraw(m); err == nil {
						then += out.Decided[0].Verdict.String() + " "
					}
				}
				if then != w[1] {
					t.Errorf("D2 Truth is broken: in doubt %v: withdrawn then: %q; want %q", doubt, then, w[1])
				}
			}
		})
	}
}

// The table has each code once, in order, and says where it arises. A code counts as refused before
// the append only if Kafka checks it before the append (D2).
func TestD2CodesSayWhere(t *testing.T) {
	codes := core.Codes()
	before := map[core.Answer]bool{core.Retry: true, core.Refused: true, core.Large: true, core.Invalid: true, core.Sequence: true}
	for i, c := range codes {
		if i > 0 && codes[i-1].Code >= c.Code {
			t.Errorf("%d comes after %d", c.Code, codes[i-1].Code)
		}
		if c.Where == "" || c.Answer == core.Final {
			t.Errorf("%+v", c)
		}
		if before[c.Answer] != slices.Contains([]kafka.Error{2, 10, 17, 18, 19, 21, 29, 31, 32, 35, 42, 43, 44, 76, 87, 45, 47, 59}, c.Code) {
			t.Errorf("D2 Truth is broken: %d is %v", c.Code, c.Answer)
		}
	}
	codes[0].Answer = core.Ok // a copy
	if core.Codes()[0].Answer != core.Unsure {
		t.Error("the table was changed")
	}
}

// What has a name in the specification has it here.
func TestNames(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"delivered": core.Delivered, "maybe": core.Maybe, "Verdict(0)": core.Verdict(0), "Verdict(9)": core.Verdict(9),
		"ok": core.Ok, "sequence": core.Sequence, "Answer(8)": core.Answer(8),
		"Empty": core.Empty, "Stopped": core.Stopped, "State(8)": core.State(8),
		"Admit": core.EventAdmit, "NewID": core.EventNewID, "Event(14)": core.Event(14),
	} {
		if v.String() != want {
			t.Errorf("%v; want %s", v, want)
		}
	}
}

// No answer is final that kafka-go takes for temporary: such a message fails only by its deadline, its caller or a cut (D9).
func TestD9TemporaryCodesAreNotFinal(t *testing.T) {
	temporary := 0
	for _, c := range core.Codes() {
		if c.Code == 0 || !c.Code.Temporary() {
			continue
		}
		temporary++
		s := newScript(t)
		s.admit(1)
		s.take(1, "7.0.0 [1] again=false")
		s.write()
		out, err := s.Answer(core.AnswerOf(c.Code), nil)
		s.must("", out, err)
	}
	if temporary < 5 {
		t.Errorf("%d temporary codes", temporary)
	}
}
