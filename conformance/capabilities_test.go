package conformance_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
)

// right is a lifecycle that keeps every guarantee, with the capabilities that can be removed from it.
type right struct {
	name  string
	has   conformance.Capability
	parts int // 0: 1 and 2
	make  func(*parts, conformance.Capability) conformance.Lifecycle
}

func repeatOf(caps conformance.Capability) error {
	if caps&conformance.ErrorsOnRepeat != 0 {
		return errRepeated
	}
	return nil
}

const (
	sequential = conformance.Idempotent | conformance.Restarts | conformance.Retries | conformance.KeepsCause
	concurrent = sequential | conformance.JoinsStarts | conformance.JoinsStops | conformance.StopsStarts
	leaving    = concurrent | conformance.HonoursContext | conformance.HonoursStopContext | conformance.CancelsOpen | conformance.Final
)

var rights = []right{
	{"bare", sequential, 0, func(p *parts, caps conformance.Capability) conformance.Lifecycle {
		return &bare{parts: *p, repeat: repeatOf(caps)}
	}},
	{"again", sequential, 1, func(p *parts, caps conformance.Capability) conformance.Lifecycle {
		return &again{bare{parts: *p, repeat: repeatOf(caps)}}
	}},
	{"queued", concurrent, 0, func(p *parts, caps conformance.Capability) conformance.Lifecycle {
		return &queued{bare: bare{parts: *p, repeat: repeatOf(caps)}, token: make(chan struct{}, 1)}
	}},
	{"owned", leaving, 0, func(p *parts, caps conformance.Capability) conformance.Lifecycle {
		return &owned{parts: *p, repeat: repeatOf(caps), noStops: caps&conformance.StopsStarts == 0}
	}},
	{"polite", sequential | conformance.HonoursStopContext, 0, func(p *parts, caps conformance.Capability) conformance.Lifecycle {
		return &owned{parts: *p, repeat: repeatOf(caps), polite: true}
	}},
	{"surestart", conformance.Everything, 0, func(p *parts, _ conformance.Capability) conformance.Lifecycle { return newShipped(p.Hooks) }},
}

// sets are subsets of r's capabilities: all if these are few; otherwise none, each alone, all except each, and random ones.
func (r *right) sets() (sets []conformance.Capability) {
	var single []conformance.Capability
	for bit := conformance.Capability(1); bit <= r.has; bit <<= 1 {
		if r.has&bit != 0 {
			single = append(single, bit)
		}
	}
	some := rand.New(rand.NewPCG(1, 1))
	switch n := len(single); {
	case n <= 4:
		for i := range 1 << n {
			var set conformance.Capability
			for j, bit := range single {
				set |= bit * conformance.Capability(i>>j&1)
			}
			sets = append(sets, set)
		}
	default:
		sets = append(sets, r.has, r.has&^conformance.StopsStarts, 0)
		for _, bit := range single {
			sets = append(sets, bit, r.has&^bit)
		}
		for range 4 {
			sets = append(sets, r.has&conformance.Capability(some.Uint32()))
		}
	}
	if r.name == "surestart" { // it has no errors for what is repeated
		return sets
	}
	for _, set := range slices.Clone(sets) {
		if set&conformance.Idempotent != 0 {
			sets = append(sets, set&^conformance.Idempotent|conformance.ErrorsOnRepeat)
		}
	}
	return sets
}

// A right lifecycle passes with any set of capabilities that it has. (Half of the sets are tried,
// or one in 30 with -short.) No guarantee breaks, every guarantee that it offers is reached, and
// the suite requires nothing that it does not declare.
func TestRightLifecyclesPassWithAnySetOfTheirCapabilities(t *testing.T) {
	tried, each := 0, 2
	if testing.Short() {
		each = 30 // even: a child process is not -short
	}
	for _, r := range rights {
		for i, caps := range r.sets() {
			if i > 1 && i%each != 1 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", r.name, caps), func(t *testing.T) {
				card := conformance.Test(t, conformance.Subject{
					New: func(h *conformance.Hooks) conformance.Lifecycle {
						lc := r.make(&parts{Hooks: h}, caps)
						if r.name == "surestart" {
							return lc
						}
						return &strict{Lifecycle: lc, caps: caps}
					},
					Capabilities: caps,
					Parts:        cmp.Or(r.parts, 1+i/2%2),
					Schedules:    400,
				})
				if !t.Failed() && len(card.Rows) > 0 {
					tried++
				}
			})
		}
	}
	checked("conformance black box right lifecycles with a set of capabilities passed=%d\n", tried)
}

// checked prints, unless it is a child process.
func checked(format string, args ...any) {
	if os.Getenv("SURESTART_CONFORMANCE_CHILD") == "" {
		fmt.Printf("CHECKED "+format, args...)
	}
}

// The suite finds a Stop that returns nil while a part is held by its name (G7), whatever is
// declared. The sets here are those that people declare.
// TestG7StopThatLeavesSomethingHeldIsANoWithAnySet has the others.
func TestG7StopThatLeavesSomethingHeldIsFound(t *testing.T) {
	found := 0
	for i, caps := range []conformance.Capability{0, conformance.Idempotent, conformance.ErrorsOnRepeat | conformance.Retries, sequential, concurrent, leaving} {
		for j, leak := range leaks {
			if testing.Short() && i != j {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", strings.ReplaceAll(leak.name, " ", "-"), caps), func(t *testing.T) {
				card := conformance.Measure(t, conformance.Subject{
					New: func(h *conformance.Hooks) conformance.Lifecycle {
						o := &owned{parts: parts{Hooks: h, stop: leak.stop}, repeat: repeatOf(caps)}
						if leak.stop == nil {
							return &deaf{o}
						}
						return o
					},
					Capabilities: caps,
					Parts:        2,
					Schedules:    100,
				})
				if len(card.Rows) == 0 {
					return
				}
				if row := card.Row("G7"); row.Verdict != conformance.No || !strings.Contains(row.Why, "Stop returns nil, and ") {
					t.Fatalf("G7 NoLeak: %s: %s\n%v", row.Verdict, row.Why, card)
				}
				found++
			})
		}
	}
	checked("conformance black box Stops that leave something held found=%d\n", found)
}
