package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/conformance"
)

// parts is the resource: acquired and given back, and nothing else.
type parts struct {
	*conformance.Hooks
	stop func(*parts, context.Context) error // what a Stop does instead of giving back
}

// open acquires all. It returns how many it holds, also where it fails.
func (p *parts) open(ctx context.Context) (n int, err error) {
	for n < p.Parts() {
		if err := p.OpenPart(ctx, n); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// release gives back the first n, in reverse.
func (p *parts) release(ctx context.Context, n int) (err error) {
	for i := n - 1; i >= 0; i-- {
		err = errors.Join(err, p.ReleasePart(ctx, i))
	}
	return err
}

// close releases an open resource, for a Stop.
func (p *parts) close(ctx context.Context) error {
	if p.stop != nil {
		return p.stop(p, ctx)
	}
	return p.release(context.WithoutCancel(ctx), p.Parts())
}

// leaks are the ways in which a Stop can return nil while something is held.
var leaks = []struct {
	name string
	stop func(*parts, context.Context) error
}{
	{"does nothing", nil}, // deaf
	{"forgets", func(*parts, context.Context) error { return nil }},
	{"in the background", func(p *parts, _ context.Context) error {
		go p.release(context.Background(), p.Parts())
		return nil
	}},
	{"later", func(p *parts, _ context.Context) error {
		time.AfterFunc(time.Hour, func() { p.release(context.Background(), p.Parts()) })
		return nil
	}},
	{"all but one", func(p *parts, ctx context.Context) error {
		for i := p.Parts() - 1; i > 0; i-- {
			p.ReleasePart(ctx, i)
		}
		return nil
	}},
}

// bare is a lifecycle for one caller that makes one call after another.
type bare struct {
	parts
	started bool
	repeat  error // what a repeated call returns
}

func (b *bare) Start(ctx context.Context) error {
	if b.started {
		return b.repeat
	}
	n, err := b.open(ctx)
	if err != nil {
		return errors.Join(err, b.release(ctx, n))
	}
	b.started = true
	return nil
}

func (b *bare) Stop(ctx context.Context) error {
	if !b.started {
		return b.repeat
	}
	b.started = false
	return b.close(ctx)
}

// again is bare, and tries an open that fails once more, at once.
type again struct{ bare }

func (a *again) Start(ctx context.Context) error {
	if err := a.bare.Start(ctx); err == nil || a.started {
		return err
	}
	return a.bare.Start(ctx)
}

// queued runs one call at a time. A Start that waits for its turn finds out only then that a Stop
// was called meanwhile.
type queued struct {
	bare
	token chan struct{} // a call that has sent runs alone
	mu    sync.Mutex
	stops int
}

func (q *queued) stopped(n int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stops += n
	return q.stops
}

func (q *queued) Start(ctx context.Context) error {
	stops := q.stopped(0)
	q.token <- struct{}{}
	defer func() { <-q.token }()
	if q.stopped(0) != stops {
		return errStopped
	}
	return q.bare.Start(ctx)
}

func (q *queued) Stop(ctx context.Context) error {
	q.stopped(1)
	q.token <- struct{}{}
	defer func() { <-q.token }()
	return q.bare.Stop(ctx)
}

var errStopped, errClosed, errRepeated = errors.New("stopped"), errors.New("closed"), errors.New("that was done already")

// owned has a goroutine for each opening and each closing, and callers that leave. As with queued, a Start that waits for
// a rollback finds out only at its end that a Stop was called.
type owned struct {
	parts
	noStops bool // panics where it is stopped while it opens
	polite  bool // a Stop whose context has ended leaves what is open as it is

	mu     sync.Mutex
	phase  *phase // nil: it rests
	open   bool
	final  bool
	stops  int
	repeat error
}

// phase is an opening with its rollback, or a closing.
type phase struct {
	done    chan struct{}
	closing bool  // what it holds is given back
	why     error // for its Starts
	err     error // for its Stops
	waiting int
	cancel  context.CancelFunc
}

func (o *owned) Start(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for stops := o.stops; ; {
		p := o.phase
		switch {
		case o.final:
			return errClosed
		case p == nil && o.open:
			return o.repeat
		case o.stops != stops:
			return errStopped
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case p != nil && p.closing:
			if !o.wait(ctx, p) {
				return context.Cause(ctx)
			}
			continue
		case p == nil:
			p = &phase{done: make(chan struct{})}
			opening, cancel := context.WithCancel(context.Background())
			o.phase, p.cancel = p, cancel
			go o.opening(opening, p)
		}
		p.waiting++
		if o.wait(ctx, p) {
			return p.why
		}
		if p.waiting--; p.waiting == 0 {
			p.closing = true
			p.cancel()
		}
		return context.Cause(ctx)
	}
}

// wait waits for p's end; false if ctx ended before. o.mu is held, but not meanwhile.
func (o *owned) wait(ctx context.Context, p *phase) bool {
	o.mu.Unlock()
	defer o.mu.Lock()
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (o *owned) opening(ctx context.Context, p *phase) {
	defer p.cancel()
	n, err := o.parts.open(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open = err == nil && !p.closing; !o.open {
		p.closing = true
		p.why = errors.Join(p.why, err)
		o.mu.Unlock()
		err := o.release(context.WithoutCancel(ctx), n)
		o.mu.Lock()
		p.err = err
	}
	o.phase = nil
	close(p.done)
}

func (o *owned) Stop(ctx context.Context) error { return o.end(ctx, false) }

func (o *owned) Shutdown(ctx context.Context) error { return o.end(ctx, true) }

func (o *owned) end(ctx context.Context, final bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.polite && !final && o.open && o.phase == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	o.stops++
	was := o.final
	o.final = was || final
	p := o.phase
	switch {
	case p == nil && !o.open:
		if o.repeat != nil && was == final {
			return o.repeat
		}
		return nil
	case p == nil:
		p = &phase{done: make(chan struct{}), closing: true}
		o.phase = p
		go func() {
			err := o.close(context.Background())
			o.mu.Lock()
			defer o.mu.Unlock()
			o.open, o.phase, p.err = false, nil, err
			close(p.done)
		}()
	case !p.closing:
		if o.noStops {
			panic("it is stopped while it opens")
		}
		p.closing, p.why = true, errStopped
		if o.final {
			p.why = errClosed
		}
		p.cancel()
	}
	if !o.wait(ctx, p) {
		return context.Cause(ctx)
	}
	return p.err
}

// deaf has a Stop that does nothing.
type deaf struct{ *owned }

func (*deaf) Stop(context.Context) error { return nil }

// strict panics in situations that its capabilities exclude.
type strict struct {
	conformance.Lifecycle
	caps conformance.Capability

	mu                          sync.Mutex
	starts, stops               int // under way
	up, failed, stopped, closed bool
}

func (s *strict) must(is bool, caps conformance.Capability, what string) {
	if is && s.caps&caps != caps {
		panic(fmt.Sprintf("%s, without %v", what, caps))
	}
}

func (s *strict) repeats() bool {
	return s.caps&(conformance.Idempotent|conformance.ErrorsOnRepeat) != 0
}

func (s *strict) Start(ctx context.Context) error {
	s.starting()
	err := s.Lifecycle.Start(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts--
	s.up = s.up || err == nil && s.stops == 0 && !s.stopped
	s.failed = err != nil && s.starts == 0 && !s.up && !errors.Is(err, errStopped) && !errors.Is(err, errRepeated)
	s.must(ctx.Err() != nil, conformance.HonoursContext, "a Start whose context ends")
	return err
}

func (s *strict) starting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(s.starts > 0, conformance.JoinsStarts, "a Start during a Start")
	s.must(s.stops > 0, conformance.JoinsStarts|conformance.Restarts, "a Start during a Stop")
	s.must(s.failed && !s.closed, conformance.Retries, "a Start after one that failed")
	s.must(s.stopped && !s.closed, conformance.Restarts, "a Start after a Stop")
	if s.up && !s.repeats() {
		panic("a Start of what is started")
	}
	s.starts++
}

func (s *strict) Stop(ctx context.Context) error {
	up, ended := s.isUp(), ctx.Err() != nil
	defer s.stopping(false)()
	err := s.Lifecycle.Stop(ctx)
	s.must(ctx.Err() != nil, conformance.HonoursStopContext, "a Stop whose context ends")
	if o, ok := s.Lifecycle.(*owned); ok && o.polite && up && ended && err != nil { // it has left it as it was
		s.mu.Lock()
		defer s.mu.Unlock()
		s.up = true
	}
	return err
}

func (s *strict) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

func (s *strict) Shutdown(ctx context.Context) error {
	defer s.stopping(true)()
	return s.Lifecycle.(conformance.Shutdowner).Shutdown(ctx)
}

func (s *strict) stopping(final bool) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(s.starts > 0, conformance.StopsStarts, "a Stop during a Start")
	s.must(s.stops > 0, conformance.JoinsStops, "a Stop during a Stop")
	s.must(final, conformance.Final, "a Shutdown")
	if !s.up && s.starts == 0 && s.stops == 0 && !s.repeats() {
		panic("a Stop of what is not started")
	}
	s.stops++
	s.up, s.stopped, s.closed = false, true, s.closed || final
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stops--
		s.stopped = s.stopped && s.caps&conformance.Restarts == 0
	}
}
