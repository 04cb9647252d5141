package producer

import (
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// resilience are the options that Config.Retry and Config.Breaker stand for.
func (p *Producer) resilience() (opts []fsm.Option) {
	if p.cfg.Retry != nil {
		opts = append(opts, fsm.WithRetry(retries{p}))
	}
	if p.cfg.Breaker != nil {
		opts = append(opts, fsm.WithBreaker(p.cfg.Breaker))
	}
	return opts
}

// retries asks Config.Retry about what is Temporary, as long as there is time for
// another try: a Start that pauses until its StartTimeout would only be told later
// what it knows already.
type retries struct{ p *Producer }

// Next implements fsm.Backoff.
func (r retries) Next(try int, err error) (wait time.Duration, again bool) {
	if !Temporary(err) {
		return 0, false
	}
	wait, again = r.p.cfg.Retry.Next(try, err)
	return wait, again && wait < time.Until(r.p.openUntil())
}

// openUntil is when the attempt that is opening, with all its tries, ends by itself: just
// before the start timeout ends it, which cannot say what it was that we waited for.
func (p *Producer) openUntil() time.Time {
	timeout := p.cfg.StartTimeout
	// It is Starting since the attempt began, however often it has tried.
	return p.lifecycle.Status().Since.Add(timeout - min(timeout/20, 200*time.Millisecond))
}
