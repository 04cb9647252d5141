package producer

import (
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// resilience returns the options for Config.Retry and Config.Breaker.
func (p *Producer) resilience() (opts []fsm.Option) {
	if p.cfg.Retry != nil {
		opts = append(opts, fsm.WithRetry(retries{p}))
	}
	if p.cfg.Breaker != nil {
		opts = append(opts, fsm.WithBreaker(breaker{p}))
	}
	return opts
}

// retries calls Config.Retry for temporary errors while there is time for another try. A pause
// up to the StartTimeout would only delay an error that is already known.
type retries struct{ p *Producer }

// Next implements fsm.Backoff.
func (r retries) Next(try int, err error) (wait time.Duration, again bool) {
	if !Temporary(err) {
		return 0, false
	}
	defer r.p.within.mark()()
	wait, again = r.p.cfg.Retry.Next(try, err)
	return wait, again && wait < time.Until(r.p.openUntil())
}

// breaker is Config.Breaker, whose functions run within.
type breaker struct{ p *Producer }

// Allow implements fsm.Breaker.
func (b breaker) Allow() (done func(fsm.Outcome, error), err error) {
	defer b.p.within.mark()()
	d, err := b.p.cfg.Breaker.Allow()
	if d == nil {
		return nil, err
	}
	return func(o fsm.Outcome, err error) {
		defer b.p.within.mark()()
		d(o, err)
	}, err
}

// openUntil is when the attempt, with all its tries, ends by itself. That is shortly before the
// start timeout: the error of the start timeout could not say what the attempt waited for.
func (p *Producer) openUntil() time.Time {
	timeout := p.cfg.StartTimeout
	// The state has been Starting since the start of the attempt, through all its tries.
	return p.lifecycle.Status().Since.Add(timeout - min(timeout/20, 200*time.Millisecond))
}
