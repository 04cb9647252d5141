package producer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A recorder notes the errors that a check reports.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// demand fails unless the check reported this error, and no other kind.
func (r *recorder) demand(t *testing.T, want string) {
	t.Helper()
	if want == "" && len(r.errors) > 0 || want != "" && len(r.errors) == 0 {
		t.Errorf("the ledger reports %q, want %q", r.errors, want)
	}
	for _, got := range r.errors {
		if !strings.Contains(got, want) {
			t.Errorf("the ledger reports %q, want %q", got, want)
		}
	}
}

// The ledger finds each mistake: each case is a log that breaks one promise.
func TestLedgerSees(t *testing.T) {
	notSent, maybe := failed(ErrNotSent, io.EOF), failed(ErrMaybeDelivered, io.EOF)
	for name, c := range map[string]struct {
		log  string           // the partition, message by message
		errs map[string]error // of messages; the others were delivered
		seen map[string]error // by Completion; nil: what the callers were told
		more string           // another message that Completion was told of
		want string
	}{
		"all is well":                 {log: "a0 a1 b0 b1 c0 c1"},
		"one may have been delivered": {log: "a0 a1 b0 c0 c1", errs: map[string]error{"b0": maybe, "b1": maybe}},
		"lost":                        {log: "a0 a1 b0 b1 c0", want: "c1 was acknowledged and is not there"},
		"not sent, and there":         {log: "a0 a1 b0 b1 c0 c1", errs: map[string]error{"b1": notSent}, want: "b1 is there, and failed as"},
		"rejected, and there":         {log: "a0 a1 b0 b1 c0 c1", errs: map[string]error{"b1": failed(ErrRejected, io.EOF)}, want: "b1 is there, and failed as"},
		"foreign":                     {log: "a0 a1 b0 x b1 c0 c1", want: "it was not written"},
		"twice":                       {log: "a0 a1 a0 a1 b0 b1 c0 c1", want: "D3 Once"},
		"twice, later":                {log: "a0 a1 b0 b1 c0 c1 c1", want: "D3 Once"},
		"what may have been, twice":   {log: "a0 a1 b0 b0 c0 c1", errs: map[string]error{"b0": maybe, "b1": maybe}, want: "D3 Once"},
		"calls in another order":      {log: "b0 b1 a0 a1 c0 c1", want: "stands behind"},
		"what may have been, later":   {log: "a0 a1 c0 c1 b0", errs: map[string]error{"b0": maybe, "b1": maybe}, want: "stands behind"},
		"a call in another order":     {log: "a1 a0 b0 b1 c0 c1", want: "of the same call"},
		"Completion disagrees":        {log: "a0 a1 b0 b1 c0 c1", seen: map[string]error{"a0": maybe}, want: "its caller got"},
		"Completion saw too little":   {log: "a0 a1 b0 b1 c0 c1", seen: map[string]error{"a0": errUnseen}, want: "not told of a0"},
		"Completion saw too much":     {log: "a0 a1 b0 b1 c0 c1", more: "y", want: "no caller"},
		"Completion saw one twice":    {log: "a0 a1 b0 b1 c0 c1", more: "a0", want: "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 1)
				p := newProducer(t, b, Config{Topic: topic})
				l := newLedger()
				complete := l.completion()
				for _, call := range []string{"a", "b", "c"} {
					at := &noted{p: p, began: l.tick(), returned: l.tick()}
					werr := &WriteError{Messages: make(kafka.WriteErrors, 2)}
					msgs := []kafka.Message{message(call + "0"), message(call + "1")}
					for i, m := range msgs {
						told := c.errs[string(m.Value)]
						werr.Messages[i] = told
						if other, ok := c.seen[string(m.Value)]; ok {
							told = other
						}
						if told != errUnseen {
							complete([]kafka.Message{m}, told)
						}
					}
					var err error = werr
					if werr.Messages.Count() == 0 {
						err = nil
					}
					l.note(t, err, msgs, at)
				}
				if c.more != "" {
					complete([]kafka.Message{message(c.more)}, nil)
				}
				cl := b.Client(t)
				defer cl.Close()
				for v := range strings.FieldsSeq(c.log) {
					if err := cl.ProduceSync(bg, &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				r := &recorder{TB: t}
				l.verify(r, b, topic)
				r.demand(t, c.want)
			})
		})
	}
}

var errUnseen = errors.New("not seen by Completion")

// Concurrent calls may stand in any order; something between the messages of one is seen.
func TestLedgerSeesACallThatIsTorn(t *testing.T) {
	p := new(Producer)
	l := newLedger()
	a, b := &noted{p: p, began: 1, returned: 3}, &noted{p: p, began: 2, returned: 4}
	l.note(t, nil, messages("a", 2), a)
	l.note(t, nil, messages("b", 1), b)
	for log, want := range map[string]string{
		"b-0 a-0 a-1": "", "a-0 a-1 b-0": "", "a-0 b-0 a-1": "something stands between",
	} {
		r := &recorder{TB: t}
		l.verifyOrder(r, 0, strings.Fields(log))
		r.demand(t, want)
	}
}

// Without idempotence, and under answers that get lost, messages are there twice: the ledger that
// every test of faults uses sees that. With idempotence there is nothing to see.
func TestLedgerSeesDuplicates(t *testing.T) {
	for idempotence, want := range map[Idempotence]string{IdempotenceOff: "D3 Once", IdempotenceAuto: ""} {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.Virtual(t)
			topic := b.CreateTopic(t, 1)
			p := newProducer(t, b, Config{Topic: topic, Idempotence: idempotence})
			start(t, p)
			b.AppendThenAnswer(topic, kerr.NotLeaderForPartition, 2)
			l := newLedger()
			if err := l.write(bg, t, p, messages("m", 3)...); err != nil {
				t.Error(err)
			}
			r := &recorder{TB: t}
			c := l.verify(r, b, topic)
			r.demand(t, want)
			if c.acked != 3 || (c.duplicates == 6) != (want != "") {
				t.Errorf("%v: %v", idempotence, c)
			}
			l.unordered = true // the way out
			l.verify(t, b, topic)
		})
	}
}
