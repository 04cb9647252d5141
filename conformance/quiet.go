package conformance

import (
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing/synctest"
	"time"
)

// goroutine is a goroutine of a dump of all stacks.
type goroutine struct {
	id      int
	state   string
	durable bool // blocked until a goroutine of its own bubble acts
	bubble  string
	stack   string
}

var header = regexp.MustCompile(`^goroutine (\d+)[^\[]*\[([^\]]*)\]:`)

// goroutines returns all goroutines, the caller's first.
func goroutines() (all []goroutine) {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for _, stack := range strings.Split(string(buf), "\n\n") {
		m := header.FindStringSubmatch(stack)
		if m == nil {
			continue
		}
		g := goroutine{stack: stack}
		g.id, _ = strconv.Atoi(m[1])
		words := strings.Split(m[2], ", ")
		g.state, g.durable = strings.CutSuffix(words[0], " (durable)")
		for _, word := range words[1:] {
			if strings.HasPrefix(word, "synctest bubble") {
				g.bubble = word
			}
		}
		all = append(all, g)
	}
	return all
}

// blocked reports whether g waits for another goroutine, not for time or I/O.
func (g goroutine) blocked() bool {
	switch {
	case strings.HasPrefix(g.state, "chan "), strings.HasPrefix(g.state, "select"), strings.HasPrefix(g.state, "sync."):
		return true
	}
	return false // "semacquire" is not: with it the runtime waits for itself, for example for a collection
}

// A place is where a schedule runs: in a bubble, or in real time.
type place interface {
	quiet() bool         // wait until every goroutine is blocked; false: that never happens
	others() []goroutine // all except the controller, and those that ran before
}

// bubble is a synctest bubble. child.watch detects from outside that it is never quiet.
type bubble struct {
	name  string
	waits *atomic.Int64
}

func (b *bubble) quiet() bool {
	b.waits.Add(1)
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
	b.waits.Add(1)
	return true
}

func (b *bubble) others() (all []goroutine) {
	for _, g := range goroutines()[1:] {
		if g.bubble != "" && (b.name == "" || b.name == g.bubble) && !g.ours() {
			all = append(all, g)
		}
	}
	return all
}

// ours reports whether g is the controller, or a goroutine of the testing packages.
func (g goroutine) ours() bool {
	return strings.Contains(g.stack, "(*child).schedule(") || strings.HasPrefix(g.state, "synctest.") ||
		strings.Contains(g.stack, "testing.tRunner(") || strings.Contains(g.stack, "testing/synctest.")
}

// locked reports whether all goroutines in a bubble are blocked, and one of them on a
// lock: then synctest.Wait does not return.
func locked(all []goroutine) bool {
	lock := false
	for _, g := range all {
		if g.bubble == "" || g.ours() {
			continue
		}
		if !g.durable && !g.blocked() {
			return false
		}
		lock = lock || !g.durable
	}
	return lock
}

// outside is real time; before are the goroutines that ran before the schedule.
type outside struct {
	patience time.Duration
	before   map[int]bool
}

func newOutside(patience time.Duration) *outside {
	o := &outside{patience, map[int]bool{}}
	for _, g := range goroutines() {
		o.before[g.id] = true
	}
	return o
}

// quiet reads all stacks until every goroutine is blocked. One such dump is enough: the
// world is stopped during it, so a goroutine that could wake another is seen running.
func (o *outside) quiet() bool {
	for began := time.Now(); ; {
		rest := true
		for _, g := range o.others() {
			rest = rest && g.blocked()
		}
		if rest {
			return true
		}
		if time.Since(began) > o.patience {
			return false
		}
		runtime.Gosched()
	}
}

func (o *outside) others() (all []goroutine) {
	for _, g := range goroutines()[1:] {
		if !o.before[g.id] && !strings.Contains(g.stack, "runtime/coverage") {
			all = append(all, g)
		}
	}
	return all
}
