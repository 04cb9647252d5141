package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
)

// odd is bare with a Start or a Stop of its own.
type odd struct {
	bare
	start, stop func(*odd, context.Context) error
	calls       int
	err         error
}

func (o *odd) Start(ctx context.Context) error {
	if o.start != nil {
		return o.start(o, ctx)
	}
	return o.bare.Start(ctx)
}

func (o *odd) Stop(ctx context.Context) error {
	if o.stop != nil {
		return o.stop(o, ctx)
	}
	return o.bare.Stop(ctx)
}

type does = func(*odd, context.Context) error

// Sequential calls of one caller are judged, whatever is declared, also by a guarantee that is not
// offered as a whole.
func TestWhatOneCallerSeesIsANoAlsoWhereItIsNotOffered(t *testing.T) {
	for _, c := range []struct {
		name, breaks, why string
		caps              conformance.Capability
		start, stop       does
	}{
		{"G5-keeps-its-failure", "G5", "this is the failure of attempt 1, which had failed before the call", conformance.Retries,
			func(o *odd, ctx context.Context) error {
				if o.err == nil {
					o.err = o.bare.Start(ctx)
				}
				return o.err
			}, nil},
		{"G5-is-failed-forever", "G5", "it makes no attempt of its own, and returns the failure of an earlier one", conformance.Retries,
			func(o *odd, ctx context.Context) error {
				if o.err != nil {
					return errors.New("failed forever")
				}
				o.err = o.bare.Start(ctx)
				return o.err
			}, nil},
		{"G4-starts-once", "G4", "it was stopped and everything is released, and this Start does not open again", conformance.Restarts,
			func(o *odd, ctx context.Context) error {
				if o.calls++; o.calls > 1 {
					return errStopped
				}
				return o.bare.Start(ctx)
			}, nil},
		{"G4-fails-and-keeps-it", "G4", "the open has succeeded, Start returns an error all the same, and 1 part is still held", 0,
			func(o *odd, ctx context.Context) error { return errors.Join(o.bare.Start(ctx), errors.New("no")) }, nil},
		{"G6-fails-for-nothing", "G6", "it has not opened: its own context has not ended, and no Stop was called meanwhile", 0,
			func(*odd, context.Context) error { return errors.New("no") }, nil},
		{"G2-opens-again", "G2", "it is open already", conformance.ErrorsOnRepeat,
			func(o *odd, ctx context.Context) error {
				o.started = false
				return o.bare.Start(ctx)
			}, nil},
		{"G2-releases-again", "G2", "there is nothing to release", conformance.ErrorsOnRepeat,
			nil, func(o *odd, ctx context.Context) error {
				o.started = true
				return o.bare.Stop(ctx)
			}},
		{"G4-releases-twice", "G4", "all has been released already", 0,
			nil, func(o *odd, ctx context.Context) error { return errors.Join(o.bare.Stop(ctx), o.close(ctx)) }},
		{"G7-fails-and-keeps-it", "G7", "Stop returns an error before its own context has ended, and 1 part is still held", 0,
			nil, func(*odd, context.Context) error { return errors.New("busy") }},
		{"G14-fails-for-nothing", "G14", "no release failed, and Stop returns an error", 0,
			nil, func(o *odd, ctx context.Context) error { return errors.Join(o.bare.Stop(ctx), errors.New("no")) }},
		{"G14-swallows-an-error", "G14", "a release failed, and Stop returns nil", conformance.KeepsCause,
			nil, func(o *odd, ctx context.Context) error {
				o.bare.Stop(ctx)
				return nil
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := conformance.Measure(t, conformance.Subject{
				New: func(h *conformance.Hooks) conformance.Lifecycle {
					return &odd{bare: bare{parts: parts{Hooks: h}, repeat: repeatOf(c.caps)}, start: c.start, stop: c.stop}
				},
				Capabilities: c.caps,
				Schedules:    500, // a release that fails is rare
			})
			if row := card.Row(c.breaks); len(card.Rows) > 0 && (row.Verdict != conformance.No || row.Why != c.why) {
				t.Errorf("%s: %s: %s; want no: %s\n%v", c.breaks, row.Verdict, row.Why, c.why, card)
			}
		})
	}
}

// A guarantee that is not reached has a reason, and says what to change.
func TestNotReachedSaysWhatToChange(t *testing.T) {
	var none context.Context
	const caps = conformance.Retries | conformance.ReportsFailure | conformance.RefusesReentry
	card := conformance.Measure(t, conformance.Subject{
		New: func(h *conformance.Hooks) conformance.Lifecycle {
			return &odd{bare: bare{parts: parts{Hooks: h}},
				start: func(o *odd, _ context.Context) error { return o.bare.Start(none) },
				stop:  func(o *odd, _ context.Context) error { return o.release(none, 1) }}
		},
		Capabilities: caps,
		Schedules:    100,
	})
	if len(card.Rows) == 0 {
		return
	}
	for id, want := range map[string]string{
		"G13": "no attempt's failure function was known in %d schedules; call Hooks.OnDeath before the attempt opens its last part, raise Subject.Schedules, or take ReportsFailure out of Subject.Capabilities",
		"G15": "no open or release was given a context in %d schedules; pass Hooks.Open and Release the contexts by which the lifecycle knows its own calls, raise Subject.Schedules, or take RefusesReentry out of Subject.Capabilities",
	} {
		want = fmt.Sprintf(want, card.Schedules)
		if row := card.Row(id); row.Verdict != conformance.NotReached || row.Why != want {
			t.Errorf("%s: %s: %q; want %s: %q", id, row.Verdict, row.Why, conformance.NotReached, want)
		}
	}
}
