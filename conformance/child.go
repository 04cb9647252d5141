package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/internal/history"
)

// request is a schedule for the child to run: the moves, as far as they are enabled, then
// the moves that the words choose.
type request struct {
	Moves []move
	Words []uint32
	Caps  Capability
	Locks bool // outside a bubble
}

// line is a message of the child. It is sent at once: the parent has it even if the child
// crashes next.
type line struct {
	Move  *move          `json:",omitempty"`
	Event *history.Event `json:",omitempty"`
	End   end            `json:",omitempty"`
	Stack string         `json:",omitempty"` // the stacks of goroutines that are left or hang; with wrong: the reason
}

type end string

const (
	ended end = "ended"
	gone  end = "gone"  // ended, and the child exits: goroutines of the schedule are left
	locks end = "locks" // it must be run outside a bubble
	spins end = "spins" // it is never quiet
	wrong end = "wrong" // the subject is invalid
)

// childEnv names the call of Test that a child process serves.
const childEnv = "SURESTART_CONFORMANCE_CHILD"

// serve runs the schedules that the parent requests, then exits.
func serve(t *testing.T, s Subject) {
	in := json.NewDecoder(bufio.NewReader(os.NewFile(3, "requests")))
	c := &child{t: t, subject: s, out: json.NewEncoder(os.NewFile(4, "lines"))}
	go c.watch()
	for {
		var q request
		if in.Decode(&q) != nil {
			os.Exit(0)
		}
		c.subject.Capabilities = q.Caps
		if q.Locks {
			c.schedule(q, newOutside(s.Patience))
			continue
		}
		synctest.Test(t, func(*testing.T) {
			c.schedule(q, &bubble{goroutines()[0].bubble, &c.waits})
		})
	}
}

type child struct {
	t       *testing.T
	subject Subject
	mu      sync.Mutex
	out     *json.Encoder
	waits   atomic.Int64 // odd while the controller waits until all is quiet
	last    Lifecycle    // of the previous schedule
	making  atomic.Bool  // New is running
}

func (c *child) say(l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.Encode(l) != nil {
		os.Exit(1) // the parent has gone
	}
}

// schedule runs one schedule, then ends everything that it started.
func (c *child) schedule(q request, at place) {
	r := &run{caps: q.Caps, parts: c.subject.Parts, deaths: map[int]func(error){}}
	r.log = func(e history.Event) { c.say(line{Event: &e}) }
	r.invalid = c.refuse
	r.lc = c.new(r, at)
	step := func(m move) bool {
		c.say(line{Move: &m})
		r.do(m)
		if !at.quiet() {
			c.exit(spins, at)
		}
		return r.rest()
	}
	goesOn := true
	for _, want := range q.Moves {
		for _, m := range r.enabled() {
			if m.Do == want.Do && (m.Caller == want.Caller || m.Do < endContext) && goesOn {
				goesOn = step(m)
				break
			}
		}
	}
	for _, word := range q.Words {
		if m, ok := choose(word, q.Words[0]>>16, r.enabled()); ok && goesOn {
			goesOn = step(m)
		}
	}
	for range 50 { // let every call and hook end
		m, ok := r.lets(r.enabled())
		if !ok {
			m, ok = r.windUp()
		}
		if !ok || !goesOn {
			break
		}
		goesOn = step(m)
	}
	left := at.others()
	if goesOn {
		r.left(len(left))
	}
	if len(left) > 0 {
		c.exit(gone, at)
	}
	c.say(line{End: ended})
}

// refuse reports why the subject is invalid, and exits.
func (c *child) refuse(why string) {
	c.say(line{End: wrong, Stack: why})
	os.Exit(0)
}

// exit ends the process: goroutines of the schedule cannot be ended otherwise.
func (c *child) exit(how end, at place) {
	var stacks []string
	for _, g := range at.others() {
		stacks = append(stacks, g.stack)
	}
	c.say(line{End: how, Stack: strings.Join(stacks, "\n\n")})
	os.Exit(0)
}

// watch detects a bubble that never becomes quiet.
func (c *child) watch() {
	const between = 5 * time.Millisecond
	last, looks, stuck := int64(0), 0, 0
	for {
		time.Sleep(between)
		now := c.waits.Load()
		if now%2 == 0 || now != last {
			last, looks, stuck = now, 0, 0
			continue
		}
		if looks++; looks < 4 {
			continue
		}
		if stuck++; !locked(goroutines()[1:]) {
			stuck = 0
		}
		switch {
		case stuck == 2:
			c.exit(locks, &bubble{})
		case time.Duration(looks)*between > c.subject.Patience && c.making.Load():
			c.refuse(c.subject.busy())
		case time.Duration(looks)*between > c.subject.Patience:
			c.exit(spins, &bubble{})
		}
	}
}
