package group

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A session is one attempt of the group, with its uses and its release.
type session struct {
	ctx   context.Context // ends when the group's release begins
	scope *fsm.Scope
	parts []*part // in the order of the nodes

	mu       sync.Mutex
	starting []*part         // the members that are starting, for Scope.Part
	acquires string          // the first of them
	opened   bool            // open is about to return nil
	torn     []*part         // to be stopped and started again; a part is removed once it and the parts that it needs are open
	tell     func()          // tells the round of restarts that another member has died; nil: no round is running
	cutOff   func()          // ends the drains of that round
	ended    chan struct{}   // closed when the latest restarts have ended; nil: there were none
	stopping []chan struct{} // each is closed when that part has stopped; nil: the release has not started
}

// A part is a member in a session.
type part struct {
	*node
	s          *session
	registered bool // with the scope

	// Under s.mu.
	held     context.Context // ends when the member dies; nil: it is not held
	restarts int             // the number of its restarts in a row, including one that is due
	cause    error           // of its death, until it is open again; nil: none
	due      time.Time       // when it is started again; zero: its Backoff has not been called

	// Needs no lock: starts and stops of a part never run at the same time.
	release func(context.Context) error // nil: it is not held
	unwatch func() bool
	since   time.Time // when it opened
	stopErr error     // of its stops since it was last open
}

func newSession(ctx context.Context, scope *fsm.Scope, nodes []*node) *session {
	s := &session{ctx: ctx, scope: scope}
	for _, n := range nodes {
		s.parts = append(s.parts, &part{node: n, s: s})
	}
	return s
}

// open starts all members.
func (s *session) open() error {
	failed, err := s.start(s.ctx, s.parts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed != nil {
		s.scope.Part(failed.Name)
	}
	s.opened = err == nil
	return err
}

// start starts some parts, each once those of them that it needs are open. After a failure
// it abandons the starts that are running, and returns the part that failed first. If ctx
// ends, it abandons the rest; that is not a failure.
func (s *session) start(ctx context.Context, some []*part) (failed *part, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inOrder(some, func(p *part) []*node { return p.needs }, func(p *part) {
		cause := errExited
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if cause != nil && err == nil {
				failed, err = p, cause
				cancel()
			}
		}()
		cause = contain(func() error { return p.start(ctx) })
	})()
	return failed, err
}

var errExited = errors.New("group: runtime.Goexit was called")

// contain calls f, and returns its panic as an error.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &fsm.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// start starts the member, unless ctx has ended, and watches it.
func (p *part) start(ctx context.Context) error {
	s := p.s
	if ctx.Err() != nil {
		return nil //nolint:nilerr // another member failed, or the start was cancelled: that has the error
	}
	s.acquiring(p, true)
	held, release, err := p.Lifecycle.Hold(ctx)
	s.acquiring(p, false)
	if err == nil {
		p.release, p.since, p.stopErr = release, time.Now(), nil
		s.mu.Lock()
		p.held, p.cause = held, nil
		if !slices.ContainsFunc(s.torn, func(q *part) bool { return slices.Contains(p.needs, q.node) }) {
			s.torn = slices.DeleteFunc(s.torn, func(q *part) bool { return q == p })
		}
		s.mu.Unlock()
	}
	if !p.registered { // also after an error: its release waits for the rollback of the start
		p.registered = true
		s.scope.Defer(p.Name, p.stopped)
	}
	if err != nil {
		return err
	}
	p.unwatch = context.AfterFunc(held, func() { s.died(p, held) })
	return nil
}

// acquiring shows the first of the members that are starting as the part that the group's
// open acquires, so that the names of parts, which metrics have as labels, are names of
// members.
func (s *session) acquiring(p *part, begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return
	}
	before := s.acquires
	if begins {
		s.starting = append(s.starting, p)
	} else {
		s.starting = slices.DeleteFunc(s.starting, func(q *part) bool { return q == p })
	}
	if len(s.starting) > 0 {
		s.acquires = slices.MinFunc(s.starting, func(a, b *part) int { return a.index - b.index }).Name
	}
	if s.acquires != before {
		s.scope.Part(s.acquires)
	}
}

// inOrder calls do for each of some parts, in a goroutine of its own, as soon as do has
// returned for those of them that before names. The function that it returns waits for all.
func inOrder(some []*part, before func(*part) []*node, do func(*part)) (wait func()) {
	done := make(map[*node]chan struct{})
	for _, p := range some {
		done[p.node] = make(chan struct{})
	}
	for _, p := range some {
		go func() {
			defer close(done[p.node])
			for _, n := range before(p) {
				if first := done[n]; first != nil {
					<-first
				}
			}
			do(p)
		}()
	}
	return func() {
		for _, each := range done {
			<-each
		}
	}
}

// stopped is the release of a part. The first call starts the stop of all parts; each call
// waits for its own part.
func (p *part) stopped(ctx context.Context) error {
	s := p.s
	s.mu.Lock()
	begins := s.stopping == nil
	if begins {
		s.stopping = make([]chan struct{}, len(s.parts))
		for i := range s.stopping {
			s.stopping[i] = make(chan struct{})
		}
	}
	ended, cutOff, done := s.ended, s.cutOff, s.stopping[p.index]
	s.mu.Unlock()
	if begins {
		_, died := context.Cause(s.ctx).(*DiedError)
		cut := fsm.Forced(ctx) && !died // a death forces the release, but the members drain all the same
		if ended != nil {
			if cut {
				cutOff()
			}
			stop := context.AfterFunc(ctx, cutOff)
			<-ended
			stop()
		}
		s.stopAll(ctx, cut)
	}
	<-done
	return p.stopErr
}

// stopAll stops every part. The drains end at the deadline of ctx; if cut, at once.
func (s *session) stopAll(ctx context.Context, cut bool) {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	if cut {
		cancel()
	}
	wait := inOrder(s.parts, func(p *part) []*node { return p.neededBy }, func(p *part) {
		defer close(s.stopping[p.index])
		p.stop(ctx)
	})
	go func() {
		wait()
		cancel()
	}()
}

// notStopping are the states in which nothing is being released.
var notStopping = []fsm.State{fsm.Idle, fsm.Starting, fsm.Started, fsm.Closed}

// stop adds the result of letGo to stopErr, also if letGo panics or calls runtime.Goexit.
func (p *part) stop(ctx context.Context) {
	err := errExited
	// stopErr may have an error already: of a stop for a restart that has not opened the part.
	defer func() { p.stopErr = errors.Join(p.stopErr, err) }()
	err = contain(func() error { return p.letGo(ctx) })
}

// letGo releases the hold on the member, and waits until the member is closed, unless others
// hold it. The end of ctx only cuts off its uses.
func (p *part) letGo(ctx context.Context) error {
	release, unwatch := p.release, p.unwatch
	p.release, p.unwatch = nil, nil
	p.s.mu.Lock()
	p.held = nil
	p.s.mu.Unlock()
	var err error
	if unwatch != nil {
		unwatch()
	}
	if release != nil {
		err = release(ctx)
		if ctx.Err() != nil { // release has cut uses off, or has only returned early: wait for the end
			if stop := new(fsm.StopError); errors.As(err, &stop) && stop.CutOff == 0 && stop.Err == context.Cause(ctx) {
				err = nil
			}
			err = errors.Join(err, release(context.WithoutCancel(ctx)))
		}
	}
	if p.registered { // otherwise it was never started
		_, waitErr := p.Lifecycle.Wait(context.Background(), notStopping...)
		err = errors.Join(err, waitErr)
	}
	return err
}
