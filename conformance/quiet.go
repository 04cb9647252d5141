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

// goroutine is one of a dump of all stacks.
type goroutine struct {
	id      int
	state   string
	durable bool // blocked, and only its own bubble can change that
	bubble  string
	stack   string
}

var header = regexp.MustCompile(`^goroutine (\d+)[^\[]*\[([^\]]*)\]:`)

// goroutines are all that there are, this one first.
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

// blocked says whether it waits for another goroutine, and not for time or the world.
func (g goroutine) blocked() bool {
	switch {
	case strings.HasPrefix(g.state, "chan "), strings.HasPrefix(g.state, "select"), strings.HasPrefix(g.state, "sync."):
		return true
	}
	return false // "semacquire" is not: it is how the runtime waits for itself, for a collection say
}

// A place is where a schedule runs: in a bubble, or on real time.
type place interface {
	quiet() bool         // wait until nothing goes on by itself; false: that never comes
	others() []goroutine // all but the controller, and those from before
}

// bubble is a synctest bubble. Whether it comes to rest is watched from outside.
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

// ours says whether it is the controller, or the testing package's.
func (g goroutine) ours() bool {
	return strings.Contains(g.stack, "(*child).schedule(") || strings.HasPrefix(g.state, "synctest.") ||
		strings.Contains(g.stack, "testing.tRunner(") || strings.Contains(g.stack, "testing/synctest.")
}

// locked says whether all in a bubble are blocked, and one on a lock: then
// synctest does not call it rest.
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

// outside is real time, with the goroutines that were there before.
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

// quiet looks at all stacks until everything is blocked. The world stands still
// for a look, so one is enough: whatever could wake a goroutine would be seen running.
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
